#!/usr/bin/env bash
# The barrier of a vacancy's hop in silicon, on mixed forces; './run.sh expensive' is the reference
# with the expensive potential on all atoms.
set -euo pipefail
cd "$(dirname "$0")"
case ${1:-mixed} in
    mixed)
        mixpi path init.extxyz last.extxyz --images 9 --relax mixing.yaml --output path.extxyz
        mixpi neb mixing.yaml --images path.extxyz --output neb
        mixpi barrier mixing.yaml --images neb.extxyz --output barrier
        ;;
    expensive)
        [ -e path.extxyz ] || { echo "first './run.sh', which relaxes the ends" >&2; exit 1; }
        mixpi relax mixing.yaml path.first.extxyz --everywhere expensive --output reference.first
        mixpi relax mixing.yaml path.last.extxyz --everywhere expensive --output reference.last
        mixpi path reference.first.extxyz reference.last.extxyz --output reference.path.extxyz
        mixpi neb mixing.yaml --images reference.path.extxyz --everywhere expensive --output reference
        mixpi barrier mixing.yaml --images reference.extxyz --output reference.barrier
        ;;
    *) echo "use: $0 [mixed|expensive]" >&2; exit 2 ;;
esac
