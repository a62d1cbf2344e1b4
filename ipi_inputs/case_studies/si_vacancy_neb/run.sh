#!/usr/bin/env bash
# The barrier of a vacancy's hop in silicon on mixed, all-expensive and cheap forces:
#
#   ./run.sh smoke | laptop | paper
#
# What is done is not done again, and a relaxation or a band that was stopped goes on.
set -euo pipefail
cd "$(dirname "$0")"
source ../pieces.sh

size=${1:-}
ends=0.002 band=0.01 images=9      # eV/Å, at rest
case $size in
    smoke) cells=2 ends=9 band=9 images=3 ;;
    laptop) cells=4 ;;             # 511 atoms
    paper) cells=10 ;;             # 7,999 atoms
    *) echo "use: $0 smoke | laptop | paper" >&2; exit 2 ;;
esac

folder=$PWD/runs/$size results=$PWD/results/$size
mkdir -p "$folder" "$results"
if [ ! -e "$folder/mixing.yaml" ]; then
    example=../../si_vacancy_neb
    cp $example/si-small.model $example/si-uf3.uf3 "$folder"
    seeds=$(python ../../../scripts/make_vacancy.py "$cells" "$folder/init.extxyz" \
        --hop "$folder/last.extxyz" | sed 's/.*seeds: //')
    sed "s/^seeds: .*/seeds: $seeds/" $example/mixing.yaml > "$folder/mixing.yaml"
fi
of_these_potentials "$results" "$folder"/{si-small.model,si-uf3.uf3}

# timed ARM COMMAND ...: a command, and the seconds that it takes
timed() {
    local arm=$1 start=$SECONDS code=0
    shift
    "$@" --quiet || code=$?
    echo "$((SECONDS - start)) $2" >> "$results/$arm.seconds"
    return "$code"
}

# arm NAME [OPTION ...]: ends, band and barrier with one kind of forces
arm() {
    local name=$1 end
    shift
    if [ -e "$results/$name.json" ]; then
        echo "$size: $name is done (results/$size/$name.json)"
        return
    fi
    echo "$size: $name"
    cd "$folder"
    for end in init last; do
        is_at_rest "$name.$end" && continue
        timed "$name" mixpi relax mixing.yaml "$end.extxyz" --fmax "$ends" --steps 5000 \
            --output "$name.$end" "$@"
    done
    [ -e "$name.path.extxyz" ] || mixpi path "$name.init.extxyz" "$name.last.extxyz" \
        --images "$images" --output "$name.path.extxyz"
    # a band that does not come to rest is said to in the table
    timed "$name" mixpi neb mixing.yaml --images "$name.path.extxyz" --fmax "$band" \
        --steps 300 --output "$name.neb" "$@" || grep -q '"converged": false' "$name.neb.json"
    mixpi barrier mixing.yaml --images "$name.neb.extxyz" --output "$name"
    cp "$name.neb.json" "$name.json" "$results"
    cd - > /dev/null
}

arm mixed
arm expensive --everywhere expensive
arm cheap --everywhere cheap
python table.py "$size"
