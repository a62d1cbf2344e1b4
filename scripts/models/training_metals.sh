# Training flags of the metals -> TRAINING (flags of mace_run_train).
# Bulk metals are mostly at rest, and a few frames have forces of 10 eV/Å: Huber's loss
# keeps these from drowning the rest. Energies count from the mean of each species, as the
# cohesive energy would have to be learnt first. Stresses fix the lattice constant, which
# forces of thermal cells at a fixed volume do not. The first stage learns forces, for
# which the noise of heavy energies is a hindrance; the second one energies and stresses.
TRAINING=(--batch_size 2 --loss universal --huber_delta 0.02 --E0s average
    --energy_weight 2 --forces_weight 10 --stress_weight 10
    --swa_lr 0.0003 --swa_energy_weight 100 --swa_forces_weight 10 --swa_stress_weight 500
    --compute_stress True --stress_key REF_stress
    --num_cutoff_basis 6 --lr 0.005 --scheduler ExponentialLR)
