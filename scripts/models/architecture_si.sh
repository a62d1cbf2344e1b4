# Sizes of the silicon model: $1 -> ARCHITECTURE, TRAINING (flags of mace_run_train)
case $1 in
small) ARCHITECTURE=(--r_max 4.5 --hidden_irreps 32x0e --MLP_irreps 16x0e
    --max_num_epochs 110 --start_swa 80) ;;
tiny) ARCHITECTURE=(--r_max 4.0 --hidden_irreps 8x0e --MLP_irreps 8x0e
    --max_num_epochs 160 --start_swa 120) ;;
*) echo "unknown size $1: small or tiny" >&2; exit 2 ;;
esac
TRAINING=(--batch_size 5 --loss weighted --energy_weight 5 --forces_weight 100
    --swa_lr 0.001 --swa_energy_weight 500 --swa_forces_weight 100)
