"""The one exception that the command line turns into a message instead of a traceback."""

from __future__ import annotations


class MixpiError(Exception):
    """Something the user can put right: what is wrong, where, and the way out."""
