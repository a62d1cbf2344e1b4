# Sizes of the tungsten-helium model: $1 -> ARCHITECTURE (flags of mace_run_train)
case $1 in
small) ARCHITECTURE=(--r_max 5.0 --hidden_irreps 32x0e --MLP_irreps 16x0e
    --max_num_epochs 80 --start_swa 46) ;;
tiny) ARCHITECTURE=(--r_max 4.2 --hidden_irreps 8x0e --MLP_irreps 8x0e
    --max_num_epochs 72 --start_swa 54) ;;
*) echo "unknown size $1: small or tiny" >&2; exit 2 ;;
esac
ARCHITECTURE+=(--scheduler ExponentialLR --lr_scheduler_gamma 0.965)
