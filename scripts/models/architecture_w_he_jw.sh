# Sizes of the tungsten-helium model: $1 -> ARCHITECTURE, TRAINING (flags of mace_run_train)
case $1 in
small) ARCHITECTURE=(--r_max 4.8 --hidden_irreps 32x0e --MLP_irreps 16x0e --pair_repulsion) ;;
tiny) ARCHITECTURE=(--r_max 4.2 --hidden_irreps 8x0e --MLP_irreps 8x0e --pair_repulsion) ;;
*) echo "unknown size $1: small or tiny" >&2; exit 2 ;;
esac
# Energies count from an atom of the crystal and from helium alone, or the cohesive energy would
# have to be learnt first. Stresses fix the lattice constant, which forces of thermal cells at a
# fixed volume do not. The first stage is for the forces, whose learning heavy energies disturb; the
# second one is for energies and stresses. Huber's loss, which forgives outliers, learns no surfaces.
# Scaled by the forces of the frames, which collisions make large, no energy is learnt.
TRAINING=(--scaling no_scaling --max_num_epochs 45 --start_swa 36 --lr_scheduler_gamma 0.92
    --batch_size 4 --loss stress --E0s "{2: 0.0, 74: -8.8547}"
    --energy_weight 300 --forces_weight 100 --stress_weight 5000
    --swa_lr 0.0002 --swa_energy_weight 5000 --swa_forces_weight 100 --swa_stress_weight 20000
    --compute_stress True --stress_key REF_stress
    --num_cutoff_basis 6 --scheduler ExponentialLR)
