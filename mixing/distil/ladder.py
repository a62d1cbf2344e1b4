"""Which bases a scan tries where none are given: a ladder of ranges, in the crystal's own units."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from matscipy.neighbours import neighbour_list

from .config import BasisConfig


#: Ranges of pairs, in units of the shortest distance.
_PAIRS = (2.2, 2.7)
#: Ranges of triples. In bcc 1.25 takes in the second neighbours, in diamond 1.8.
_TRIPLES = (1.25, 1.4, 1.8)
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
        EAM alone, EAM with near triples of UF3, and UF3 alone.
    """
    unit = float(neighbour_list("d", crystal, 6.0).min(initial=6.0))

    def rounded(ratio: float) -> float:
        return float(np.round(ratio * unit, 1))

    found = [{"eam": {"cutoff": rounded(pairs)}} for pairs in _PAIRS]
    for triples in _TRIPLES:
        three = {
            "cutoff_3b": rounded(triples),
            "start_3b": rounded(_START),
            "intervals_3b": 5,
        }
        near = {"cutoff": rounded(triples), "intervals": 2, **three}
        found += [{"eam": {"cutoff": rounded(pairs)}, "uf3": near} for pairs in _PAIRS]
        found.append({"uf3": {"cutoff": max(rounded(_PAIRS[0]), rounded(triples)), **three}})
    return [BasisConfig.model_validate(basis) for basis in found]
