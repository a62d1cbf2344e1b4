"""What the expensive drivers are told of a cluster, beside its positions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..blend.clusters import Cluster, depths_of
from ..config import MixingConfig
from ..sockets.pool import init_text


def cluster_text(
    config: MixingConfig,
    cluster: Cluster,
    geometries: Sequence[np.ndarray],
    cells: Sequence[np.ndarray],
) -> str:
    """The INIT text of a cluster: its species, and how deep its atoms lie if that is wanted.

    Parameters
    ----------
    config : MixingConfig
        Says whether the driver wants depths, and the buffer.
    cluster : Cluster
        Shared by all geometries.
    geometries : sequence of ndarray, shape (n, 3)
        Of the whole system, Å.
    cells : sequence of ndarray, shape (3, 3)
        Rows are lattice vectors, Å; one a geometry.
    """
    if not config.expensive.driver.wants_depths:
        return init_text(cluster.numbers)
    buffer, depths = config.regions.buffer, cluster.depths
    if depths is None or len(geometries) > 1:
        depths = depths_of(cluster, geometries, cells, buffer)
    return init_text(cluster.numbers, depths, buffer, cluster.indices)
