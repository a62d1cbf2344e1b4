#!/usr/bin/env bash
# A sheared silicon crystal at rest on mixed forces, with a cheap potential that was constrained to
# the expensive one's crystal and with one that was not, beside all-expensive forces:
#
#   ./run.sh smoke | laptop | paper
#
# What is done is not done again, and a relaxation that was stopped goes on.
set -euo pipefail
cd "$(dirname "$0")"
source ../pieces.sh

size=${1:-} shears="0 0.005 0.015 0.03 0.05 0.075" fmax=0.00002     # eV/Å, at rest
case $size in
    smoke) cells=4 shears="0 0.05" fmax=0.02 ;;
    laptop) cells=6 ;;      # 1,728 atoms
    paper) cells=10 ;;      # 8,000 atoms
    *) echo "use: $0 smoke | laptop | paper" >&2; exit 2 ;;
esac

# arm NAME CONFIGURATION [OPTION ...]: the crystal in $folder at rest on one kind of forces
arm() {
    local name=$1 config=$2
    shift 2
    is_at_rest "$folder/$name" && return
    echo "$size: sheared by $shear, $name"
    (cd "$folder" && mixpi relax "$config" --fmax "$fmax" --steps 5000 --output "$name" --quiet "$@")
}

of_these_potentials "results/$size" \
    ../../models/si-small.model ../../potentials/si-uf3.uf3 si-uf3-unconstrained.uf3
# shellcheck disable=SC2086
python potentials.py "results/$size/potentials.json" $shears     # those that are not there
for shear in $shears; do
    folder=runs/$size/$shear found=results/$size/shear_$shear.json
    [ -e "$found" ] && continue
    mkdir -p "$folder"
    cp ../../models/si-small.model ../../potentials/si-uf3.uf3 si-uf3-unconstrained.uf3 "$folder"
    seeds=$(python sheared_crystal.py "$cells" "$shear" "$folder/init.extxyz")
    sed "s/^seeds: .*/seeds: $seeds/" mixing.yaml > "$folder/constrained.yaml"
    sed "s/si-uf3.uf3/si-uf3-unconstrained.uf3/" "$folder/constrained.yaml" > "$folder/unconstrained.yaml"
    arm expensive constrained.yaml --everywhere expensive
    arm constrained constrained.yaml
    arm unconstrained unconstrained.yaml
    python strain_error.py "$folder" "$found"
done
python table.py "$size"
