"""The numbers at the end of a run: where the time went, and what the mixing did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..blend.levels import POOLS
from ..errors import MixpiError
from ..files.replacing import replace_text
from ..ipi.input import IpiInput
from ..output.loads import read_loads
from ..output.records import CHEAP_LAYER, read_steps
from ..structure import read_structure
from .dynamics import describe_dynamics
from .properties import written_last
from .statistics import mean, settled_from


if TYPE_CHECKING:
    from ..run.outcome import Outcome
    from ..run.speed_up import SpeedUp


REPORT_FILE = "mixpi.report.json"

STAGES = {
    "ipi": "i-PI (dynamics and its output)",
    "regions": "regions and cluster",
    "cheap_layer": "waiting for all cheap forces",
    "cheap": "waiting for cheap",
    "cheap_cluster": "waiting for cheap on the cluster",
    "expensive": "waiting for expensive",
    "send": "  (of these, handing out the work)",
    "blending": "blending",
    "output": "mixpi's own output",
}
#: Evaluations of each start of the program that the times leave out: the first waits for the
#: drivers to start, and torch optimises a model during the next ones.
WARM_UP = 5


def make_report(ipi_input: IpiInput) -> dict:
    """Evaluate the files that a run left.

    Parameters
    ----------
    ipi_input : IpiInput
        The run.

    Returns
    -------
    dict
        Ready for JSON. All is about the part of the run since it was continued last (all of
        it if it never was), except for what is under ``whole``.

    Raises
    ------
    MixpiError
        If the run did not get as far as one evaluation.
    """
    rows = run_steps(ipi_input)
    parts = np.unique(rows["part"])
    part = {name: column[rows["part"] == parts[-1]] for name, column in rows.items()}
    # a run is continued from the last step that is before the part
    begins = [int(rows["step"][rows["part"] < number][-1]) for number in parts[1:]]
    n_atoms = len(read_structure(ipi_input.config_path.parent / ipi_input.config.structure))
    start, last = int(rows["step"][0]), int(rows["step"][-1])
    first = begins[-1] if begins else start
    # i-PI has written the state that it began with only if that was the start of all;
    # an earlier run's row may have another zero of energy
    before = first if first else -1
    return {
        "steps": last,
        "first_step": first,
        "continued_from": begins if begins or first == 0 else [first],
        "evaluations": len(part["step"]),
        "atoms": n_atoms,
        "beads": ipi_input.beads,
        **_times(part),
        "regions": {
            name: [float(np.min(part[name])), _median(part[name]), float(np.max(part[name]))]
            for name in ("core", "blend", "buffer")
        },
        **_physics(ipi_input, part, n_atoms, first=before),
        **({"probes": _probes(part, n_atoms)} if "probed" in part else {}),
        "lost_drivers": int(part["lost_drivers"][-1]),
        "loads": read_loads(ipi_input.folder),
        "whole": {
            "first_step": start,
            "evaluations": len(rows["step"]),
            **_physics(ipi_input, rows, n_atoms, first=start if start else -1),
        },
    }


def report_run(ipi_input: IpiInput, outcome: Outcome) -> dict:
    """As :func:`make_report`, with what the launcher knows of the run."""
    return {
        **make_report(ipi_input),
        "status": outcome.status,
        "driver_restarts": outcome.restarts,
        "warnings": outcome.warnings,
        "wall_s": outcome.seconds,
    }


def run_steps(ipi_input: IpiInput) -> dict[str, np.ndarray]:
    """The steps file of a run, each row once.

    Returns
    -------
    dict
        As :func:`mixpi.output.records.read_steps`.

    Raises
    ------
    MixpiError
        If there is no such file or nothing in it.
    """
    path = ipi_input.folder / ipi_input.config.output.steps
    if not path.exists():
        raise MixpiError(f"{path} does not exist: run 'mixpi run {ipi_input.path.name}' first")
    rows = read_steps(path)
    if "step" not in rows:
        raise MixpiError(f"{path} has no column 'step': an older mixpi has written it")
    if len(rows["step"]) == 0:
        raise MixpiError(f"{path} holds no evaluation: there is nothing to report")
    kept = written_last(rows["step"], rows_a_step=True)
    return {name: column[kept] for name, column in rows.items()}


def add_speed_up(report: dict, found: SpeedUp) -> None:
    """Write a measured speed-up into a report."""
    report["speed_up"] = _median(found.ratios)
    report["all_expensive_s"] = _median(found.all_expensive)
    report["mixed_s"] = _median(found.mixed)
    report["speed_up_range"] = [float(np.min(found.ratios)), float(np.max(found.ratios))]
    report["speed_up_pairs"] = {
        "mixed_s": found.mixed,
        "all_expensive_s": found.all_expensive,
        "warmed_up": found.warmed_up,
    }


def write_report(report: dict, folder: Path) -> Path:
    """Write the machine-readable form beside the input."""
    path = folder / REPORT_FILE
    replace_text(path, json.dumps(report, indent=2) + "\n")
    return path


def _physics(ipi_input: IpiInput, rows: dict, n_atoms: int, *, first: int) -> dict:
    """Net force and dynamics of the steps behind ``first`` that the rows are about."""
    dynamics = describe_dynamics(ipi_input, n_atoms, first=first, last=int(rows["step"][-1]))
    if "temperature_K" in dynamics:
        begin = dynamics["averages_from_step"]
    else:
        left_out = settled_from(rows["net_force"])
        begin = int(rows["step"][left_out]) if left_out else None
    settled = rows["net_force"][rows["step"] >= (first if begin is None else begin)]
    average = mean(settled)
    return {
        "net_force": {
            "mean": average.value,
            "error": average.error if average.tells else None,
            "max": float(np.max(rows["net_force"])),
            "removed": ipi_input.config.remove_net_force,
            "averages_from_step": begin,
        },
        "dynamics": dynamics,
    }


def _probes(rows: dict, n_atoms: int) -> dict:
    """Looks at atoms outside the region: how many, at what cost, and when all have been seen."""
    probed = rows["probed"] > 0
    if not probed.any():
        return {"count": 0}
    steps = rows["step"][probed]
    # of evaluations of all atoms, before seeds are found, probes are no part
    some = rows["core"] + rows["blend"] < n_atoms
    region = float(rows["region_ms"][some].sum())
    return {
        "count": len(steps),
        "atoms": _median(rows["probed"][probed]),
        "ms": _median(rows["probe_ms"][probed]),
        "every": _median(np.diff(steps)) if len(steps) > 1 else None,
        "cost": float(rows["probe_ms"].sum()) / region if region else None,
        "tour": int(rows["tour"][-1]),
    }


def _times(rows: dict) -> dict:
    """Times of the evaluations, and of the steps if these have several."""
    left_out = WARM_UP if len(rows["step"]) >= 4 * WARM_UP else 1
    later = {name: column[left_out:] for name, column in rows.items()}
    if len(later["step"]) == 0:
        left_out, later = 0, rows
    own = later["ipi"] + later["regions"] + later["blending"] + later["output"]
    stages = [name for name in STAGES if name in rows]
    total = own + np.max([later[pool] for pool in POOLS if pool in rows], axis=0)
    if CHEAP_LAYER in rows:  # they came before the others
        total = total + later[CHEAP_LAYER]
    numbers, index, counts = np.unique(later["step"], return_inverse=True, return_counts=True)
    each = int(np.bincount(counts).argmax())
    whole = counts == each  # the first and the last step may have fewer evaluations
    found = {
        "times_leave_out": left_out,
        "evaluation_ms": {"median": _median(total), "mean": float(np.mean(total))},
        "stages_ms": {name: _median(later[name]) for name in stages},
        "stage_share": {name: float(later[name].sum() / total.sum()) for name in stages},
        "overhead_ms": {"median": _median(own)},
        "evaluations_per_step": each,
    }

    def a_step(values: np.ndarray) -> float:
        return _median(np.bincount(index, values, len(numbers))[whole])

    found["step_ms"] = {"median": a_step(total)}
    found["step_stages_ms"] = {name: a_step(later[name]) for name in stages}
    return found


def _median(values: Sequence[float] | np.ndarray) -> float:
    return float(np.median(values))
