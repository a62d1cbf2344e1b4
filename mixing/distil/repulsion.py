"""A short-range repulsion over a written potential, where the data never came."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

from ase.data import atomic_numbers

from .basis import Written
from .config import RepulsionConfig


#: Of pairs with an inert species: He and W never come so close at rest.
INERT = RepulsionConfig(inner=0.84, outer=1.4)


def default_repulsion(shortest: float) -> RepulsionConfig:
    """Out of the reach of the data, whose shortest distance is given (Å)."""
    return RepulsionConfig(inner=0.54 * shortest, outer=0.9 * shortest)


def with_repulsion(
    written: Written, inert: Sequence[str], repulsion: RepulsionConfig
) -> tuple[str, ...]:
    """LAMMPS lines of a potential with ZBL laid over it.

    Parameters
    ----------
    written : Written
        Its first line is a ``pair_style``; the others are ``pair_coeff``.
    inert : sequence of str
        The species whose pairs repel at :data:`INERT` distances.
    repulsion : RepulsionConfig
        Of all other pairs.

    Returns
    -------
    tuple of str
    """
    style = written.lammps[0].split()[1:]
    if style[0] == "hybrid/overlay":
        style = style[1:]
    ranges = [repulsion, INERT] if inert else [repulsion]
    zbl = " ".join(f"zbl {r.inner:.4g} {r.outer:.4g}" for r in ranges)
    lines = [f"pair_style hybrid/overlay {' '.join(style)} {zbl}"]
    for line in written.lammps[1:]:
        words = line.split()
        named = words[3] in (style[0], "zero")
        lines.append(" ".join(words if named else [*words[:3], style[0], *words[3:]]))
    types = written.species
    for one, two in combinations_with_replacement(range(len(types)), 2):
        # a style that is there twice is numbered
        number = ""
        if inert:
            number = "2 " if {types[one], types[two]} & set(inert) else "1 "
        a, b = atomic_numbers[types[one]], atomic_numbers[types[two]]
        lines.append(f"pair_coeff {one + 1} {two + 1} zbl {number}{a} {b}")
    return tuple(lines)
