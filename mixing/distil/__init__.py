"""Distil a cheap linear potential from an expensive one, under hard constraints.

The data's way is the order of the modules: ``config`` → ``data`` → ``bases`` (one module
each) → ``fitting`` on ``least_squares`` → ``repulsion`` → ``measuring`` with
``properties``, ``cost`` → ``report``; ``distilling`` walks it.
"""

from .distilling import Distilled, distil
from .report import as_markdown, summary, write_report


__all__ = ["Distilled", "as_markdown", "distil", "summary", "write_report"]
