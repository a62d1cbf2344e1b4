# Sizes of the tungsten-helium model: $1 -> ARCHITECTURE, TRAINING (flags of mace_run_train)
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/training_metals.sh"
case $1 in
small) ARCHITECTURE=(--r_max 5.0 --hidden_irreps 32x0e --MLP_irreps 16x0e
    --max_num_epochs 150 --start_swa 120 --lr_scheduler_gamma 0.97) ;;
tiny) ARCHITECTURE=(--r_max 4.2 --hidden_irreps 8x0e --MLP_irreps 8x0e
    --max_num_epochs 150 --start_swa 120 --lr_scheduler_gamma 0.97) ;;
*) echo "unknown size $1: small or tiny" >&2; exit 2 ;;
esac
