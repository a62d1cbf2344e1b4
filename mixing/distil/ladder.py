"""Which bases a scan tries where none are given: a ladder of ranges, in the crystal's own units."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from .bonds import shortest_distance
from .config import BasisConfig


#: Ranges of pairs, in units of the shortest distance: short, and long.
_SHORT, _LONG = 1.85, 2.7
#: Range of the angles of ADP, and its radial functions and layers.
_ANGLES, _ADP = 1.57, ((3, None), (4, 2), (5, 3), (5, None))
#: Range of triples: the second neighbours in bcc, but not in diamond.
_TRIPLES = 1.4
#: Where three-body terms begin; thermal motion does not come so near.
_START = 0.65


def ladder(crystal: Atoms) -> list[BasisConfig]:
    """Bases from the cheapest to moderate ones.

    Parameters
    ----------
    crystal : Atoms
        Its shortest distance is the unit of the ranges.

    Returns
    -------
    list of BasisConfig
        EAM alone, with ADP, with near triples of UF3, and UF3 alone.
    """
    unit = shortest_distance(crystal, 6.0)

    def rounded(ratio: float) -> float:
        return float(np.round(ratio * unit, 1))

    short, long = ({"cutoff": rounded(range_)} for range_ in (_SHORT, _LONG))
    angles = [
        {"cutoff": rounded(_ANGLES), "radials": radials, "layers": layers}
        for radials, layers in _ADP
    ]
    triples = {"cutoff_3b": rounded(_TRIPLES), "start_3b": rounded(_START), "intervals_3b": 5}
    near = {"cutoff": rounded(_TRIPLES), "intervals": 2, **triples}
    found = [
        *({"eam": pairs} for pairs in (short, long)),
        *({"eam": short, "adp": adp} for adp in angles),
        *({"eam": pairs, "uf3": near} for pairs in (short, long)),
        {"uf3": {**long, **triples}},
    ]
    return [BasisConfig.model_validate(basis) for basis in found]
