"""Where mixpi keeps what it has found out about a model."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``MIXPI_CACHE``, else ``mixpi`` in ``XDG_CACHE_HOME`` or ``~/.cache``."""
    if chosen := os.environ.get("MIXPI_CACHE"):
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME")
    # the XDG specification: a path that is not absolute is to be ignored
    if home and os.path.isabs(home):
        return Path(home) / "mixpi"
    try:
        return Path.home() / ".cache" / "mixpi"
    except RuntimeError:  # a user without an entry, as in some containers
        return Path("/.cache/mixpi")
