"""A short-range repulsion over a written potential, where the data never came."""

from __future__ import annotations

from itertools import combinations_with_replacement

from ase.data import atomic_numbers

from .basis import Written
from .config import RepulsionConfig


#: Å; of pairs with an inert species: He and W never come closer at rest.
INERT_OUTER = 1.4


def default_repulsion(shortest: float, *, inert: bool) -> RepulsionConfig:
    """Out of the reach of the data.

    Parameters
    ----------
    shortest : float
        Shortest distance in the data, Å.
    inert : bool
        Whether there are species that the potential leaves alone.
    """
    outer = min(0.9 * shortest, INERT_OUTER) if inert else 0.9 * shortest
    return RepulsionConfig(inner=0.6 * outer, outer=outer)


def with_repulsion(written: Written, repulsion: RepulsionConfig) -> tuple[str, ...]:
    """LAMMPS lines of a potential with ZBL laid over it.

    Parameters
    ----------
    written : Written
        Its first line is a ``pair_style``; the others are ``pair_coeff``.
    repulsion : RepulsionConfig
        Where it is.

    Returns
    -------
    tuple of str
    """
    style = written.lammps[0].split()[1:]
    if style[0] == "hybrid/overlay":
        style = style[1:]
    name = style[0]
    zbl = f"zbl {repulsion.inner:.4g} {repulsion.outer:.4g}"
    lines = [f"pair_style hybrid/overlay {' '.join(style)} {zbl}"]
    for line in written.lammps[1:]:
        words = line.split()
        named = words[3] in (name, "zero")
        lines.append(" ".join(words if named else [*words[:3], name, *words[3:]]))
    types = written.species
    for one, two in combinations_with_replacement(range(len(types)), 2):
        a, b = atomic_numbers[types[one]], atomic_numbers[types[two]]
        lines.append(f"pair_coeff {one + 1} {two + 1} zbl {a} {b}")
    return tuple(lines)
