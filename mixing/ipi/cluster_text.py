"""What drivers of clusters are told of a cluster, beside its positions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..blend.clusters import Cluster, depths_of
from ..drivers.driver import Driver
from ..sockets.pool import init_text


def cluster_text(
    driver: Driver,
    cluster: Cluster,
    geometries: Sequence[np.ndarray],
    cells: Sequence[np.ndarray],
    buffer: float,
    *,
    sites: bool = False,
    spread: bool = False,
) -> str:
    """The INIT text of a cluster: its species, and how deep its atoms lie if that is wanted.

    Parameters
    ----------
    driver : Driver
        Says whether it wants depths.
    cluster : Cluster
        Shared by all geometries.
    geometries : sequence of ndarray, shape (n, 3)
        Of the whole system, Å.
    cells : sequence of ndarray, shape (3, 3)
        Rows are lattice vectors, Å; one a geometry.
    buffer : float
        Å; up to which all atoms are there.
    sites, spread : bool
        Whether it is asked for site energies, and for the spread of a committee's forces, too.
    """
    if not driver.wants_depths:
        return init_text(cluster.numbers, sites=sites, spread=spread)
    depths = cluster.depths
    if depths is None or len(geometries) > 1:
        depths = depths_of(cluster, geometries, cells, buffer)
    return init_text(cluster.numbers, depths, buffer, cluster.indices, sites=sites, spread=spread)
