"""A short-range repulsion over a written potential, where the data never came."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

from ase.data import atomic_numbers

from .basis import Written
from .config import RepulsionConfig
from .overlay import Layer, layers_line, layers_of


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
    layers, coefficients = layers_of(written.lammps)
    # the repulsion is there for every pair of types: nothing need stand for those without a style
    layers = [layer for layer in layers if layer.style[0] != "zero"]
    coefficients = [line for line in coefficients if line.split()[3] != "zero"]
    ranges = [repulsion, INERT] if inert else [repulsion]
    layers += [Layer(("zbl", f"{r.inner:.4g}", f"{r.outer:.4g}")) for r in ranges]
    lines = [layers_line(layers), *coefficients]
    types = written.species
    for one, two in combinations_with_replacement(range(len(types)), 2):
        # a style that is there twice is numbered
        number = ""
        if inert:
            number = "2 " if {types[one], types[two]} & set(inert) else "1 "
        a, b = atomic_numbers[types[one]], atomic_numbers[types[two]]
        lines.append(f"pair_coeff {one + 1} {two + 1} zbl {number}{a} {b}")
    return tuple(lines)
