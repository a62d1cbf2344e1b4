"""What a calibration found, for people and programs: table, Markdown, JSON, plot."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from ..analysis.plotting import COLOURS
from ..errors import MixpiError
from ..files.replacing import replace_file, replace_text
from . import partial_report
from .buffers import BufferResult
from .calibration import REPORT_FILES, Calibration
from .mismatch import ALIKE, DIFFERENT, advice


#: Snapshots whose displacements correlate by less are as good as independent.
ALIKE_SNAPSHOTS = 0.2

TITLE = "Forces of the cluster against exact ones"
COLUMNS = (
    "weighted: rms weighted by the blend weight, upper value over n snapshots, then its median and "
    "largest; rms, max: upper values; cost: share of an all-expensive evaluation. Buffers that "
    "cannot be the answer are measured on one snapshot."
)


def show(found: Calibration, console: Console) -> None:
    """Print a calibration for people."""
    head, rows = _cells(found)
    table = Table(title=f"{TITLE} (eV/Å)", caption=COLUMNS, title_justify="left")
    table.caption_justify = "left"
    for name in head:
        table.add_column(name, justify="right")
    for result, row in zip(found.results, rows, strict=True):
        table.add_row(*row, style="bold" if result.buffer == found.recommended else None)
    console.print(table)
    if found.partial:
        table = Table(
            title=f"{partial_report.TITLE} (eV/Å)",
            caption=partial_report.COLUMNS,
            title_justify="left",
            caption_justify="left",
        )
        for name in partial_report.HEAD:
            table.add_column(name, justify="right")
        for row, chosen in partial_report.cells(found):
            table.add_row(*row, style="bold" if chosen else None)
        console.print(table)
    for line in sentences(found):
        console.print(line, soft_wrap="\n" in line)  # lines to be copied stay as they are


def write(found: Calibration, folder: Path) -> list[Path]:
    """Write ``calibration.json``, ``calibration.md`` and ``calibration.png``.

    Parameters
    ----------
    found : Calibration
        What to write.
    folder : Path
        Where.

    Returns
    -------
    list of Path

    Raises
    ------
    MixpiError
        If the folder cannot be written into.
    """
    paths = [folder / name for name in REPORT_FILES]
    content = asdict(found)
    for result, written in zip(found.results, content["results"], strict=True):
        written["spread"] = _spread(result)
    content["units"] = {"length": "Å", "force": "eV/Å", "time": "s"}
    if found.mismatch:
        content["advice"] = advice(found.mismatch, found.tolerance, found.alone)
    try:
        replace_text(paths[0], json.dumps(content, indent=2) + "\n")
        replace_text(paths[1], _markdown(found))
        _draw(found, paths[2])
    except OSError as error:
        raise MixpiError(f"cannot write into {folder} ({error.strerror})") from None
    return paths


def sentences(found: Calibration) -> list[str]:
    """What the table means, a line each."""
    warnings = [f"warning: {warning}" for warning in found.warnings]
    parts = partial_report.sentences(found) if found.partial else []
    return [
        *_about_reference(found),
        *warnings,
        *_answer(found),
        *parts,
        *_about_potentials(found),
    ]


def _about_reference(found: Calibration) -> list[str]:
    reference, reach = found.reference, found.interaction_range
    if reference.buffer is None:
        what = f"the full cell, {reference.atoms} atoms"
    elif reference.exact:
        what = (
            f"a cluster of {reference.atoms} atoms with a buffer of {reference.buffer:g} Å, twice "
            f"the interaction range: exact where the weight is positive"
        )
    else:
        what = (
            f"NOT the full cell of {found.atoms} atoms and not exact, but a smaller part cut for "
            f"the purpose: {reference.atoms} atoms, a buffer of {reference.buffer:g} Å, where "
            f"{2 * reach:g} Å would be exact (--full-atoms allows more)"
        )
    radii = found.radii
    verb = "measured" if found.full_measured else "estimated from the reference, by atoms"
    lines = [
        f"system: {found.system}; core {radii['core']:g} Å, blend {radii['blend']:g} Å "
        f"({radii['profile']}); interaction range of the model {reach:g} Å",
        f"snapshots: {found.snapshots}; {_about_snapshots(found)}",
        f"reference: {what}",
        f"rms force on the atoms of positive weight: {found.force:.3g} eV/Å",
        f"all-expensive evaluation: {found.full_seconds:.3g} s ({verb})",
    ]
    if reference.buffer is not None and not reference.exact and reference.buffer < reach:
        lines.append(
            "warning: the reference's buffer is narrower than the interaction range: its own "
            "error is like those in the table, which are lower bounds"
        )
    return lines


def _about_snapshots(found: Calibration) -> str:
    """How many decide, what the errors of the table mean, how independent they are."""
    n, alike = found.deciding, found.correlation
    if n == 1:
        return (
            "ONE decides: from one to another the error at one buffer differs by a factor of two "
            "to three; give several (--frame FILE@-12:, --snapshots)"
        )
    text = f"{n} decide; an error above those of the table is expected on {found.above:.0%} of "
    text += "fresh snapshots"
    if alike is None:
        return f"{text}, if these are independent"
    text += f" (displacements of one correlate with those of the next by {alike:.2f}"
    if alike < ALIKE_SNAPSHOTS:
        return f"{text}: independent)"
    # of a chain whose neighbours are so alike
    effective = max(1.0, n * (1.0 - alike) / (1.0 + alike))
    return f"{text}: they are worth about {effective:.0f} independent ones, so it may be more)"


def _answer(found: Calibration) -> list[str]:
    chosen = found.chosen
    spread = _spread(chosen)
    words = f"weighted rms error {chosen.error.weighted:.2g}"
    if spread["snapshots"] > 1:
        words += (
            f", the upper value over {spread['snapshots']} snapshots; median "
            f"{spread['median']:.2g}, largest {spread['largest']:.2g}"
        )
    if found.recommended is not None:
        lines = [
            f"recommended: buffer: {chosen.buffer:g}  ({chosen.atoms} atoms; {words}: below the "
            f"tolerance of {found.tolerance:g} eV/Å)"
        ]
        if found.configured != chosen.buffer:
            lines[0] += f"; the YAML has {found.configured:g}"
    else:
        lines = [
            f"no buffer up to {chosen.buffer:g} Å is within the tolerance of "
            f"{found.tolerance:g} eV/Å: there the {words} eV/Å. Try wider ones (--buffers) or a "
            "larger --tolerance"
        ]
    if found.check:
        error = found.check
        verdict = "within" if error.weighted < found.tolerance else "ABOVE"
        lines.append(
            f"check on {found.check_source}, with {chosen.buffer:g} Å: weighted rms "
            f"{error.weighted:.2g}, rms {error.rms:.2g}, max {error.max:.2g} eV/Å: {verdict} the "
            "tolerance"
        )
        if verdict == "ABOVE" and found.recommended is not None:
            lines[-1] += (
                f", as {found.above:.0%} of snapshots are expected to be: if one more is too, give "
                "more snapshots, or take a wider buffer"
            )
    else:
        lines.append("no further snapshot to check the answer on (--check-frame)")
    return lines


def _about_potentials(found: Calibration) -> list[str]:
    mismatch = found.mismatch
    if mismatch is None:
        return [found.mismatch_skipped]
    where = "core atoms (there is no blend)" if mismatch.abrupt else "blend atoms"
    share = f", {mismatch.rms / mismatch.force:.0%} of it" if mismatch.force else ""
    return [
        f"expensive − cheap on the {where}, {mismatch.frames} snapshot(s): rms "
        f"{mismatch.rms:.3g} eV/Å ({mismatch.mixed:.3g} weighted by 4w(1 − w)); rms force there "
        f"{mismatch.force:.3g} eV/Å{share}",
        f"so: {advice(mismatch, found.tolerance, found.alone)}",
        f"(rule: up to {ALIKE:g} × tolerance: alike; above {DIFFERENT:.0%} of the rms force: a "
        "better cheap potential first; between: a wider blend)",
    ]


def _spread(result: BufferResult) -> dict[str, float | int]:
    """The weighted rms error over the snapshots, eV/Å; ``upper`` decides."""
    return {
        "snapshots": len(result.errors),
        "median": median(result.errors),
        "upper": result.error.weighted,
        "largest": max(result.errors),
    }


def _cells(found: Calibration) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table, as text."""
    head = ["buffer (Å)", "atoms", "weighted", "median", "largest", "n", "rms", "max"]
    head += ["time (s)", "cost"]
    rows = []
    for result in found.results:
        spread = _spread(result)
        mark = "* " if result.buffer == found.recommended else ""
        row = [f"{mark}{result.buffer:g}", str(result.atoms)]
        row += [f"{spread['upper']:.1e}"]
        several = spread["snapshots"] > 1
        row += [f"{spread[name]:.1e}" if several else "–" for name in ("median", "largest")]
        row += [str(spread["snapshots"])]
        row += [f"{value:.1e}" for value in (result.error.rms, result.error.max)]
        row += [f"{result.seconds:.3f}", f"{result.seconds / found.full_seconds:.1%}"]
        rows.append(row)
    return head, rows


def _markdown(found: Calibration) -> str:
    lines = ["# How wide must the buffer be?", ""]
    for line in sentences(found):
        several = "\n" in line
        lines += [f"\n```yaml\n{line}\n```\n" if several else f"- {line}"]
    lines += ["", f"{TITLE}, on the atoms of positive weight, eV/Å; {COLUMNS}"]
    lines += _markdown_table(*_cells(found))
    if found.partial:
        rows = [row for row, _ in partial_report.cells(found)]
        lines += ["", f"{partial_report.TITLE}, eV/Å; {partial_report.COLUMNS}"]
        lines += _markdown_table(partial_report.HEAD, rows)
    return "\n".join(lines) + "\n"


def _markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["", f"| {' | '.join(head)} |", "|" + "---:|" * len(head)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _draw(found: Calibration, target: Path) -> None:
    from matplotlib.figure import Figure

    heights = (2, 1, 2) if found.partial else (2, 1)
    figure = Figure(figsize=(7, 1.5 + sum(heights) * 5 / 3), layout="constrained")
    errors, costs, *more = figure.subplots(len(heights), 1, height_ratios=heights)
    errors.sharex(costs)
    errors.tick_params(labelbottom=False)
    if found.partial:
        partial_report.draw(more[0], found)
    x = [result.buffer for result in found.results]

    def floor(values: list[float]) -> list[float]:
        return [max(value, 1e-16) for value in values]

    curves = {
        "weighted rms": ("weighted", "o-", COLOURS["core"]),
        "rms": ("rms", "s-", COLOURS["blend"]),
        "max": ("max", "^-", COLOURS["buffer"]),
    }
    for label, (name, style, colour) in curves.items():
        y = floor([getattr(result.error, name) for result in found.results])
        errors.plot(x, y, style, color=colour, label=label)
    several = [result for result in found.results if len(result.errors) > 1]
    if several:
        errors.fill_between(
            [result.buffer for result in several],
            floor([min(result.errors) for result in several]),
            floor([max(result.errors) for result in several]),
            color=COLOURS["core"],
            alpha=0.25,
            lw=0,
            label=f"weighted rms, all of {found.deciding} snapshots",
        )
    errors.axhline(found.tolerance, color="#777777", lw=0.8)
    errors.annotate("tolerance", (x[0], found.tolerance), va="bottom", fontsize=8)
    errors.set(yscale="log", ylabel="force error (eV/Å)", title=found.system)
    # below a thousandth of the tolerance nothing is of interest; exact forces have no error
    errors.set_ylim(bottom=max(errors.get_ylim()[0], 1e-3 * found.tolerance))
    errors.legend(frameon=False, fontsize="small")

    costs.plot(x, [result.seconds for result in found.results], "o-", color="black")
    costs.set(xlabel="buffer (Å)", ylabel="s per evaluation", ylim=(0, None))
    if found.recommended is not None:
        for axes in (errors, costs):
            axes.axvline(found.recommended, color="#3b8686", lw=1.2, ls="--")
    replace_file(target, lambda part: figure.savefig(part, dpi=130))
