"""How far the force on an atom depends on others, in a LAMMPS potential."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .lammps_commands import ACCELERATED
from .lammps_potential import Line


#: Pairs alone: the force on an atom depends on what is within the cutoff.
PAIRS = frozenset(
    (
        *("beck", "born", "born/gauss", "buck", "buck/mdf", "gauss", "gauss/cut", "harmonic/cut"),
        *("lennard/mdf", "lepton", "lj/cubic", "lj/cut", "lj/expand", "lj/gromacs", "lj/mdf"),
        *("lj/pirani", "lj/sf", "lj/smooth", "lj/smooth/linear", "lj96/cut", "mie/cut", "morse"),
        *("morse/smooth/linear", "nm/cut", "pedone", "soft", "table", "ufm", "wf/cut", "yukawa"),
        *("zbl", "zero"),
    )
)
#: Sums over sites, or over pairs or triplets within the neighbourhood of one site. The force on
#: an atom is made by all sites within the cutoff, which see as far again.
SITES = frozenset(
    (
        *("adp", "eam", "eam/alloy", "eam/cd", "eam/fs", "eam/he", "edip", "edip/multi"),
        *("meam", "meam/c", "meam/ms", "meam/spline", "meam/sw/spline", "mliap", "pace"),
        *("pod", "snap", "sw", "sw/mod", "tersoff", "tersoff/mod", "tersoff/mod/c"),
        *("tersoff/table", "tersoff/zbl", "threebody/table", "uf3", "vashishta"),
        *("vashishta/table",),
    )
)
_HYBRID = ("hybrid", "hybrid/overlay", "hybrid/scaled")
_CUTOFF = re.compile(r"master list distance cutoff = ([0-9.eE+-]+)")


def cutoff_in(log: str, skin: float = 0.0) -> float | None:
    """The largest cutoff of the pair styles, as LAMMPS itself reports it; Å.

    Parameters
    ----------
    log : str
        What LAMMPS wrote during a run.
    skin : float
        Of the neighbour lists, Å.

    Returns
    -------
    float or None
        None where LAMMPS made no list.
    """
    found = _CUTOFF.findall(log)
    return float(found[-1]) - skin if found else None


def cutoffs_to_see(lines: Sequence[Line]) -> int | None:
    """How many cutoffs away the force on an atom may depend on others.

    Parameters
    ----------
    lines : sequence of Line
        The potential.

    Returns
    -------
    int or None
        1 for pairs, 2 for sums over sites; None for a style of which that is not known:
        charges that equilibrate, bond orders of bond orders, sums in reciprocal space.
    """
    if any(line.command == "kspace_style" for line in lines):
        return None
    styles = styles_of(lines)
    if not styles or not styles <= PAIRS | SITES:
        return None
    return 2 if styles & SITES else 1


def styles_of(lines: Sequence[Line]) -> set[str]:
    """The pair styles of a potential, those of a hybrid one by one, without accelerators.

    Parameters
    ----------
    lines : sequence of Line
        The potential.
    """
    styles: set[str] = set()
    for line in lines:
        if line.command == "pair_style" and len(line.words) > 1:
            main = ACCELERATED.sub("", line.words[1].text)
            # one pair_style takes the place of another
            styles = set() if main in _HYBRID else {main}
        elif line.command == "pair_coeff":
            styles.add(ACCELERATED.sub("", line.style))
    return styles
