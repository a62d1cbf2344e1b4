#!/usr/bin/env bash
# Try to break it, many times: a thousand malformed replies (some minutes), and a table.
#
#   ./scripts/campaigns.sh
#   ./scripts/campaigns.sh protocol --tries 100 --seed 7
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source "$root/scripts/environment.sh"
mixpi_environment "$root" "ace,lammps,mace,test"
cd "$root"
export OMP_NUM_THREADS=1
PYTHONPATH=tests exec python -m campaigns "$@"
