"""How much each driver of a pool has computed."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass


#: bytes of extras in which a driver's own word for its time is looked for: energies of many
#: atoms may stand beside it.
_MOST_READ = 2**20


@dataclass
class Load:
    """What one driver has done.

    Attributes
    ----------
    evaluations : int
    seconds : float
        For which it has computed.
    """

    evaluations: int = 0
    seconds: float = 0.0


def computing_seconds(extras: bytes, elapsed: float) -> float:
    """For how long a driver has computed a reply, s.

    Parameters
    ----------
    extras : bytes
        Of the reply; drivers of ours say it there (``driver_seconds``).
    elapsed : float
        s between request and reply: believed where the driver says nothing, or nonsense.
    """
    if not 0 < len(extras) <= _MOST_READ:
        return elapsed
    try:
        found = json.loads(extras)["driver_seconds"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return elapsed
    sound = isinstance(found, float) and math.isfinite(found) and 0.0 <= found <= elapsed
    return found if sound else elapsed
