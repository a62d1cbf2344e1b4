"""The potentials of a mixed simulation, cheapest first, and what parts of the forces they make.

Everything that goes over the potentials (pools of drivers, clusters, records, reports) goes
over these lists; a further potential is a line here and a section of the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One potential, as it is asked.

    Attributes
    ----------
    pool : str
        Key of its drivers in the configuration.
    on_cluster : bool
        Whether it is shown the atoms of positive weight with their surroundings; else the
        whole system.
    """

    pool: str
    on_cluster: bool


CHEAP = Level("cheap", on_cluster=False)
CHEAP_ON_CLUSTER = Level("cheap_cluster", on_cluster=True)
EXPENSIVE = Level("expensive", on_cluster=True)

#: All, cheapest first.
LEVELS = (CHEAP, CHEAP_ON_CLUSTER, EXPENSIVE)
POOLS = tuple(level.pool for level in LEVELS)

#: What a mixing layer may compute → who has to be asked.
#: force: all of it; cheap: the cheap forces alone; delta: what the expensive ones differ by.
PARTS = {
    "force": (CHEAP, EXPENSIVE),
    "cheap": (CHEAP,),
    "delta": (CHEAP_ON_CLUSTER, EXPENSIVE),
}
