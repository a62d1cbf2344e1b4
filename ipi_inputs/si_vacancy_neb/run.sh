#!/usr/bin/env bash
# The barrier of a vacancy's hop in silicon, on mixed forces; './run.sh expensive' is the reference
# with the expensive potential on all atoms.
set -euo pipefail
cd "$(dirname "$0")"
case ${1:-mixed} in
    mixed)
        mixpi path init.extxyz last.extxyz --images 9 --relax mixing.yaml --fmax 0.002 --output path.extxyz
        mixpi neb mixing.yaml --images path.extxyz --fmax 0.01 --output neb
        mixpi barrier mixing.yaml --images neb.extxyz --output barrier
        ;;
    expensive)
        [ -e path.extxyz ] || { echo "first './run.sh', which relaxes the ends" >&2; exit 1; }
        for end in first last; do
            mixpi relax mixing.yaml path.$end.extxyz --fmax 0.002 --everywhere expensive \
                --output reference.$end
        done
        mixpi path reference.first.extxyz reference.last.extxyz --output reference.path.extxyz
        mixpi neb mixing.yaml --images reference.path.extxyz --fmax 0.01 --everywhere expensive \
            --output reference
        mixpi barrier mixing.yaml --images reference.extxyz --output reference.barrier
        ;;
    *) echo "use: $0 [mixed|expensive]" >&2; exit 2 ;;
esac
