#!/usr/bin/env bash
# Diffusion of helium in tungsten on mixed and on all-expensive forces:
#
#   ./run.sh smoke | laptop | paper
#
# Runs that are done are not run again, one that was stopped goes on. RUNS=3 ./run.sh laptop adds
# independent runs up to the third of each arm; TEMPERATURES="400 800" and ARMS=mixed choose some;
# STEPS=100 makes runs that long, in folders of their own (paper_100), to see what a step takes.
set -euo pipefail
cd "$(dirname "$0")"
source ../pieces.sh

size=${1:-} runs=${RUNS:-1} options=()
# fs: D of all arms is that of lags from there on, or each would have what was found to be straight in it
first=2000
temperatures=${TEMPERATURES:-400 600 800} arms=${ARMS:-mixed expensive}
steps=70000 skip=10000 stride=50 core=5.0 blend=2.0        # fs, Å; 60 ps after 10 ps
case $size in
    smoke) cells=3 steps=150 skip=0 stride=5 options=(--no-reference)
        temperatures=${TEMPERATURES:-800} first='' ;;
    laptop) cells=7 ;;                      # 686 W
    paper) cells=16 core=6.0 blend=4.0 ;;       # 8,192 W
    *) echo "use: $0 smoke | laptop | paper" >&2; exit 2 ;;
esac

potentials=../../potentials model=../../models/w-he-jw-tiny.model
start=runs/$size/init.extxyz
write_once "$start" python ../../../scripts/make_interstitial.py w-he "$cells" "$model"
steps=${STEPS:-$steps} size+=${STEPS:+_$STEPS}

# arm NAME TEMPERATURE: one more run of an arm, and the way of the helium in it
arm() {
    local name=$1 temperature=$2 seeds
    local folder=runs/$size/${name}_$temperature/$run found=results/$size/${name}_$temperature
    [ -e "$found/run.$run.json" ] && return
    case $name in
        mixed) seeds="species He" ;;
        expensive) seeds=all ;;
        *) echo "no such arm: $name" >&2; exit 2 ;;
    esac
    if [ ! -e "$folder/input.xml" ]; then
        mkdir -p "$folder"
        cp mixing_pes.py "$start" "$model" $potentials/w-jw.{eam.alloy,uf3} "$folder"
        sed -e "s/^seeds: .*/seeds: $seeds/" \
            -e "s/core: 5.0/core: $core/" -e "s/blend: 2.0/blend: $blend/" \
            -e "s/stride: 50/stride: $stride/" mixing.yaml > "$folder/mixing.yaml"
        thermal "$temperature"
        write_input input.xml "$folder" "${name}_$temperature/$run" "$steps" "${thermal[@]}"
    fi
    of_one_kind "$folder" "$found"
    echo "$size: $name at $temperature K, run $run"
    run_piece "$folder" "${options[@]}"
    if only_timed "$folder" "$found"; then return; fi
    mixpi analyse diffusion "$folder/mix.extxyz" --species He --skip "$skip" \
        --keep "$found/he.$run.npz" > /dev/null
    mixpi analyse temperature "$folder/mix.extxyz" --skip "$skip" --target "$temperature" \
        --json "$found/temperature.$run.json"
    keep_report "$folder" "$found"
    rm "$folder/mix.extxyz"     # what counts of it is in the results
}

every_arm
end_if_timed

# all runs of an arm together, and the table and the figure of all arms
for folder in "results/$size"/*/; do
    compgen -G "$folder"he.*.npz > /dev/null || continue
    mixpi analyse diffusion "$folder"he.*.npz ${first:+--from "$first"} \
        --json "${folder%/}.json" > /dev/null
done
python table.py "$size"
