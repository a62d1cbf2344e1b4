"""Distil a cheap linear potential from an expensive one, under hard constraints.

The data's way is the order of the modules: ``config`` → ``data`` → ``bases`` (one module
each) → ``fitting`` on ``least_squares`` → ``repulsion`` → ``properties``, ``cost`` →
``report``; ``distilling`` walks it.
"""

from .distilling import Distilled, distil
from .report import summary, write_report


__all__ = ["Distilled", "distil", "summary", "write_report"]
