"""What became of several runs, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ..analysis.report import REPORT_FILE
from ..files.replacing import replace_text


if TYPE_CHECKING:
    from .several import Several


def as_dict(several: Several) -> dict:
    """The same, ready for JSON.

    Parameters
    ----------
    several : Several

    Returns
    -------
    dict
        ``runs`` (number, folder, status, message, steps, of, ms a step, warnings), ``shared``
        (driver → evaluations, seconds, and share of the time since the first request), ``restarts``
        of these, ``wall_s``.
    """
    runs = [
        {
            "number": one.number,
            "folder": str(one.folder),
            "status": one.outcome.status,
            "message": one.outcome.message,
            "steps": one.done,
            "of": one.total,
            "step_ms": one.report["step_ms"]["median"] if one.report else None,
            "warnings": one.outcome.warnings,
        }
        for one in several.runs
    ]
    shared = {
        name: {
            "evaluations": done.evaluations,
            "seconds": done.seconds,
            "share": done.seconds / done.elapsed,
        }
        for name, done in sorted(several.served.items())
        if done.elapsed
    }
    return {
        "runs": runs,
        "shared": shared,
        "restarts": several.restarts,
        "wall_s": several.seconds,
    }


def write(several: Several, folder: Path) -> Path:
    """Write it beside the folders of the runs."""
    path = folder / REPORT_FILE
    replace_text(path, json.dumps(as_dict(several), indent=2) + "\n")
    return path


def show(several: Several, console: Console) -> None:
    """Print it."""
    found = as_dict(several)
    table = Table(title=f"{len(found['runs'])} runs", title_justify="left")
    table.add_column("run", justify="right")
    table.add_column("outcome")
    for column in ("steps", "ms a step", "warnings"):
        table.add_column(column, justify="right")
    for run in found["runs"]:
        step_ms = "" if run["step_ms"] is None else f"{run['step_ms']:.2f}"
        steps = f"{run['steps']} of {run['of']}"
        warnings = str(len(run["warnings"]) or "")
        table.add_row(str(run["number"]), run["status"], steps, step_ms, warnings)
    console.print(table)
    for name, done in found["shared"].items():
        restarts = found["restarts"].get(name)
        again = f", replaced {restarts} times" if restarts else ""
        console.print(
            f"shared {name}: {done['evaluations']} evaluations, busy for {done['share']:.0%} of "
            f"the time{again}",
            markup=False,
        )
