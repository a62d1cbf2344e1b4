"""What a distillation found, for people (markdown, pictures) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files.replacing import replace_text
from .distilling import Distilled
from .measuring import Candidate
from .pictures import draw
from .properties import Crystal
from .trial import Trial


def summary(result: Distilled) -> dict:
    """Everything in plain numbers.

    Parameters
    ----------
    result : Distilled
        Of :func:`mixpi.distil.distil`.

    Returns
    -------
    dict
        Ready for JSON; energies eV/atom, forces eV/Å, lengths Å, elastic constants GPa.
    """
    tolerance = result.config.hard.tolerance
    return {
        "name": result.config.name,
        "basis": {
            kind: section.model_dump() for kind, section in result.config.basis.parts.items()
        },
        "coefficients": result.problem.size,
        "determined_by_data": result.problem.rank,
        "frames": result.frames,
        "constraint": {
            "tolerance": tolerance,
            "alpha": tolerance**2,
            "residual": result.constrained.fit.solution.hard_residual,
            "residual_unconstrained": result.free.fit.solution.hard_residual,
            "smallest_possible": result.problem.least_squares.floor,
            "multiplier": _finite(result.constrained.fit.solution.multiplier),
        },
        "usable": result.usable,
        "force_error_ratio": result.constrained.held_out.force_ratio(result.free.held_out),
        "trial": _trial(result.trial),
        "extra_labels": {"energy": result.labels.energy, "forces": result.labels.forces},
        "expensive": {
            "lattice": result.expensive.lattice,
            "elastic": result.expensive.elastic,
            "phonons": _phonons(result.expensive, result),
        },
        "unconstrained": _candidate(result, result.free),
        "constrained": _candidate(result, result.constrained),
        "cost_us_per_atom": {
            "expensive": result.cost.expensive,
            "cheap": result.cost.cheap,
            "ratio": result.cost.ratio,
            "atoms": result.cost.atoms,
        },
        "seconds": result.seconds,
        "species": list(result.constrained.written.species),
        "lammps": list(result.constrained.lammps),
        "notes": result.notes,
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _trial(trial: Trial | None) -> dict | None:
    if trial is None:
        return None
    return {
        "steps": trial.steps,
        "planned": trial.planned,
        "atoms": trial.atoms,
        "timestep": trial.timestep,
        "asked_temperature": trial.asked,
        "temperature": _finite(trial.temperature),
        "drift": _finite(trial.drift),
        "farthest": trial.farthest,
        "allowed": _finite(trial.allowed),
        "fault": trial.fault,
    }


def _phonons(crystal: Crystal, result: Distilled) -> dict:
    own, reference = crystal.spectrum, result.expensive.spectrum
    return {
        "branches": own.branches.size,
        "wave_vectors": len(own.points),
        "lowest_meV": own.lowest,
        "imaginary": own.imaginary,
        "imaginary_only_here": int(own.imaginary_against(reference).sum()),
        "max_error_meV": float(np.abs(own.branches - reference.branches).max()),
    }


def _candidate(result: Distilled, candidate: Candidate) -> dict:
    crystal = candidate.crystal
    found = {
        "energy_rmse": candidate.held_out.energy_rmse,
        "force_rmse": candidate.held_out.force_rmse,
        "read_back": {"energy": candidate.read_back[0], "forces": candidate.read_back[1]},
        "files": [path.name for path in candidate.written.files],
    }
    return {
        **found,
        "lattice": crystal.lattice,
        "elastic": crystal.elastic,
        "elastic_error_percent": {
            name: 100 * (value / result.expensive.elastic[name] - 1)
            for name, value in crystal.elastic.items()
            if name in result.expensive.elastic
        },
        **({"no_crystal": crystal.fault} if crystal.fault else {}),
        "phonons": _phonons(crystal, result),
    }


def as_markdown(result: Distilled, figures: Sequence[str] = ()) -> str:
    """The report to read, with pictures by their file names."""
    numbers = summary(result)
    names = ("expensive", "unconstrained", "constrained")
    lines = [f"# {numbers['name']}: a cheap potential distilled by mixpi", ""]
    lines += [
        f"Basis {result.config.basis.words}, {numbers['coefficients']} coefficients; the data "
        f"determine {numbers['determined_by_data']} directions of them, "
        + ("smoothness" if result.basis.smoothness else "the ridge")
        + " the others.",
        "Data: " + ", ".join(f"{n} {what}" for what, n in numbers["frames"].items()) + ".",
        "",
        "*Constrained* is the potential in the files: among all that reproduce the strained cells "
        "it is the one with the smallest errors on the snapshots. *Unconstrained* is fitted to the "
        "snapshots (and `extra` frames) alone, which say little about pressure and shear; it is "
        "here for comparison.",
        "",
        *(line for note in numbers["notes"] for line in (f"**Note:** {note}.", "")),
        "| | " + " | ".join(names) + " |",
        "|---|---|---|---|",
    ]

    def row(label: str, values: list[str]) -> None:
        lines.append(f"| {label} | " + " | ".join(values) + " |")

    for key in numbers["expensive"]["lattice"]:
        row(
            f"{key} (Å)",
            [f"{numbers[n]['lattice'][key]:.5f}" if key in numbers[n]["lattice"] else "none"
             for n in names],
        )  # fmt: skip
    for key in numbers["expensive"]["elastic"]:  # the cheap ones have the same, or none
        values = [f"{numbers['expensive']['elastic'][key]:.2f}"]
        for n in names[1:]:
            values.append(
                f"{numbers[n]['elastic'][key]:.2f} "
                f"({numbers[n]['elastic_error_percent'][key]:+.2f} %)"
                if key in numbers[n]["elastic"]
                else "none"
            )
        row(f"{key} (GPa)", values)
    phonons = [numbers[n]["phonons"] for n in names]
    row("lowest phonon of all (meV; negative: imaginary)",
        [f"{p['lowest_meV']:.2f}" for p in phonons])  # fmt: skip
    row(f"phonons, largest difference over all {phonons[0]['branches']} (meV)",
        ["", *(f"{p['max_error_meV']:.2f}" for p in phonons[1:])])  # fmt: skip
    row("held-out energy RMSE (meV/atom)",
        ["", *(f"{1e3 * numbers[n]['energy_rmse']:.3f}" for n in names[1:])])  # fmt: skip
    row("held-out force RMSE (eV/Å)",
        ["", *(f"{numbers[n]['force_rmse']:.4f}" for n in names[1:])])  # fmt: skip
    cost, constraint = numbers["cost_us_per_atom"], numbers["constraint"]
    where = "one core" if result.config.expensive.device == "cpu" else "one core against the GPU"
    row(f"cost (µs an atom, {where})", [f"{cost['expensive']:.0f}", "", f"{cost['cheap']:.2f}"])
    lines += [
        "",
        f"Speed ratio {cost['ratio']:.1f}, on {cost['atoms']} atoms.",
        "",
        f"Constraint: residual {constraint['residual']:.3e} of alpha = {constraint['alpha']:.3e} "
        f"eV²/atom²; {constraint['residual_unconstrained']:.3e} without it, the basis could reach "
        f"{constraint['smallest_possible']:.1e}.",
        "The written file differs from the fit by at most "
        f"{numbers['constrained']['read_back']['energy']:.1e} eV and "
        f"{numbers['constrained']['read_back']['forces']:.1e} eV/Å.",
        *_trial_lines(numbers["trial"]),
    ]
    if result.frames["extra"]:
        labels = numbers["extra_labels"]
        lines.append(
            "The labels of the extra frames are those of the expensive potential to "
            f"{labels['energy']:.1e} eV/atom and {labels['forces']:.1e} eV/Å."
        )
    for n in names[1:]:
        if "no_crystal" in numbers[n]:
            lines.append(
                f"The {n} potential has no sound crystal here: {numbers[n]['no_crystal']}."
            )
    lines += [
        "",
        "For the YAML file of a mixed simulation"
        + ("" if result.constrained.in_lammps else " (with a LAMMPS that has ML-PACE)")
        + ":",
        "```yaml",
        *lammps_yaml(numbers),
        "```",
        "",
        *(f"![{name}]({name})" for name in figures),
    ]
    return "\n".join(lines) + "\n"


def _trial_lines(trial: dict | None) -> list[str]:
    if trial is None:
        return []
    start = (
        f"Dynamics of the written files in LAMMPS ({trial['atoms']} atoms, {trial['planned']} "
        f"steps of {trial['timestep']:g} fs without thermostat, at {trial['asked_temperature']:g} "
        "K): "
    )
    if trial["temperature"] is None:
        return [f"{start}{trial['fault']}."]
    return [
        f"{start}mean temperature {trial['temperature']:.0f} K, drift "
        f"{1e3 * trial['drift']:+.4f} meV/atom, no atom further than {trial['farthest']:.2f} Å "
        "from its site" + (f"; {trial['fault']}." if trial["fault"] else ".")
    ]


def lammps_yaml(numbers: dict) -> list[str]:
    """The lines of a mixing YAML file that use the potential; ``numbers`` of :func:`summary`."""
    return [
        "cheap:",
        "  lammps:",
        f"    species: [{', '.join(numbers['species'])}]",
        "    potential:",
        *(f"      - {line}" for line in numbers["lammps"]),
    ]


def write_report(result: Distilled, folder: Path) -> list[Path]:
    """Write ``<name>.md``, ``<name>.json`` and the pictures beside the potential.

    Returns
    -------
    list of Path
        The files.
    """
    stem = result.config.name
    figures = draw(result, folder)
    paths = [folder / f"{stem}.md", folder / f"{stem}.json"]
    replace_text(paths[0], as_markdown(result, [path.name for path in figures]))
    replace_text(paths[1], json.dumps(summary(result), indent=1) + "\n")
    return [*paths, *figures]
