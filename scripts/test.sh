#!/usr/bin/env bash
# Set up what is needed (once) and run the tests; further arguments go to pytest.
#
#   ./scripts/test.sh                   everything but the slow ones
#   ./scripts/test.sh fast              without those that take more than a second
#   ./scripts/test.sh slow              the long physics tests alone, before a release
#   ./scripts/test.sh tests/unit        a part
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
source "$root/scripts/environment.sh"
mixpi_environment "$root" "ace,cueq,distil,lammps,mace,mpi,symmetrix,test"
cd "$root"
export OMP_NUM_THREADS=1 # the tests and the engines in them share the cores
case ${1:-} in
    fast) chosen="not slow and not full" && shift ;;
    slow) chosen="slow" && shift ;;
    *) chosen="not slow" ;;
esac
# hundreds of processes load the package: compile it once, also where Python is told to keep nothing
python -m compileall -q mixing drivers
ruff check .
ruff format --check .
mypy
exec python -m pytest -n auto --dist worksteal -m "$chosen" "$@"
