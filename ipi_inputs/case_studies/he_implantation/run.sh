#!/usr/bin/env bash
# Helium at normal incidence on W{100} at 1,000 K, on mixed and on all-expensive forces:
#
#   ./run.sh smoke | laptop | paper
#
# Shots that are done are not made again, one that was stopped goes on. SHOTS=30 ./run.sh laptop
# makes shots up to the thirtieth of each arm and energy; ENERGIES="20 80" (eV) and ARMS=mixed
# choose some.
set -euo pipefail
cd "$(dirname "$0")"
source ../pieces.sh

# the potentials, as mixing.yaml names them, and the lattice constant at 1,000 K (Å)
model=../../models/w-he-jw-tiny.model cheap=../../potentials/w-jw lattice=3.198

size=${1:-} arms=${ARMS:-mixed expensive} time=1000 displacement=0.02 core=5.0 blend=2.0  # fs, Å
# of each slab: cells along the surface, cells across it, steps of 2 fs, steps between its states,
# fs that are left out
case $size in
    smoke) shots=${SHOTS:-1} energies=${ENERGIES:-10} vacuum=15 time=80 displacement=0.1
        mixed=(3 3 20 10 0) expensive=(3 3 20 10 0) ;;
    laptop) shots=${SHOTS:-5} energies=${ENERGIES:-10 20 40 80} vacuum=30 displacement=0.04
        mixed=(8 12 4000 125 4000) expensive=(6 9 1000 125 1000) ;;
    paper) shots=${SHOTS:-100} energies=${ENERGIES:-10 20 40 60 80} vacuum=50 core=6.0 blend=4.0
        mixed=(15 30 7500 125 5000) expensive=(15 15 7500 125 5000) ;;
    *) echo "use: $0 smoke | laptop | paper" >&2; exit 2 ;;
esac

# put FOLDER SEEDS [SED_OPTION ...]: all that a simulation needs but its structure and its input
put() {
    local folder=$1 seeds=$2
    shift 2
    mkdir -p "$folder"
    cp mixing_pes.py "$folder"
    ln -sf "$(realpath "$model")" "$(realpath "$cheap")".{eam.alloy,uf3} "$folder"
    sed -e "s/^seeds: .*/seeds: $seeds/" "$@" mixing.yaml > "$folder/mixing.yaml"
}

# slab ARM SEEDS CELLS LAYERS STEPS STRIDE SKIP: the slab of an arm at 1,000 K, on the forces that
# act far from helium
slab() {
    local folder=runs/$size/slab_$1
    if [ ! -e "$folder/input.xml" ]; then
        put "$folder" "$2" -e '/^time_step:/,/^cheap:/ { /^cheap:/! d }' -e "s/stride: 50/stride: $6/"
        python slab.py "$3" "$4" "$lattice" "$vacuum" "$folder/init.extxyz"
        write_input slab.xml "$folder" "$size/$1" "$5"
    fi
    is_done "$folder" || run_piece "$folder" --no-reference > "$folder/report.txt"
}

# shot ARM SEEDS SKIP ENERGY NUMBER: one shot, and what became of it
shot() {
    local folder=runs/$size/${1}_$4/$5 found=results/$size/${1}_$4 ends
    [ -e "$found/fate.$5.json" ] && return
    if [ ! -e "$folder/input.xml" ]; then
        mkdir -p "$folder"
        ends=$(python shot.py "runs/$size/slab_$1/mix.extxyz" "$3" "$5" "$4" "$folder")
        put "$folder" "$2" -e "s/core: 5.0/core: $core/" -e "s/blend: 2.0/blend: $blend/" \
            -e "s/displacement: 0.02/displacement: $displacement/" -e "s/time: 1000/time: $time/" \
            -e "s/z > 50 or z < 5/$ends/"
        write_input input.xml "$folder" "$folder" 100000
    fi
    of_one_kind "$folder" "$found"
    echo "$size: $1, $4 eV, shot $5"
    run_piece "$folder" --no-reference > "$folder/report.txt"
    python keep.py "$folder" "$found/cost.$5.json"
    mixpi analyse reflection "$folder/mix.extxyz" --species He --json "$found/fate.$5.json" > /dev/null
    # what counts of them is in the results
    rm -f "$folder"/{mix.extxyz,md.checkpoint,RESTART}
}

for name in $arms; do
    case $name in
        mixed) slab mixed none "${mixed[@]}" ;;
        expensive) slab expensive all "${expensive[@]}" ;;
        *) echo "no such arm: $name" >&2; exit 2 ;;
    esac
done
for number in $(seq "$shots"); do
    for energy in $energies; do
        for name in $arms; do
            case $name in
                mixed) shot mixed "species He" "${mixed[4]}" "$energy" "$number" ;;
                expensive) shot expensive all "${expensive[4]}" "$energy" "$number" ;;
            esac
        done
    done
done

# all shots of an arm and energy together, and the table and the figure of all
for folder in "results/$size"/*/; do
    compgen -G "$folder"fate.*.json > /dev/null || continue
    mixpi analyse reflection "$folder"fate.*.json --json "${folder%/}.json" > /dev/null
done
python table.py "$size"
