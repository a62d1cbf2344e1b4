#!/usr/bin/env bash
# The same ensemble as "mixpi run", started with plain bash: a pattern for your own
# launch scripts. Every process is an ordinary program; put srun, taskset or ssh
# before any of them.
#
#   scripts/run_by_hand.sh FOLDER       a copy of ipi_inputs/si_vacancy_md, for example
set -euo pipefail
case=${1:?folder with input.xml and mixing.yaml}
cd "$case"

# Where the drivers connect (the default names are made from the path of the YAML file),
# and the model.
settings=$(python - <<'END'
from mixpi.config import load_config
config = load_config("mixing.yaml")
print(config.cheap.socket.address, config.expensive.socket.address, config.expensive.mace.model)
END
)
read -r cheap expensive model <<<"$settings"

# Also clears socket files that a killed run has left, which would look like i-PI's.
mixpi check --fast input.xml

pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true' EXIT

# 1. i-PI with the mixing layer: it opens both sockets.
OPENBLAS_NUM_THREADS=1 i-pi input.xml >i-pi.log 2>&1 &
ipi=$!
pids+=("$ipi")

# 2. The expensive driver waits for its socket by itself.
mixpi driver mace --address "$expensive" --model "$model" --threads 1 >mace.log 2>&1 &
pids+=("$!")

# 3. LAMMPS does not wait: start it when the socket is there.
until [ -S "/tmp/ipi_$cheap" ]; do
    kill -0 "$ipi" || { cat i-pi.log; exit 1; }
    sleep 0.1
done
mixpi driver lammps input.xml --folder lammps >lammps.log 2>&1 &
pids+=("$!")

wait "$ipi"
# i-PI's exit code is 0 whatever happened; the mixing layer leaves word of a failure.
if [ -f mixpi.failure ]; then
    cat mixpi.failure >&2
    exit 1
fi
echo "done: mix.extxyz, mix.steps, md.out in $case"
