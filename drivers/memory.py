"""Memory that is used again and again is kept: torch gives it back after every evaluation."""

from __future__ import annotations

import ctypes
import os
import sys


#: ``mallopt``'s numbers (malloc.h): when free memory at the end of the heap is given back to the
#: system (bytes), and how many blocks may be mapped each by itself.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_memory() -> bool:
    """Let this process keep what it frees, for its next use; whether that could be arranged.

    An evaluation needs hundreds of large blocks for a moment. The C library gets each from the
    system, which fills it with zeros, and gives it back: half the time of a mace-torch evaluation
    of 720 atoms. What it costs is memory (half as much again, where sizes change). Whoever says in
    the environment how memory is to be had (``MALLOC_…``, ``GLIBC_TUNABLES``) is listened to;
    elsewhere than on glibc nothing is changed.
    """
    said = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if said or not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1) and mallopt(_M_MMAP_MAX, 0))
