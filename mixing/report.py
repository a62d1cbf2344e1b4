"""The numbers at the end of a run: where the time went, and what the mixing did."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
from ipi import read_output
from rich.console import Console
from rich.table import Table

from .commands import driver_environment, mace_command
from .errors import MixpiError
from .ipi_input import IpiInput
from .records import read_steps


REPORT_FILE = "mixpi.report.json"

STAGES = {
    "ipi": "i-PI (dynamics and its output)",
    "regions": "regions and cluster",
    "cheap": "waiting for cheap",
    "expensive": "waiting for expensive",
    "send": "  (of both, handing out the work)",
    "blending": "blending",
    "output": "mixpi's own output",
}


def make_report(ipi_input: IpiInput, *, reference_seconds: float | None = None) -> dict:
    """Evaluate the files that a run left.

    Parameters
    ----------
    ipi_input : IpiInput
        The run.
    reference_seconds : float, optional
        s for one expensive evaluation of the whole system.

    Returns
    -------
    dict
        Ready for JSON.

    Raises
    ------
    MixpiError
        If the run did not get as far as one evaluation.
    """
    steps_file = ipi_input.folder / ipi_input.config.output.steps
    steps = read_steps(steps_file) if steps_file.exists() else {}
    if not steps or len(steps["evaluation"]) == 0:
        raise MixpiError(f"{steps_file} holds no evaluation: there is nothing to report")
    # the first evaluation waits for the drivers to start
    later = {name: column[1:] for name, column in steps.items()}
    if len(later["evaluation"]) == 0:
        later = steps
    slower = np.maximum(later["cheap"], later["expensive"])
    own = later["ipi"] + later["regions"] + later["blending"] + later["output"]
    total = own + slower
    evaluations = len(steps["evaluation"])
    report = {
        "evaluations": evaluations,
        "steps": int(steps["step"][-1]),
        "evaluation_ms": {"median": _median(total), "mean": float(np.mean(total))},
        "stages_ms": {name: _median(later[name]) for name in STAGES},
        "stage_share": {name: float(later[name].sum() / total.sum()) for name in STAGES},
        "overhead_ms": {
            "median": _median(own),
        },
        "regions": {
            name: [float(np.min(steps[name])), _median(steps[name]), float(np.max(steps[name]))]
            for name in ("core", "blend", "buffer")
        },
        "net_force": {
            "mean": float(np.mean(steps["net_force"])),
            "max": float(np.max(steps["net_force"])),
            "removed": ipi_input.config.remove_net_force,
        },
        "lost_drivers": int(steps["lost_drivers"][-1]),
        "dynamics": _dynamics(ipi_input),
    }
    if reference_seconds is not None:
        report["all_expensive_s"] = reference_seconds
        report["speed_up"] = 1e3 * reference_seconds / report["evaluation_ms"]["median"]
    return report


def _median(values) -> float:
    return float(np.median(values))


def _dynamics(ipi_input: IpiInput) -> dict:
    """Temperature and drift from i-PI's properties, as far as they are written."""
    path = ipi_input.properties_file
    if path is None or not path.exists():
        return {}
    try:
        columns, units = read_output(str(path))
    except Exception:  # i-PI's reader fails in many ways on a file that was cut short
        return {}
    columns = {name: np.atleast_1d(values) for name, values in columns.items()}
    if ipi_input.first_step > 0:
        # The energy estimate begins anew with each part of a run: report this one only.
        if "step" not in columns:
            return {}
        part = columns["step"] > ipi_input.first_step
        columns = {name: values[part] for name, values in columns.items()}
    if len(next(iter(columns.values()))) == 0:
        return {}
    result = {}
    if "temperature" in columns and units["temperature"][0] == "kelvin":
        temperature = columns["temperature"]
        result["temperature_K"] = {
            "mean": float(np.mean(temperature)),
            "std": float(np.std(temperature)),
            "last": float(temperature[-1]),
        }
    if "time" not in columns or len(columns["time"]) < 3:
        return result
    scale = {"femtosecond": 1e-3, "picosecond": 1.0}.get(units["time"][0])
    if scale is None or np.ptp(columns["time"]) == 0.0:
        return result
    time = columns["time"] * scale
    if "temperature_K" in result:
        result["temperature_K"]["slope_per_ps"] = float(
            np.polyfit(time, columns["temperature"], 1)[0]
        )
    if "conserved" in columns and units["conserved"][0] == "electronvolt":
        result["energy_drift_eV_per_ps"] = float(np.polyfit(time, columns["conserved"], 1)[0])
    return result


def time_all_expensive(ipi_input: IpiInput) -> float | None:
    """Seconds for one expensive evaluation of the whole system, in a process of its own.

    Returns
    -------
    float or None
        None where it cannot be measured: no MACE driver, or not enough memory.
    """
    driver = ipi_input.config.expensive
    home = ipi_input.config_path.parent
    if driver.mace is None:
        return None
    structure = str(home / ipi_input.config.structure)
    argv = [*mace_command(driver.mace, home), "--time", structure]
    done = subprocess.run(argv, env=driver_environment(driver), capture_output=True, text=True)
    if done.returncode:
        return None
    return float(json.loads(done.stdout.strip().splitlines()[-1])["seconds"])


def show(report: dict, console: Console) -> None:
    """Print a report for people."""
    table = Table(title="Where the time went (per force evaluation)", title_justify="left")
    table.add_column("stage")
    table.add_column("median", justify="right")
    table.add_column("share", justify="right")
    for name, label in STAGES.items():
        share = "" if name == "send" else f"{report['stage_share'][name]:.1%}"
        table.add_row(label, f"{report['stages_ms'][name]:.2f} ms", share)
    table.add_section()
    table.add_row("all", f"{report['evaluation_ms']['median']:.2f} ms", "100%")
    table.add_row("of it not waiting for drivers", f"{report['overhead_ms']['median']:.2f} ms", "")
    console.print(table)
    console.print("cheap and expensive drivers work at the same time; the slower one counts.")
    console.print(f"{report['steps']} steps, {report['evaluations']} force evaluations")
    for name, (low, middle, high) in report["regions"].items():
        console.print(f"{name:>7}: {middle:.0f} atoms ({low:.0f} to {high:.0f})")
    net = report["net_force"]
    verb = "removed" if net["removed"] else "left in"
    console.print(f"net force: mean {net['mean']:.3g}, max {net['max']:.3g} eV/Å ({verb})")
    dynamics = report["dynamics"]
    if "temperature_K" in dynamics:
        t = dynamics["temperature_K"]
        slope = f", slope {t['slope_per_ps']:+.1f} K/ps" if "slope_per_ps" in t else ""
        console.print(f"temperature: {t['mean']:.1f} ± {t['std']:.1f} K{slope}")
    if "energy_drift_eV_per_ps" in dynamics:
        drift = dynamics["energy_drift_eV_per_ps"]
        console.print(
            f"drift of the energy estimate (i-PI's conserved quantity): {drift:+.3g} eV/ps"
        )
    if report["lost_drivers"]:
        console.print(f"drivers lost and replaced: {report['lost_drivers']}")
    if "speed_up" in report:
        console.print(
            f"all-expensive step: {report['all_expensive_s']:.2f} s (measured after the run); "
            f"speed-up of this run: {report['speed_up']:.1f}x"
        )


def write_report(report: dict, folder: Path) -> Path:
    """Write the machine-readable form beside the input."""
    path = folder / REPORT_FILE
    path.write_text(json.dumps(report, indent=2) + "\n")
    return path
