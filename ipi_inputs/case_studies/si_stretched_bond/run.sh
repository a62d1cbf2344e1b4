#!/usr/bin/env bash
# The mean force on a stretched bond against the radius of the expensive region:
#
#   ./run.sh smoke | laptop | paper
#
# Runs that are done are not run again, one that was stopped goes on. Further independent runs of
# each arm are added by RUNS=3 ./run.sh laptop.
set -euo pipefail
cd "$(dirname "$0")"
source ../pieces.sh

size=${1:-} runs=${RUNS:-1} options=()
radii="4/0 6/0 8/0 10/0 4/4 6/4"    # core/blend, Å
case $size in
    smoke) cells=3 steps=150 skip=20 radii=4/0 options=(--no-reference) ;;
    laptop) cells=5 steps=2500 skip=500 ;;                  # 1,000 atoms, 2 ps
    paper) cells=10 steps=50500 skip=500 radii+=" 8/4 10/4" ;;  # 8,000 atoms, 50 ps
    *) echo "use: $0 smoke | laptop | paper" >&2; exit 2 ;;
esac
of_these_potentials "results/$size" si-small.model si-uf3.uf3

# arm NAME SEEDS [CORE BLEND]: one more run of an arm, and the force on the bond in it
arm() {
    local name=$1 seeds=$2 core=${3:-6} blend=${4:-0}
    local folder=runs/$size/$name/$run found=results/$size/$name
    [ -e "$found/force.$run.json" ] && return
    if [ ! -e "$folder/input.xml" ]; then
        mkdir -p "$folder"
        python stretched_bond.py "$cells" "$folder/init.extxyz"
        cp mixing_pes.py si-small.model si-uf3.uf3 "$folder"
        sed -e "s/^seeds: \[0, 1\]/seeds: $seeds/" -e "s/core: 6.0/core: $core/" \
            -e "s/blend: 0.0/blend: $blend/" mixing.yaml > "$folder/mixing.yaml"
        write_input input.xml "$folder" "$name/$run" "$steps"
    fi
    of_one_kind "$folder" "$found"
    echo "$size: $name, run $run"
    run_piece "$folder" "${options[@]}"
    keep_report "$folder" "$found"
    mixpi analyse mean-force "$folder/mix.extxyz" --bond 0 1 --skip "$skip" \
        --json "$found/force.$run.json"
}

for run in $(seq "$runs"); do
    arm cheap none
    arm expensive all
    for both in $radii; do
        arm "core_${both%/*}_blend_${both#*/}" "[0, 1]" "${both%/*}" "${both#*/}"
    done
done

# all runs of an arm together, the force at rest, and the table and the figure of all arms
for folder in "results/$size"/*/; do
    compgen -G "$folder"force.*.json > /dev/null || continue
    mixpi analyse combine "$folder"force.*.json --json "${folder%/}.json" > /dev/null
done
python at_rest.py "$size" "$cells"
python table.py "$size"
