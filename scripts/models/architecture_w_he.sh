# Sizes of the tungsten-helium model: $1 -> ARCHITECTURE (flags of mace_run_train)
# The pair repulsion keeps He and W apart where there are no training data.
case $1 in
small) ARCHITECTURE=(--r_max 5.0 --hidden_irreps 32x0e --MLP_irreps 16x0e --pair_repulsion
    --max_num_epochs 64 --start_swa 46) ;;
tiny) ARCHITECTURE=(--r_max 4.2 --hidden_irreps 8x0e --MLP_irreps 8x0e --pair_repulsion
    --max_num_epochs 100 --start_swa 74) ;;
*) echo "unknown size $1: small or tiny" >&2; exit 2 ;;
esac
# collisions have forces of 50 eV/Å, which would drown all others
ARCHITECTURE+=(--config_type_weights '{"Default": 1.0, "collisions": 0.1}')
