#!/usr/bin/env bash
# A mixed simulation from nothing: 511 silicon atoms around a vacancy, MACE near it
# and LAMMPS elsewhere. Ends with a report, a trajectory and two pictures.
#
#   ./scripts/demo.sh [OUTPUT_FOLDER]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source "$root/scripts/environment.sh"
mixpi_environment "$root" "lammps,mace,symmetrix,test"

case=${1:-$root/build/demo/si_vacancy_md}
mkdir -p "$case"
cp "$root"/ipi_inputs/si_vacancy_md/* "$case"
cd "$case"

mixpi check input.xml
mixpi run input.xml
mixpi plot input.xml
cat <<END

Look at it:
  $case/mixpi.cell.png     the cell, coloured by region
  $case/mixpi.steps.png    regions, temperature, time per stage
  $case/mix.extxyz         trajectory for OVITO or ASE (colour by mix_weight or mix_region)
  $case/mixpi.report.json  the numbers above
END
