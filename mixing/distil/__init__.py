"""Distil a cheap linear potential from an expensive one, under hard constraints.

The data's way is the order of the modules: ``config`` → ``data`` → ``bases`` (one module
each) → ``fitting`` on ``least_squares`` → ``repulsion`` → ``measuring`` with
``properties``, ``cost`` → ``report``; ``distilling`` walks it, on
what ``preparing`` has found; ``scanning`` walks it for several bases.
"""

from .distilling import Distilled, distil
from .report import as_markdown, summary, write_report
from .scan_report import scan_as_markdown, write_scan
from .scanning import scan


__all__ = [
    "Distilled",
    "as_markdown",
    "distil",
    "scan",
    "scan_as_markdown",
    "summary",
    "write_report",
    "write_scan",
]
