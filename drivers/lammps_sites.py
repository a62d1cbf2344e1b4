"""LAMMPS computes some of its atoms, which see all others: no other program, no other files.

Pair styles loop over the atoms that have a neighbour list. Two of LAMMPS's settings decide who
has one. ``atom_modify first`` puts the atoms of a group to the front of the arrays, and with
``neigh_modify include`` lists are made for these only. The second is meant for the same group, and
then its atoms see nobody else. But which atoms are *seen* goes by the group of ``include``, and
LAMMPS compares the two names only when ``include`` is set: with everybody included, and sites
first, a few sites have lists, and all atoms are in them.

That is so where lists are made without bins (``neighbor nsq``), whose cost is sites times atoms.
It is a side effect and no promise of LAMMPS: so the number of lists is looked at in each
evaluation, and the forces compared at the first (:mod:`mixpi.drivers.lammps_partial`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import MixpiError
from .lammps_commands import ACCELERATED
from .lammps_potential import Line
from .lammps_reach import PAIRS, styles_of


#: Styles whose energy is a sum over atoms, each with a list of all its neighbours.
SITE_STYLES = frozenset({"mliap", "pace", "pod", "snap"})
_SITES, _EVERYBODY = "mixpi_sites", "mixpi_everybody"
#: Of the work for an atom that is only seen, in balancing ranks.
_SEEN = 0.02


def require_site_styles(lines: Sequence[Line]) -> str:
    """Refuse a potential that is no sum over sites, each of its own.

    Parameters
    ----------
    lines : sequence of Line
        The potential.

    Returns
    -------
    str
        The style that is a sum over sites.

    Raises
    ------
    MixpiError
        If there is another, which would lose a part of its forces.
    """
    styles = styles_of(lines)
    others = sorted(styles - SITE_STYLES - PAIRS)
    found = sorted(styles & SITE_STYLES)
    if others or not found:
        raise MixpiError(
            f"partial evaluation is for {', '.join(sorted(SITE_STYLES))}, alone or with pairs "
            f"over them, not for {' '.join(others) or 'pairs alone'}: leave 'partial' out and "
            "take a wider buffer"
        )
    return found[0]


def reach_of_pairs(lines: Sequence[Line], cutoff: float) -> float:
    """How far the pairs of a potential reach, at the most; Å.

    Their lists hold each pair once, by one of its atoms. Where only the other one is a site the
    pair is lost: so sites must go as far as pairs do.

    Parameters
    ----------
    lines : sequence of Line
        The potential.
    cutoff : float
        Å; of all its styles.
    """
    if not styles_of(lines) & PAIRS:
        return 0.0
    if styles_of(lines) & PAIRS > {"zbl"}:
        return cutoff
    styles = next(line for line in reversed(lines) if line.command == "pair_style")
    words = [ACCELERATED.sub("", word.text) for word in styles.words]
    try:
        return min(cutoff, float(words[words.index("zbl") + 2]))
    except (ValueError, IndexError):  # its outer cutoff is a variable
        return cutoff


def prepare(lmp: Any) -> None:
    """Make an instance ready for :func:`choose`, before there are atoms."""
    for command in (
        f"group {_EVERYBODY} empty",
        f"group {_SITES} empty",
        f"atom_modify first {_EVERYBODY}",
        f"neigh_modify include {_EVERYBODY}",
    ):
        lmp.command(command)


def choose(lmp: Any, sites: int | None) -> None:
    """Let the atoms with the ids 1 to ``sites`` be computed among all that are there; None: all.

    LAMMPS has no way back from ``include``; with everybody in both groups all is as without.
    """
    first, lists = (_EVERYBODY, "bin") if sites is None else (_SITES, "nsq")
    for command in (
        f"group {_EVERYBODY} clear",
        f"group {_EVERYBODY} id >= 1",
        f"group {_SITES} clear",
        f"group {_SITES} id <= {sites or 0}",
        f"atom_modify first {first}",
        f"neighbor 0.0 {lists}",
    ):
        lmp.command(command)


def balance(lmp: Any) -> None:
    """Divide the sites among the ranks."""
    weights = f"weight group 2 {_EVERYBODY} {_SEEN} {_SITES} {1 / _SEEN}"
    lmp.command(f"balance 1.05 shift xyz 10 1.05 {weights}")


def require_lists(lmp: Any, style: str, sites: int) -> None:
    """Look whether as many atoms have neighbour lists as were chosen.

    On several ranks each knows its own only, and nothing is looked at.

    Raises
    ------
    MixpiError
        If others have: this LAMMPS makes its lists in another way.
    """
    if lmp.extract_setting("world_size") > 1:
        return
    number = lmp.find_pair_neighlist(style)
    found = lmp.get_neighlist_size(number) if number >= 0 else 0
    if found != sites:
        raise other_lammps(f"{found} atoms have neighbour lists, {sites} should")


def other_lammps(found: str) -> MixpiError:
    """What to say where LAMMPS does not do what is relied on here."""
    return MixpiError(
        f"this LAMMPS cannot compute some of its atoms: {found}. Leave 'partial' out and take a "
        "wider buffer"
    )
