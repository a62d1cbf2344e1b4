# Sizes of the iron model: $1 -> ARCHITECTURE, TRAINING (flags of mace_run_train)
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/training_metals.sh"
case $1 in
small) ARCHITECTURE=(--r_max 4.5 --hidden_irreps 32x0e --MLP_irreps 16x0e
    --max_num_epochs 90 --start_swa 70 --lr_scheduler_gamma 0.955) ;;
tiny) ARCHITECTURE=(--r_max 3.8 --hidden_irreps 8x0e --MLP_irreps 8x0e
    --max_num_epochs 110 --start_swa 88 --lr_scheduler_gamma 0.962) ;;
*) echo "unknown size $1: small or tiny" >&2; exit 2 ;;
esac
