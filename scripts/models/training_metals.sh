# Training flags of the metals -> TRAINING (flags of mace_run_train).
# Energies count from the mean of each species, or the cohesive energy, eight times the
# rest, would have to be learnt first. Stresses fix the lattice constant, which forces of
# thermal cells at a fixed volume do not. The first stage is for the forces, whose
# learning heavy energies disturb; the second one is for energies and stresses.
TRAINING=(--batch_size 4 --loss stress --E0s average
    --energy_weight 50 --forces_weight 100 --stress_weight 5000
    --swa_lr 0.0002 --swa_energy_weight 1000 --swa_forces_weight 100 --swa_stress_weight 20000
    --compute_stress True --stress_key REF_stress
    --num_cutoff_basis 6 --scheduler ExponentialLR)
