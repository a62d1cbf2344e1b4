"""LAMMPS as a library in this process: found, opened, fed, and its errors in words."""

from __future__ import annotations

import ctypes
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ..errors import MixpiError
from ..extras import install, needs
from ..files.working_folder import inside
from .lammps import LammpsSetup
from .lammps_data import lammps_frame


#: Flags of an instance that prints and writes nothing.
SILENT = ("-screen", "none", "-log", "none", "-nocite")


def load_mpi() -> None:
    """Load the MPI library of the wheel, which lies where no loader looks.

    An environment without one keeps the MPI that its LAMMPS was built with.
    """
    for library in sorted(Path(sys.prefix, "lib").glob("libmpi.so.*")):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def open_lammps(flags: Sequence[str] = SILENT) -> Any:
    """A new LAMMPS instance.

    Parameters
    ----------
    flags : sequence of str
        Of LAMMPS's command line.

    Returns
    -------
    lammps.lammps
        To be closed by the caller.

    Raises
    ------
    MixpiError
        If there is no LAMMPS library, or it refuses the flags: with its own words.
    """
    lammps = _library()
    try:
        return lammps(cmdargs=list(flags))
    except Exception as error:  # LAMMPS raises nothing more special
        raise MixpiError(
            f"LAMMPS does not start with {' '.join(flags)}: {_last_words() or words_of(error)}"
        ) from None


@contextmanager
def loaded(atoms: Atoms, setup: LammpsSetup, commands: Sequence[str]) -> Iterator[Any]:
    """A LAMMPS instance that holds the structure and has obeyed the commands.

    Parameters
    ----------
    atoms : Atoms
        Any periodic cell; LAMMPS sees it rotated, :func:`to_lab` turns vectors back.
    setup : LammpsSetup
        Potential and species.
    commands : sequence of str
        What follows the potential's lines, ending with a ``run 0``.

    Yields
    ------
    lammps.lammps
        Closed at the end of the block.

    Raises
    ------
    MixpiError
        If LAMMPS is not installed, or refuses the input: with its own words.
    """
    lmp = open_lammps()
    try:
        with tempfile.TemporaryDirectory(prefix="mixpi-") as folder:
            source = setup.write(atoms, Path(folder), commands)
            read_input(lmp, source)
        yield lmp
    finally:
        lmp.close()


def read_input(lmp: Any, source: Path) -> None:
    """Let an instance obey the input that :meth:`LammpsSetup.write` has made.

    Raises
    ------
    MixpiError
        If LAMMPS refuses it; the instance is of no use then.
    """
    try:
        # the input names its files without folder: a path may hold what LAMMPS mangles
        with inside(source.parent):
            lmp.file(source.name)
    except Exception as error:  # LAMMPS raises nothing more special
        raise MixpiError(f"LAMMPS refused the potential: {words_of(error)}") from None


def words_of(error: Exception) -> str:
    """What LAMMPS says in an exception, without the place in its source."""
    text = re.sub(r"\s*\(src/[^()]*\)", "", str(error).strip())
    return re.sub(r"\s*For more information see \S+", "", text) or type(error).__name__


def has_pair_styles(*styles: str) -> bool:
    """Whether there is a LAMMPS to import, and it was built with these pair styles."""
    try:
        return not _missing(styles)
    except MixpiError:
        return False


def require_pair_styles(*styles: str) -> None:
    """Refuse to go on without a LAMMPS that has these pair styles.

    Raises
    ------
    MixpiError
        If LAMMPS is not installed, or was built without one of them.
    """
    missing = _missing(styles)
    if missing:
        raise MixpiError(
            f"the LAMMPS library of this Python has no pair_style {', '.join(missing)}: "
            f"{install('lammps')}, or build LAMMPS with the package that has it"
        )


def _missing(styles: Sequence[str]) -> list[str]:
    lmp = open_lammps()
    try:
        return [style for style in styles if not lmp.has_style("pair", style)]
    finally:
        lmp.close()


def to_lab(atoms: Atoms, vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) in LAMMPS's frame of the structure → the structure's own."""
    _, rotation = lammps_frame(atoms.cell.array)
    return vectors @ rotation.T


def _last_words() -> str:
    """What LAMMPS said when no instance came to be; the exception does not have it."""
    import lammps

    library = Path(lammps.__file__).parent / "liblammps.so"
    if not library.is_file():
        return ""
    text = ctypes.create_string_buffer(1000)
    ctypes.CDLL(str(library)).lammps_get_last_error_message(None, text, len(text))
    said = text.value.decode(errors="replace").strip()
    return words_of(Exception(said)) if said else ""


def _library() -> Any:
    """The class of instances."""
    load_mpi()
    with needs("lammps", "this"):
        from lammps import lammps
    return lammps
