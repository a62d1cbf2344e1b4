"""What a state of seeds must be before somebody goes on from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..errors import MixpiError


def require_parts(state: Mapping[str, np.ndarray], names: Iterable[str], otherwise: str) -> None:
    """Refuse a state in which something is missing.

    Parameters
    ----------
    state : mapping of str to ndarray
    names : iterable of str
        What it must have.
    otherwise : str
        What is wrong with it if it has not.

    Raises
    ------
    MixpiError
    """
    missing = [name for name in names if name not in state]
    if missing:
        raise MixpiError(f"the state of the seeds lacks {', '.join(missing)}: {otherwise}")


def of_another_system(state: Mapping[str, np.ndarray], count: int) -> MixpiError:
    """What is said of a state of other atoms than the structure's ``count``."""
    return MixpiError(
        f"the state of the seeds is that of {np.size(state['mask'])} atoms, the structure "
        f"has {count}: it belongs to another system"
    )
