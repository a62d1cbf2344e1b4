# Sizes of the iron model: $1 -> ARCHITECTURE, TRAINING (flags of mace_run_train)
case $1 in
small) ARCHITECTURE=(--r_max 4.5 --hidden_irreps 32x0e --MLP_irreps 16x0e) ;;
tiny) ARCHITECTURE=(--r_max 3.8 --hidden_irreps 8x0e --MLP_irreps 8x0e) ;;
*) echo "unknown size $1: small or tiny" >&2; exit 2 ;;
esac
# As for tungsten, but with Huber's loss, which gives forces better by a fifth.
TRAINING=(--max_num_epochs 80 --start_swa 62 --lr_scheduler_gamma 0.95
    --batch_size 2 --loss universal --huber_delta 0.02 --E0s average
    --energy_weight 20 --forces_weight 10 --stress_weight 300
    --swa_lr 0.0002 --swa_energy_weight 400 --swa_forces_weight 10 --swa_stress_weight 2000
    --compute_stress True --stress_key REF_stress
    --num_cutoff_basis 6 --scheduler ExponentialLR)
