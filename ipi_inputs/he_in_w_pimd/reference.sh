#!/bin/bash
# i-PI and a MACE driver without mixpi's launcher:   ./reference.sh [reference.xml | RESTART]
cd "$(dirname "$0")" || exit 1
input=${1:-reference.xml}
i-pi "$input" > i-pi.log 2>&1 &
ipi=$!
until [ -S /tmp/ipi_he-in-w-mace ]; do
    kill -0 "$ipi" 2> /dev/null || { cat i-pi.log; exit 1; }
    sleep 0.2
done
mixpi driver mace --model w-he-small.model --address he-in-w-mace --template init.extxyz \
    --threads 1 > mace.log 2>&1 &
wait "$ipi"
