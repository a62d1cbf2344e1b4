"""The words of a per-atom compute of LAMMPS, as a user writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from ..errors import MixpiError
from .lammps_commands import CODE, PACKED, require_unambiguous


#: Computes whose values come from a potential, and words of others that do.
FROM_POTENTIAL = re.compile(r"pe/atom|(centroid/)?stress/atom|rattlers/atom|\w+(/\w+)*/tally")
FORCES = frozenset(("fx", "fy", "fz"))
#: How many lists of neighbours away others decide about the value of an atom, by LAMMPS's source:
#: 1 where its own list is all that is read, 2 where the lists of its neighbours are, too. Not
#: here is what counts clusters or divides by the volume (cluster/atom, entropy/atom), sees images
#: without lists (voronoi/atom), or may read what an atom before has left: ackland/atom where there
#: are fewer than six neighbours.
SEES = {
    **{f"{name}/atom": 1 for name in ("centro", "coord", "hexorder", "orientorder", "sna")},
    **{f"{name}/atom": 2 for name in ("cna", "cnp")},
}
_STYLE = re.compile(r"(?P<style>[\w/]+)(\[(?P<column>[1-9]\d{0,5})\])?")
_NUMBER = re.compile(r"[0-9]+|[0-9]*\.[0-9]+|[0-9]+\.")


@dataclass(frozen=True)
class ComputeCommand:
    """A compute without ``compute ID group``.

    Attributes
    ----------
    text : str
        As it was written: ``style ...``, or ``style[k] ...`` for column k of an array.
    style : str
        Its name.
    words : tuple of str
        What follows.
    column : int or None
        From 1; None for the only value of each atom.
    """

    text: str
    style: str
    words: tuple[str, ...]
    column: int | None

    @classmethod
    def read(cls, text: str) -> ComputeCommand:
        """Take a command apart.

        Raises
        ------
        MixpiError
            If it could be more than a compute.
        """
        words = require_unambiguous(text).split()
        found = _STYLE.fullmatch(words[0]) if words else None
        if found is None:
            raise MixpiError(
                f"seeds: '{text}' does not begin with the name of a compute, or of a column from 1 "
                "on (stress/atom[1] ...)"
            )
        for word in words:
            if word in CODE or word.startswith("mliap"):
                raise MixpiError(
                    f"seeds: '{text}': {word} may load code, and 'mixpi check' is to be safe on "
                    "files of others: write a Python function instead (function)"
                )
            if PACKED.search(word):
                raise MixpiError(f"seeds: '{text}': unpack the file {word}")
        column = int(found["column"]) if found["column"] else None
        return cls(" ".join(words), found["style"], tuple(words[1:]), column)

    @property
    def definition(self) -> str:
        """What LAMMPS is told."""
        return " ".join((self.style, *self.words))

    @property
    def needs_potential(self) -> bool:
        """Whether the values come from forces or energies."""
        if FROM_POTENTIAL.fullmatch(self.style):
            return True
        return self.style == "property/atom" and bool(FORCES & set(self.words))

    @property
    def sees(self) -> int | None:
        """How many lists of neighbours away others decide; None where that is not known."""
        # axes of centro/atom stay as they were where no pair of neighbours is found
        return None if "axes" in self.words else SEES.get(self.style)

    @property
    def lengths(self) -> list[float]:
        """Numbers that are written as lengths (Å), with a point or after 'cutoff'; ascending."""
        return sorted(
            float(word)
            for before, word in pairwise((self.style, *self.words))
            if _NUMBER.fullmatch(word) and ("." in word or before == "cutoff")
        )
