"""The parts of i-PI's motions."""

from __future__ import annotations

from typing import Any


def parts_of(motion: Any) -> list[Any]:
    """A motion of i-PI's, or the motions that one of mode 'multi' is made of, to the innermost."""
    parts = getattr(motion, "mlist", None)
    return [motion] if parts is None else [one for part in parts for one in parts_of(part)]
