#!/usr/bin/env bash
# Glide of a screw dislocation in tungsten under shear, on cheap, mixed and all-expensive forces:
#
#   ./run.sh smoke | laptop | paper
#   ./run.sh small          the all-expensive arm in a reasonable time, beside a mixed one
#
# Runs that are done are not run again, one that was stopped goes on. RUNS=3 ./run.sh laptop adds
# independent runs up to the third of each arm; STRESSES="1500 2000" (MPa), TEMPERATURES="300 600"
# and ARMS="mixed expensive" choose some; STEPS=40 makes runs that long, in folders of their own
# (paper_40), to see what a step takes.
set -euo pipefail
cd "$(dirname "$0")"
source ../pieces.sh

size=${1:-} runs=${RUNS:-1} options=()
stresses=${STRESSES:-2000} temperatures=${TEMPERATURES:-300} arms=${ARMS:-cheap mixed expensive}
# of 4 fs; Burgers vectors of line, cells along the glide and the normal; frames of a position
steps=5000 skip=2000 stride=10 averaged=5
case $size in
    smoke) cells="3 6 8" steps=100 skip=0 stride=2 averaged=1 options=(--no-reference)
        arms=${ARMS:-mixed expensive} ;;
    small) cells="3 10 12" steps=2000 stride=5 averaged=4 ;;      # 2,160 atoms
    laptop) cells="5 16 22" ;;      # 10,560 atoms
    paper) cells="25 26 50" steps=50000 options=(--no-reference) ;;     # 195,000 atoms
    *) echo "use: $0 smoke | laptop | paper" >&2; exit 2 ;;
esac
steps=${STEPS:-$steps} relaxed=runs/$size/relax/relaxed.extxyz

# potentials_into FOLDER: the files that mixing.yaml names
potentials_into() {
    local file
    for file in ../../potentials/w-* ../../models/w-*.model; do
        if grep -qw "$(basename "$file")" mixing.yaml; then cp "$file" "$1"; fi
    done
}

# seeds WORDS < YAML: other seeds
seeds() {
    sed -e "/^seeds:/,/^\$/c seeds: $1\n"
}

# at rest by the cheap potential, without a load
if [ ! -e "$relaxed" ]; then
    mkdir -p "runs/$size/relax"
    # shellcheck disable=SC2086
    python screw.py make $cells "runs/$size/relax/init.extxyz" > /dev/null
    potentials_into "runs/$size/relax"
    sed -e '/^loads:/,/^$/d' mixing.yaml | seeds none > "runs/$size/relax/mixing.yaml"
    (cd "runs/$size/relax" && mixpi relax mixing.yaml --quiet)
fi

size+=${STEPS:+_$STEPS}

# arm NAME STRESS TEMPERATURE: one more run of an arm, and where the line is in it
arm() {
    local name=$1 stress=$2 temperature=$3 lower upper from to
    local arm=${name}_${stress}_$temperature
    local folder=runs/$size/$arm/$run found=results/$size/$arm
    [ -e "$found/run.$run.json" ] && return
    if [ ! -e "$folder/input.xml" ]; then
        mkdir -p "$folder"
        cp mixing_pes.py "$folder"
        potentials_into "$folder"
        python screw.py shear "$relaxed" "$stress" "$folder/init.extxyz" > "$folder/bounds"
        # shellcheck disable=SC1091
        source "$folder/bounds"     # lower, upper, from, to
        sed -e "s/abs(z - 30) < 14/z > $from and z < $to/" -e "s/z > 50/z > $upper/" \
            -e "s/z < 10/z < $lower/" -e "s/\[1000, /[$stress, /" -e "s/\[-1000, /[-$stress, /" \
            -e "s/stride: 10/stride: $stride/" mixing.yaml > "$folder/mixed.yaml"
        case $name in
            mixed) cat ;;
            cheap) seeds none ;;
            # the surfaces are left out: the model is wrong about them
            expensive) seeds "where z > $from and z < $to" ;;
            *) echo "no such arm: $name" >&2; exit 2 ;;
        esac < "$folder/mixed.yaml" > "$folder/mixing.yaml"
        thermal "$temperature"
        write_input input.xml "$folder" "$arm/$run" "$steps" "${thermal[@]}"
    fi
    of_one_kind "$folder" "$found"
    echo "$size: $name, $stress MPa, $temperature K, run $run"
    run_piece "$folder" "${options[@]}"
    if only_timed "$folder" "$found"; then return; fi
    # shellcheck disable=SC1091
    source "$folder/bounds"
    if unless_stopped mixpi analyse line "$folder/mix.extxyz" --cutoff 3.838 --glide y --normal z \
        --within "$from" "$to" --averaged $averaged --skip "$skip" \
        --json "$found/line.$run.json" 2> "$found/none.$run.txt"
    then
        rm "$found/none.$run.txt"
        keep_report "$folder" "$found"
        rm "$folder/mix.extxyz"     # what counts of it is in the results
    else
        keep_report "$folder" "$found"
    fi
}

for run in $(seq "$runs"); do
    for temperature in $temperatures; do
        for stress in $stresses; do
            for name in $arms; do
                arm "$name" "$stress" "$temperature"
            done
        done
    done
done

end_if_timed

# all runs of an arm together, and the table and the figure of all arms
for folder in "results/$size"/*/; do
    if compgen -G "$folder"line.*.json > /dev/null; then
        mixpi analyse combine "$folder"line.*.json --json "${folder%/}.json" > /dev/null
    fi
done
python table.py "$size"
