"""Files that ASE reads, always as a list of frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase import Atoms
from ase.io import read


def read_atoms(path: str | Path, index: int | slice | str = -1, **options: Any) -> list[Atoms]:
    """Frames of a file, in any format that ASE reads.

    Parameters
    ----------
    path : path-like
        The file.
    index : int, slice or str
        Which frames, as ASE takes it; a single one, too, comes in a list.
    **options
        For ASE's reader of the format.

    Returns
    -------
    list of Atoms
        As they are in the file: Å, eV, eV/Å.

    Raises
    ------
    Exception
        Whatever the reader of the format raises.
    """
    found = read(path, index=index, **options)
    return found if isinstance(found, list) else [found]
