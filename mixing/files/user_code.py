"""Python code of the user's: what it raises, in words."""

from __future__ import annotations

import traceback


def words_of(error: BaseException) -> str:
    """An exception in a line, with the place where it was raised."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {text}"
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{': ' + text[:500] if text else ''}{place}"
