#!/usr/bin/env bash
# Try to break it, many times: kills, malformed replies, broken files, odd surroundings; tables.
#
#   ./scripts/campaigns.sh                     all four, for long (hours)
#   ./scripts/campaigns.sh kill --tries 20     one of them
#   ./scripts/campaigns.sh --minutes 10        each for ten minutes at most
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source "$root/scripts/environment.sh"
mixpi_environment "$root" "ace,cueq,distil,lammps,mace,mpi,symmetrix,test"
cd "$root"
export OMP_NUM_THREADS=1
PYTHONPATH=tests exec nice python -m campaigns "$@"
