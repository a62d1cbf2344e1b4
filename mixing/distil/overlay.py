"""Several pair styles as one potential: LAMMPS's ``hybrid/overlay`` and ``hybrid/scaled``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One of the pair styles that are added.

    Attributes
    ----------
    style : tuple of str
        Its words in the ``pair_style`` line.
    factor : float
        What its energy is multiplied with.
    """

    style: tuple[str, ...]
    factor: float = 1.0


def layers_line(layers: Sequence[Layer]) -> str:
    """The ``pair_style`` line of a sum."""
    if all(layer.factor == 1.0 for layer in layers):
        words = [word for layer in layers for word in layer.style]
        return f"pair_style hybrid/overlay {' '.join(words)}"
    words = [word for layer in layers for word in (f"{layer.factor:g}", *layer.style)]
    return f"pair_style hybrid/scaled {' '.join(words)}"


def layers_of(lammps: Sequence[str]) -> tuple[list[Layer], list[str]]:
    """The layers of a potential, and its ``pair_coeff`` lines, which name their style.

    Parameters
    ----------
    lammps : sequence of str
        A ``pair_style`` line, of one style or of :func:`layers_line`, then ``pair_coeff``
        lines.
    """
    words = lammps[0].split()[1:]
    if words[0] not in ("hybrid/overlay", "hybrid/scaled"):
        lines = [line.split() for line in lammps[1:]]
        return [Layer(tuple(words))], [" ".join([*w[:3], words[0], *w[3:]]) for w in lines]
    scaled = words[0] == "hybrid/scaled"
    named = {line.split()[3] for line in lammps[1:]}
    layers: list[Layer] = []
    for position, word in enumerate(words):
        if word in named:
            factor = float(words[position - 1]) if scaled else 1.0
            following = words[position + 1 :]
            count = next((k for k, w in enumerate(following) if w in named), len(following))
            # the factor of the next one is no word of this one
            end = count - 1 if scaled and count < len(following) else count
            layers.append(Layer((word, *following[:end]), factor))
    return layers, list(lammps[1:])
