"""What a scan found: table, picture, files."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ..files.replacing import replace_file, replace_text
from .scanning import ELASTIC, Entry, Scan


def scan_as_markdown(found: Scan, figures: tuple[str, ...] = ()) -> str:
    """The table to read, and which basis was chosen why."""
    lines = [
        f"# {found.config.name}: bases compared by mixpi",
        "",
        f"Costs on {found.atoms} atoms, one core, in turns; errors of forces on held-out "
        "snapshots. Good enough: a force error of at most "
        f"{found.mismatch:.4f} eV/Å, elastic constants within {100 * ELASTIC:g} %.",
        "",
        "| basis | coefficients | force error (eV/Å) | worst elastic constant | a0 error | "
        "cost (µs an atom) | |",
        "|---|---|---|---|---|---|---|",
    ]
    for entry in sorted(found.entries, key=_order):
        lattice = max(entry.lattice.values(), key=abs, default=float("nan"))
        lines.append(
            f"| {entry.basis.words} | {entry.coefficients or ''} | {_number(entry.force_rmse, 4)} "
            f"| {_per_cent(entry.worst_elastic)} | {_per_cent(lattice)} | "
            f"{_number(entry.cost, 2)} | {_remark(entry, found)} |"
        )
    lines += ["", verdict(found), ""]
    lines += [f"![{name}]({name})" for name in figures]
    return "\n".join(lines) + "\n"


def verdict(found: Scan) -> str:
    """Which basis was chosen, in one sentence."""
    if found.best is None:
        closest = min(
            (entry for entry in found.entries if entry.sound),
            key=lambda entry: entry.force_rmse,
            default=None,
        )
        near = f"; the closest has {closest.force_rmse:.4f} eV/Å" if closest else ""
        return (
            f"No basis is within {found.mismatch:.4f} eV/Å{near}: name richer ones (scan: bases) "
            "or allow a larger mismatch. No potential was written."
        )
    first = found.entries[0]
    beside = (
        f" The file's own basis: {first.force_rmse:.4f} eV/Å, {first.cost:.2f} µs an atom."
        if first.cost > 0.0 and first is not found.best
        else ""
    )
    return (
        f"Chosen: {found.best.basis.words}: {found.best.force_rmse:.4f} eV/Å, "
        f"{found.best.cost:.2f} µs an atom.{beside}"
    )


def _order(entry: Entry) -> tuple[bool, float]:
    return (not entry.cost > 0.0, entry.cost if entry.cost > 0.0 else 0.0)


def _remark(entry: Entry, found: Scan) -> str:
    if entry is found.best:
        return "**chosen**"
    if entry.fault:
        return entry.fault.split(":")[0] if not entry.lammps else "not usable"
    if not entry.sound:
        return "elastic constants" if entry.cost > 0.0 else "not timed: no such pair_style"
    return "" if entry.force_rmse <= found.mismatch else "forces"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if value == value else ""


def _per_cent(value: float) -> str:
    return f"{100 * value:+.2f} %" if value == value else ""


def write_scan(found: Scan, folder: Path) -> list[Path]:
    """Write ``<name>.scan.md``, ``.scan.json`` and ``.scan.png``.

    Returns
    -------
    list of Path
        The files.
    """
    stem = f"{found.config.name}.scan"
    picture = folder / f"{stem}.png"
    _draw(found, picture)
    paths = [folder / f"{stem}.md", folder / f"{stem}.json", picture]
    replace_text(paths[0], scan_as_markdown(found, (picture.name,)))
    entries = [
        {
            **{k: v for k, v in asdict(entry).items() if k not in ("basis", "folder")},
            "basis": {kind: part.model_dump() for kind, part in entry.basis.parts.items()},
            "chosen": entry is found.best,
        }
        for entry in found.entries
    ]
    numbers = {"mismatch": found.mismatch, "atoms": found.atoms, "entries": entries}
    replace_text(paths[1], json.dumps(_finite(numbers), indent=1) + "\n")
    return paths


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and value != value else value


def _draw(found: Scan, path: Path) -> None:
    """Force error against cost, with what is good enough."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    timed = [entry for entry in found.entries if entry.cost > 0.0]
    for number, kind in enumerate(dict.fromkeys(entry.basis.kind for entry in timed)):
        for sound in (True, False):
            points = [e for e in timed if e.basis.kind == kind and e.sound == sound]
            if points:
                axes.loglog(
                    [e.cost for e in points],
                    [e.force_rmse for e in points],
                    "o",
                    color=f"C{number}",
                    mfc=f"C{number}" if sound else "none",
                    label=kind if sound else f"{kind}, not usable",
                )
    if found.best is not None:
        axes.loglog(
            found.best.cost, found.best.force_rmse, "*", color="k", ms=14, mfc="none",
            label="chosen",
        )  # fmt: skip
    axes.axhline(found.mismatch, color="0.4", ls="--", lw=0.8, label="good enough")
    axes.set(xlabel="cost (µs an atom)", ylabel="held-out force error (eV/Å)")
    axes.legend(frameon=False, fontsize=8)
    replace_file(path, partial(figure.savefig, dpi=110))
