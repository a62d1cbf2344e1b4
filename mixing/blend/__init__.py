"""From weights to mixed forces: the cluster, the blend, one evaluation without sockets."""
