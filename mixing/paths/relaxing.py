"""``mixpi relax``: the nearest place where mixed forces vanish, with fixed weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.io.extxyz import write_extxyz

from ..errors import MixpiError
from ..files.replacing import replace_text
from ..run.progress import Tell, silent
from ..structure import read_only_frame
from .descent import Descent
from .fixed_mixing import FixedMixing
from .images import largest_force, write_frames
from .starting_up import Setting, drivers_of, put_aside_all, read_setting


#: Frames of the movie: one every so many steps, and the last.
MOVIE_EVERY = 10


class FixedCalculator(Calculator):
    """A :class:`FixedMixing` as an ASE calculator of one geometry.

    Parameters
    ----------
    mixing : FixedMixing
        Evaluates.
    """

    implemented_properties: ClassVar = ["energy", "forces"]  # type: ignore[misc]

    def __init__(self, mixing: FixedMixing) -> None:
        super().__init__()
        self._mixing = mixing

    def calculate(self, atoms=None, properties=("forces",), system_changes=all_changes) -> None:  # type: ignore[no-untyped-def]
        """Evaluate; called by ASE."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None  # ASE has kept a copy
        [found] = self._mixing.evaluate([self.atoms.positions])
        energy = np.nan if found.energy is None else found.energy
        self.results = {"energy": energy, "forces": found.forces}


@dataclass(frozen=True)
class Relaxed:
    """What became of a relaxation.

    Attributes
    ----------
    atoms : Atoms
        In the user's orientation; ``info`` has the energy estimate (eV).
    converged : bool
    steps : int
    force : float
        The largest, eV/Å.
    files : list of Path
        What was written.
    """

    atoms: Atoms
    converged: bool
    steps: int
    force: float
    files: list[Path]


def relax(
    path: str | Path,
    structure: str | Path | None = None,
    *,
    fmax: float = 0.01,
    steps: int = 1000,
    output: str = "relaxed",
    kind: str = "mixed",
    afresh: bool = False,
    tell: Tell = silent,
    say: Callable[[str], None] = print,
) -> Relaxed:
    """Relax a structure on mixed forces; the regions are those of the start.

    Writes ``<output>.extxyz`` (the last structure), ``<output>.movie.extxyz``,
    ``<output>.json``, and ``<output>.state.npz``, from which a relaxation that was stopped goes on
    when it is called again.

    Parameters
    ----------
    path : path-like
        The configuration, or an i-PI input that names it.
    structure : path-like, optional
        What is relaxed; that of the configuration unless given.
    fmax : float
        Largest force on an atom at the end, eV/Å.
    steps : int
        At most.
    output : str
        How the files are called.
    kind : {"mixed", "expensive", "cheap"}
        One potential everywhere is for comparison.
    afresh : bool
        Begin anew although there is a state.
    tell, say : callable
        Told how far it is, and what is suspicious.

    Returns
    -------
    Relaxed

    Raises
    ------
    MixpiError
        If something is wrong with the input, or a driver fails.
    """
    setting = read_setting(path)
    _require_criteria(fmax, steps)
    start = setting.atoms.positions
    if structure is not None:
        [start] = setting.turned([read_only_frame(structure)], str(structure))
    read = {} if structure is None else {Path(structure): "the structure to relax"}
    files = setting.outputs(output, (".extxyz", ".movie.extxyz", ".json", ".state.npz"), read)
    if afresh:
        files[".state.npz"].unlink(missing_ok=True)
    with drivers_of(setting, kind=kind, name=Path(output).name) as drivers:
        mixing = FixedMixing(setting.config, setting.atoms, [start], drivers, kind=kind, say=say)
        atoms = Atoms(setting.atoms.numbers, start, cell=setting.atoms.cell, pbc=True)
        atoms.calc = FixedCalculator(mixing)
        about = _about(setting, kind, start)
        descent = Descent(atoms, files[".state.npz"], about)
        if descent.resume():
            say(f"going on from step {descent.step} ({files['.state.npz'].name})")
        else:
            put_aside_all(files.values())
        try:
            for force in descent.walk(
                fmax=fmax, steps=steps, force=lambda: largest_force(atoms.get_forces())
            ):
                tell(f"step {descent.step}, largest force {force:.4f} eV/Å", 0.0)
                if descent.step % MOVIE_EVERY == 0 or force <= fmax:
                    with files[".movie.extxyz"].open("a") as stream:
                        frame = _frame(setting, mixing, atoms, descent.step)
                        write_extxyz(stream, [frame], write_results=False)
        except MixpiError as error:
            raise descent.kept(error) from None
        last = _frame(setting, mixing, atoms, descent.step)
    write_frames(files[".extxyz"], [last])
    found = {
        "converged": bool(force <= fmax),
        "steps": descent.step,
        "largest_force_eV_per_A": force,
        "energy_estimate_eV": last.info.get("energy_estimate"),
        "fmax_eV_per_A": fmax,
        "forces": kind,
        "core_blend_buffer": list(mixing.counts),
    }
    replace_text(files[".json"], json.dumps(found, indent=2) + "\n")
    if force <= fmax:
        files.pop(".state.npz").unlink(missing_ok=True)
    return Relaxed(last, bool(force <= fmax), descent.step, force, list(files.values()))


def _require_criteria(fmax: float, steps: int) -> None:
    if not (np.isfinite(fmax) and fmax > 0.0):
        raise MixpiError(f"fmax must be a positive force (eV/Å), not {fmax}")
    if steps < 0:
        raise MixpiError(f"steps must be 0 or more, not {steps}")


def _about(setting: Setting, kind: str, start: np.ndarray) -> dict:
    """What a state must have in common with the simulation that goes on from it."""
    sums = start.sum(), np.abs(start).sum(), (start**2).sum()
    return {**setting.about(kind), "start": [round(float(x), 6) for x in sums]}


def _frame(setting: Setting, mixing: FixedMixing, atoms: Atoms, step: int) -> Atoms:
    frame = setting.evaluated(atoms, mixing, step=step)
    energy = atoms.get_potential_energy()
    if np.isfinite(energy):
        frame.info["energy_estimate"] = float(energy)
    return frame
