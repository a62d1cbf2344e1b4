"""Arrays as text, for what travels in an INIT message at every evaluation."""

from __future__ import annotations

import base64

import numpy as np


def packed(numbers: np.ndarray, kind: str) -> str:
    """Base64 of an array's bytes: twenty times as fast as a list of digits, and shorter.

    Parameters
    ----------
    numbers : ndarray
        Flat.
    kind : str
        As what they travel: ``"<f4"``, ``"<i4"``.

    Returns
    -------
    str
    """
    return base64.b64encode(np.ascontiguousarray(numbers, dtype=kind).tobytes()).decode()


def unpacked(text: str, kind: str) -> np.ndarray:
    """What :func:`packed` has written.

    Parameters
    ----------
    text : str
        Of it.
    kind : str
        As for it.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, TypeError
        If it is something else.
    """
    return np.frombuffer(base64.b64decode(text, validate=True), dtype=kind)
