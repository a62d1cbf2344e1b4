"""A report as text for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from .report import STAGES
from .report_loads import load_sentences


def show(report: dict, console: Console) -> None:
    """Print a report of :func:`mixpi.analysis.report.make_report`."""
    console.print(_table(report))
    left_out = report["times_leave_out"]
    console.print(
        "cheap and expensive drivers work at the same time; the slower one counts. "
        f"The first {left_out if left_out > 1 else 'evaluation'} "
        f"{'evaluations are' if left_out > 1 else 'is'} left out."
        if left_out
        else "There was one evaluation only: it waited for the drivers to start."
    )
    for line in sentences(report):
        console.print(line, markup=False)


def sentences(report: dict) -> list[str]:
    """What is below the table, line by line."""
    steps = report["steps"] - report["first_step"]
    each = report["evaluations_per_step"]
    count = f"{steps} steps, {report['evaluations']} force evaluations"
    count += f" ({each} a step)" if each > 1 else ""
    lines = [count]
    continued = report["continued_from"]
    if continued:
        lines = [
            f"continues from step {continued[-1]}; this part, up to step {report['steps']}: {count}"
        ]
    for name, (low, middle, high) in report["regions"].items():
        lines.append(f"{name:>7}: {middle:.0f} atoms ({low:.0f} to {high:.0f})")
    lines += _physics(report)
    whole = report["whole"]
    if whole["first_step"] < report["first_step"]:
        at = ", ".join(map(str, continued))
        lines.append(
            f"the whole run, from step {whole['first_step']} to {report['steps']} (continued at "
            f"{at}; {whole['evaluations']} force evaluations):"
        )
        lines += [f"  {line}" for line in _physics(whole)]
    if report["lost_drivers"]:
        lines.append(f"drivers lost and replaced: {report['lost_drivers']}")
    lines += _probes(report)
    lines += load_sentences(report["loads"], report["beads"])
    lines += _speed_up(report)
    warnings = report.get("warnings", [])
    if warnings:
        lines.append("warnings of this run:")
        lines += [f"  {warning}" for warning in warnings]
    return lines


def _table(report: dict) -> Table:
    several = report["evaluations_per_step"] > 1
    table = Table(title="Where the time went (per force evaluation)", title_justify="left")
    table.add_column("stage")
    for column in ("median", "share of mean", *(["a step"] * several)):
        table.add_column(column, justify="right")

    def row(label: str, ms: float, share: str, step_ms: float | None) -> None:
        last = [f"{step_ms:.2f} ms" if step_ms is not None else ""] if several else []
        table.add_row(label, f"{ms:.2f} ms", share, *last)

    for name in report["stages_ms"]:
        label = STAGES[name]
        share = "" if name == "send" else f"{report['stage_share'][name]:.1%}"
        row(label, report["stages_ms"][name], share, report["step_stages_ms"][name])
    table.add_section()
    row("all", report["evaluation_ms"]["median"], "100%", report["step_ms"]["median"])
    row("of it not waiting for drivers", report["overhead_ms"]["median"], "", None)
    return table


def _physics(part: dict) -> list[str]:
    """Net force, temperature and drift of a part of a run or of the whole."""
    net, dynamics = part["net_force"], part["dynamics"]
    verb = "removed" if net["removed"] else "left in"
    lines = [
        f"net force: mean {_with_error(net['mean'], net['error'], '.3g')}, max {net['max']:.3g} "
        f"eV/Å ({verb})"
    ]
    if "temperature_K" in dynamics:
        t = dynamics["temperature_K"]
        mean = _with_error(t["mean"], t["error"], ".1f")
        short = "" if t["error"] is not None else " (too short for an error bar)"
        lines.append(f"temperature: {mean} K{short}, fluctuates by {t['std']:.1f} K")
        if "slope_per_ps" in t:
            lines.append(f"  slope: {_temperature_slope(t)}")
    if "energy_drift" in dynamics:
        lines.append(
            "drift of the energy estimate (i-PI's conserved quantity): "
            + _drift(dynamics["energy_drift_eV_per_ps"], dynamics["energy_drift"])
        )
    begin = net["averages_from_step"]
    if begin is not None:
        lines.append(
            f"averages and the temperature's slope are from step {begin} on: what is before counts "
            "as equilibration"
        )
    names = {"temperature": "temperature", "conserved": "drift"}
    lines += [f"no {names[name]}: {reason}" for name, reason in dynamics["missing"].items()]
    return lines


def _probes(report: dict) -> list[str]:
    """Looks at atoms outside the region, and what they cost."""
    probes = report.get("probes")
    if not probes:
        return []
    if not probes["count"]:
        return ["probes: none; there were no atoms outside the region when one was due"]
    text = (
        f"probes: {probes['count']}, each a patch of about {probes['atoms']:.0f} atoms "
        f"({probes['ms']:.3g} ms)"
    )
    if probes["every"] is not None:
        text += f" every {probes['every']:.0f} steps"
    if probes["cost"] is not None:
        text += f", {100 * probes['cost']:+.3g} % of the expensive drivers' time for the region"
    tour = probes["tour"]
    return [
        f"{text}; all atoms outside were looked at in {tour} steps"
        if tour
        else f"{text}; not all atoms outside have been looked at yet"
    ]


def _temperature_slope(t: dict) -> str:
    if not t["slope_tells"]:
        return f"too short to tell ({_time(t['span_fs'])})"
    text = f"{t['slope_per_ps']:+.1f} ± {t['slope_error_per_ps']:.1f} K/ps"
    return text + _unless_zero(t["slope_is_zero"])


def _drift(value: float, drift: dict) -> str:
    if not drift["tells"]:
        samples, independent = drift["samples"], drift["independent"]
        worth = (
            ""
            if independent > 0.9 * samples
            else f", worth about {independent:.0f} independent ones"
        )
        return f"too short to tell ({_time(drift['span_fs'])}: {samples} values{worth})"
    return (
        f"{value:+.2g} ± {drift['error_eV_per_ps']:.1g} eV/ps "
        f"({drift['meV_per_atom_per_ps']:+.2g} ± {drift['error_meV_per_atom_per_ps']:.1g} "
        f"meV/atom/ps){_unless_zero(drift['is_zero'])}"
    )


def _speed_up(report: dict) -> list[str]:
    if "speed_up_not_measured" in report:
        return [f"speed-up not measured: {report['speed_up_not_measured']}"]
    if "speed_up" not in report:
        return []
    low, high = report["speed_up_range"]
    pairs = report["speed_up_pairs"]
    count = len(pairs["mixed_s"])
    spread = f" ({low:.1f} to {high:.1f}, {count} pairs in turns)"
    if count == 1:
        spread = " (one pair, so no spread)"
    compared = "for one bead, " if report["beads"] > 1 else ""
    return [
        f"speed-up: {report['speed_up']:.1f}x{spread}: {compared}mixed "
        f"{_seconds(report['mixed_s'])}, all-expensive {_seconds(report['all_expensive_s'])} an "
        "evaluation, measured after the run"
    ]


def _with_error(value: float, error: float | None, form: str) -> str:
    """With so many samples that there is an error bar, or without one."""
    return f"{value:{form}}" + (f" ± {error:.2g}" if error is not None else "")


def _unless_zero(is_zero: bool) -> str:
    return ", not distinguishable from zero" if is_zero else ""


def _time(fs: float) -> str:
    return f"{fs:.3g} fs" if fs < 1000 else f"{fs / 1000:.3g} ps"


def _seconds(s: float) -> str:
    return f"{1e3 * s:.3g} ms" if s < 1 else f"{s:.3g} s"
