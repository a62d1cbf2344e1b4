#!/usr/bin/env bash
# Diffusion of a dumbbell in iron on mixed, all-expensive and cheap forces:
#
#   ./run.sh smoke | laptop | paper
#
# Runs that are done are not run again, one that was stopped goes on. RUNS=3 ./run.sh laptop adds
# independent runs up to the third of each arm; TEMPERATURES="900 1100" and ARMS="cheap mixed"
# choose some. ARMS="mace_mixed mace_expensive" are those with the MACE model that the expensive
# potential of the others was distilled from: shorter runs. STEPS=200 makes runs that long, in
# folders of their own (laptop_200), to see what a step takes.
set -euo pipefail
cd "$(dirname "$0")"
source ../pieces.sh

size=${1:-} runs=${RUNS:-1} options=()
temperatures=${TEMPERATURES:-800 900 1000 1100} arms=${ARMS:-cheap mixed expensive}
skip=5000 stride=50 core=4.0 blend=3.0              # fs, steps, Å; 2 fs a step
# fs: D of all arms is that of lags from there on, or each would have what was found to be straight
# in it. The defect remembers its way for about a ps.
first=2500
case $size in
    smoke) cells=5 steps=150 mace_steps=150 skip=0 stride=5 first='' options=(--no-reference)
        temperatures=${TEMPERATURES:-1100} ;;
    laptop) cells=10 steps=52500 mace_steps=12500 ;;    # 2,001 atoms; 100 and 20 ps after 5 ps
    paper) cells=16 steps=502500 mace_steps=52500 core=6.0 blend=4.0
        stride=500 ;;                                   # 8,193 atoms; 1 ns and 100 ps
    *) echo "use: $0 smoke | laptop | paper" >&2; exit 2 ;;
esac

potentials=../../potentials model=../../models/fe-small.model
start=runs/$size/init.extxyz
write_once "$start" python ../../../scripts/make_interstitial.py fe-dumbbell "$cells" "$model"
steps=${STEPS:-$steps} mace_steps=${STEPS:-$mace_steps} size+=${STEPS:+_$STEPS}

# arm NAME TEMPERATURE: one more run of an arm, and the way of the dumbbell in it
arm() {
    local name=$1 temperature=$2 length=$steps swap=()
    local folder=runs/$size/${name}_$temperature/$run found=results/$size/${name}_$temperature
    [ -e "$found/run.$run.json" ] && return
    case $name in
        mixed | mace_mixed) ;;
        # a section of several lines becomes one
        expensive | mace_expensive) swap=(-e '/^seeds:/,/^$/c\seeds: all\n') ;;
        cheap) swap=(-e '/^seeds:/,/^$/c\seeds: none\n') ;;
        *) echo "no such arm: $name" >&2; exit 2 ;;
    esac
    case $name in mace_*)
        length=$mace_steps
        swap+=(-e '/^expensive:/,/^$/c\expensive:\n  mace:\n    model: fe-small.model\n    threads: 1\n    partial: {sites: 5.0, features: 4.0}\n'
            -e 's/buffer: 6.0/buffer: 9.5/') ;;
    esac
    case $name in expensive | mace_expensive | cheap)
        swap+=(-e "s/acts_on: cheap/acts_on: species Fe/") ;;
    esac
    if [ ! -e "$folder/input.xml" ]; then
        mkdir -p "$folder"
        cp mixing_pes.py sharing.py "$start" "$model" \
            $potentials/fe-adp.{eam.alloy,1.adp,2.adp,3.adp} \
            $potentials/fe-eam-uf3.{eam.alloy,uf3} "$folder"
        sed "${swap[@]}" -e "s/core: 4.0/core: $core/" -e "s/blend: 3.0/blend: $blend/" \
            -e "s/stride: 50/stride: $stride/" mixing.yaml > "$folder/mixing.yaml"
        thermal "$temperature"
        write_input input.xml "$folder" "${name}_$temperature/$run" "$length" "${thermal[@]}"
    fi
    of_one_kind "$folder" "$found"
    echo "$size: $name at $temperature K, run $run"
    run_piece "$folder" "${options[@]}"
    if only_timed "$folder" "$found"; then return; fi
    mixpi analyse temperature "$folder/mix.extxyz" --skip "$skip" --target "$temperature" \
        --json "$found/temperature.$run.json"
    # a dumbbell that was lost, or one of several, is no reason to leave the other arms
    if unless_stopped mixpi analyse diffusion "$folder/mix.extxyz" --defect sites --lattice bcc \
        --skip "$skip" --keep "$found/dumbbell.$run.npz" 2> "$found/lost.$run.txt" > /dev/null
    then
        rm "$found/lost.$run.txt"
        keep_report "$folder" "$found"
        rm "$folder/mix.extxyz"     # what counts of it is in the results
    else
        cat "$found/lost.$run.txt" >&2
        keep_report "$folder" "$found"
    fi
}

every_arm
end_if_timed

# all runs of an arm together, and the table and the figure of all arms
for folder in "results/$size"/*/; do
    ls "$folder"dumbbell.*.npz > /dev/null 2>&1 || continue
    case $folder in */mace_*) lag=${first:+500} ;; *) lag=$first ;; esac     # 20 ps, of laptop, allow no more
    mixpi analyse diffusion "$folder"dumbbell.*.npz --jump 2.465 ${lag:+--from "$lag"} \
        --json "${folder%/}.json" > /dev/null
done
python table.py "$size"
