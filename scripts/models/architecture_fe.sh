# Sizes of the iron model: $1 -> ARCHITECTURE, TRAINING (flags of mace_run_train)
# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/training_metals.sh"
case $1 in
small) ARCHITECTURE=(--r_max 4.5 --hidden_irreps 32x0e --MLP_irreps 16x0e
    --max_num_epochs 80 --start_swa 62 --lr_scheduler_gamma 0.95) ;;
tiny) ARCHITECTURE=(--r_max 3.8 --hidden_irreps 8x0e --MLP_irreps 8x0e
    --max_num_epochs 100 --start_swa 76 --lr_scheduler_gamma 0.96) ;;
*) echo "unknown size $1: small or tiny" >&2; exit 2 ;;
esac
