"""What the INIT text of a mixing layer says of the structure that follows it."""

from __future__ import annotations

import json

import numpy as np

from ..errors import MixpiError
from .packed import unpacked


def told_in(text: str) -> dict:
    """What an INIT text of the mixing layer says, `` mixpi : {json} , ``."""
    begin, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[begin : end + 1])
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def numbers_in(told: dict) -> np.ndarray:
    """Atomic numbers (m,) in what an INIT text says; empty if it has none."""
    try:
        return np.array(told["numbers"], dtype=int)
    except (ValueError, KeyError, TypeError, OverflowError):
        return np.empty(0, dtype=int)


def depths_in(told: dict) -> dict:
    """How deep each atom of a cluster lies, for an engine that takes it; empty of a whole system.

    Raises
    ------
    MixpiError
        If it is told in part, or is no numbers.
    """
    if "depths" not in told and "buffer" not in told:
        return {}
    try:
        depths = unpacked(told["depths"], "<f4").astype(float)
        places = unpacked(told["places"], "<i4")
        buffer = float(told["buffer"])
    except (KeyError, TypeError, ValueError):
        raise MixpiError(
            "the server told depths that are no numbers, no buffer, or no places of the atoms"
        ) from None
    return {"depths": depths, "buffer": buffer, "places": places}


def system_in(told: dict) -> int:
    """Which of several runs a structure is of, where drivers are shared; 0 elsewhere.

    Raises
    ------
    MixpiError
        If it is no number.
    """
    system = told.get("system", 0)
    if not isinstance(system, int):
        raise MixpiError("the server told a system that is no number")
    return system


def refuse_batches(text: str) -> None:
    """Refuse several structures at a time, which an ``<ffsocket>`` may send.

    Raises
    ------
    MixpiError
        If the text announces them.
    """
    if "batch_size" in text:
        raise MixpiError(
            "this driver takes one structure at a time: remove <batch_size> from the <ffsocket>"
        )
