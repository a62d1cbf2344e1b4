"""The loads of drivers in words: who computes, who idles, for whom the run waits."""

from __future__ import annotations

from ..blend.levels import POOLS


#: Drivers of a pool that have a line each; of more, the pool has one.
MOST_LINES = 8
#: Share of the busiest driver's load below which another one of its pool idles.
IDLE = 0.1
#: Of the busier pool's load, below which the other pool has time to spare.
SPARE = 0.7


def load_sentences(loads: dict, beads: int) -> list[str]:
    """What :func:`mixpi.output.loads.read_loads` has found, line by line.

    Parameters
    ----------
    loads : dict
        Of a report.
    beads : int
        Structures that each pool is given at a time.
    """
    if not loads:
        return []
    pools: dict[str, dict[str, dict]] = {}
    for name, load in loads["drivers"].items():
        pools.setdefault(name.rpartition("-")[0], {})[name] = load
    lines = ["how much of the time each driver computed (from the second evaluation on):"]
    for pool, drivers in pools.items():
        lines += _of_pool(pool, drivers)
    for pool, drivers in pools.items():
        lines += _idle(pool, drivers, beads)
    return lines + _bottleneck(pools)


def _of_pool(pool: str, drivers: dict[str, dict]) -> list[str]:
    if len(drivers) <= MOST_LINES:
        return [
            f"  {name}: {load['share']:.0%}, {load['evaluations']} evaluations"
            for name, load in drivers.items()
        ]
    shares = [load["share"] for load in drivers.values()]
    counts = [load["evaluations"] for load in drivers.values()]
    share = f"{min(shares):.0%} to {max(shares):.0%}"
    return [
        f"  {len(drivers)} {pool} drivers: {share}, {min(counts)} to {max(counts)} evaluations each"
    ]


def _idle(pool: str, drivers: dict[str, dict], beads: int) -> list[str]:
    busiest = max(load["seconds"] for load in drivers.values())
    idle = [name for name, load in drivers.items() if load["seconds"] < IDLE * busiest]
    if not idle:
        return []
    names = idle[0] if len(idle) == 1 else f"{len(idle)} of the {len(drivers)} {pool} drivers"
    verb = "idles" if len(idle) == 1 else "idle"
    structures = "1 structure" if beads == 1 else f"{beads} structures"
    why = (
        f": a pool has {structures} at a time to compute, one for each bead"
        if len(drivers) > beads
        else ""
    )
    return [f"  {names} {verb}{why}"]


def _bottleneck(pools: dict[str, dict[str, dict]]) -> list[str]:
    """For which pool the run waits, where that is clear."""
    busiest = {
        pool: max(load["share"] for load in pools[pool].values()) for pool in POOLS if pool in pools
    }
    if len(busiest) < 2:
        return []
    slow, quick, *_ = sorted(busiest, key=lambda pool: -busiest[pool])
    if busiest[quick] > SPARE * busiest[slow]:
        return []
    return [
        f"  the run waits for the {slow} drivers; the {quick} ones have time to spare "
        f"({busiest[slow]:.0%} against {busiest[quick]:.0%})"
    ]
