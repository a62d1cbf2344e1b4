#!/usr/bin/env bash
# Set up what is needed (once) and run the tests; arguments go to pytest.
#
#   ./scripts/test.sh                   everything (thirteen minutes)
#   ./scripts/test.sh tests/unit        a part
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source "$root/scripts/environment.sh"
mixpi_environment "$root" "ace,lammps,mace,test"
cd "$root"
export OMP_NUM_THREADS=1 # two engines share the cores
ruff check .
ruff format --check .
exec python -m pytest "$@"
