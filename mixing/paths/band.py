"""``mixpi neb``: a minimum energy path on mixed forces, all images at once.

The band is ASE's (Henkelman and Jónsson, J. Chem. Phys. 113, 9978 and 9901 (2000): improved
tangents, climbing image). Which image is higher than its neighbours is all that it asks of
energies; where the potentials have no site energies, the work of the forces along the band serves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.mep import NEB

from ..errors import MixpiError
from ..files.replacing import replace_text
from ..run.progress import Tell, silent
from ..structure import read_frames
from .descent import Descent
from .fixed_mixing import FixedMixing, FixedResult
from .images import continuous, largest_force, look_at_ends, look_at_steps, write_frames
from .profile import Profile, profile_of
from .starting_up import Setting, drivers_of, put_aside_all, read_setting


#: eV/Å²; of the springs between images.
SPRING = 1.0
#: The climbing begins once the largest force is below so many times the one that ends it.
CLIMB_BELOW = 10.0


class Band(NEB):
    """A band whose images are evaluated together.

    Parameters
    ----------
    images : list of Atoms
        In i-PI's orientation.
    mixing : FixedMixing
        Evaluates.
    k : float
        eV/Å².
    climb : bool
        Whether the highest image climbs.
    method : {"improvedtangent", "aseneb"}
        Of tangents.

    Attributes
    ----------
    work_counts : bool
        Whether energies are the work of the forces, for want of site energies.
    """

    def __init__(
        self, images: list[Atoms], mixing: FixedMixing, *, k: float, climb: bool, method: str
    ) -> None:
        super().__init__(images, k=k, climb=climb, method=method)
        self._mixing = mixing
        self._ends: list[FixedResult] = []
        self._at: np.ndarray | None = None
        self.work_counts = False

    def get_forces(self) -> np.ndarray:
        """Forces on the images between the ends, the springs' in them; called by ASE."""
        inner = np.array([image.positions for image in self.images[1:-1]])
        # FIRE asks once more for what the walk has looked at
        if self._at is None or not np.array_equal(inner, self._at):
            self._evaluate(inner)
            self._at = inner
        return super().get_forces()

    def _evaluate(self, inner: np.ndarray) -> None:
        ends = [self.images[0].positions, self.images[-1].positions]
        if self._ends:
            middle = self._mixing.evaluate(list(inner))
        else:
            first, *middle, last = self._mixing.evaluate([ends[0], *inner, ends[1]])
            self._ends = [first, last]
        found = [self._ends[0], *middle, self._ends[1]]
        for image, result, energy in zip(self.images, found, self._energies(found), strict=True):
            image.calc = SinglePointCalculator(image, energy=energy, forces=result.forces)

    def _energies(self, found: Sequence[FixedResult]) -> list[float]:
        energies = [result.energy for result in found]
        self.work_counts = any(energy is None for energy in energies)
        if not self.work_counts:
            return [float(energy) for energy in energies if energy is not None]
        images = continuous([image.positions for image in self.images], self.images[0].cell.array)
        steps = np.diff(images, axis=0)
        forces = np.array([result.forces for result in found])
        work = 0.5 * np.sum((forces[1:] + forces[:-1]) * steps, axis=(1, 2))
        return [0.0, *(-np.cumsum(work)).tolist()]


@dataclass(frozen=True)
class Found:
    """What became of a band.

    Attributes
    ----------
    profile : Profile
        Along the band.
    converged : bool
    steps : int
    force : float
        Largest force on an atom, without that along the path but for a climbing image; eV/Å.
    files : list of Path
        What was written.
    """

    profile: Profile
    converged: bool
    steps: int
    force: float
    files: list[Path]


def find_path(
    path: str | Path,
    images: str | Path,
    *,
    fmax: float = 0.02,
    steps: int = 500,
    k: float = SPRING,
    climb: bool = True,
    method: str = "improvedtangent",
    output: str = "neb",
    kind: str = "mixed",
    afresh: bool = False,
    tell: Tell = silent,
    say: Callable[[str], None] = print,
) -> Found:
    """Let a band of images come to rest; the regions are those of all images at the start.

    Writes ``<output>.extxyz`` (the images, with forces, weights and energy estimates),
    ``<output>.json``, and ``<output>.state.npz``, from which a band that was stopped goes on when
    it is called again.

    Parameters
    ----------
    path : path-like
        The configuration, or an i-PI input that names it.
    images : path-like
        Frames from one end to the other; the ends do not move.
    fmax : float
        Largest force on an atom at the end, eV/Å.
    steps : int
        At most.
    k : float
        Of the springs, eV/Å².
    climb : bool
        Whether the highest image climbs to the saddle, once the band is near to rest.
    method : {"improvedtangent", "aseneb"}
        Of tangents: improved, or plain.
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
    Found

    Raises
    ------
    MixpiError
        If something is wrong with the input, or a driver fails.
    """
    setting = read_setting(path)
    if not (np.isfinite(fmax) and fmax > 0.0 and np.isfinite(k) and k > 0.0):
        raise MixpiError(f"fmax and k must be positive, not {fmax} and {k}")
    frames = read_frames(images, most=None)
    if len(frames) < 3:
        raise MixpiError(
            f"{images} has {len(frames)} frame(s): a path has 3 or more, with its ends"
        )
    start = continuous(setting.turned(frames, str(images)), setting.atoms.cell.array)
    look_at_steps(start, setting.atoms.get_chemical_symbols(), say)
    read = {Path(images): "the path to begin with"}
    files = setting.outputs(output, (".extxyz", ".json", ".state.npz"), read)
    if afresh:
        files[".state.npz"].unlink(missing_ok=True)
    with drivers_of(setting, kind=kind, name=Path(output).name) as drivers:
        mixing = FixedMixing(setting.config, setting.atoms, start, drivers, kind=kind, say=say)
        cell = setting.atoms.cell
        band = Band(
            [Atoms(setting.atoms.numbers, x, cell=cell, pbc=True) for x in start],
            mixing,
            k=k,
            climb=False,
            method=method,
        )
        descent = Descent(band, files[".state.npz"], _about(setting, kind, start, k, method))
        if descent.resume():
            say(f"going on from step {descent.step} ({files['.state.npz'].name})")
        else:
            put_aside_all(files.values())

        def largest() -> float:
            return largest_force(band.get_forces())

        force = np.inf
        try:
            largest()
            at_ends = look_at_ends([band.images[0], band.images[-1]], fmax, say)
            for climbing in [False, True] if climb else [False]:
                band.climb = climbing
                enough = fmax * CLIMB_BELOW if climb and not climbing else fmax
                for force in descent.walk(fmax=enough, steps=steps, force=largest):
                    what = "climbing, " if climbing else ""
                    tell(f"step {descent.step}, {what}largest force {force:.4f} eV/Å", 0.0)
        except MixpiError as error:
            raise descent.kept(error) from None
        found = _written(setting, mixing, band, files)
    converged = bool(force <= fmax)
    summary = {
        "converged": converged,
        "steps": descent.step,
        "largest_force_eV_per_A": force,
        "largest_force_of_ends_eV_per_A": at_ends,
        "fmax_eV_per_A": fmax,
        "spring_eV_per_A2": k,
        "climb": climb,
        "tangents": method,
        "forces": kind,
        "core_blend_buffer": list(mixing.counts),
        "energies": _energies_in_words(kind, band.work_counts),
        **found.as_dict(),
    }
    replace_text(files[".json"], json.dumps(summary, indent=2) + "\n")
    if converged:
        files.pop(".state.npz").unlink(missing_ok=True)
    return Found(found, converged, descent.step, force, list(files.values()))


def _energies_in_words(kind: str, work_counts: bool) -> str:
    if work_counts:
        return "work of the forces"
    return "estimate by site energies" if kind == "mixed" else f"those of the {kind} potential"


def _written(setting: Setting, mixing: FixedMixing, band: Band, files: dict[str, Path]) -> Profile:
    """The profile, once the images are written."""
    frames: list[Atoms] = []
    for number, image in enumerate(band.images):
        energy = float(image.get_potential_energy())
        frames.append(setting.evaluated(image, mixing, image=number, energy_estimate=energy))
    if band.work_counts:
        # a spline through the forces is more exact than what the band needs to know
        for frame, work in zip(frames, profile_of(frames).work, strict=True):
            frame.info["energy_estimate"] = float(work)

    write_frames(files[".extxyz"], frames)
    return profile_of(frames)


def _about(setting: Setting, kind: str, start: Sequence[np.ndarray], k: float, method: str) -> dict:
    return {
        **setting.about(kind),
        "images": len(start),
        "start": [round(float(np.abs(x).sum()), 5) for x in start],
        "spring": k,
        "tangents": method,
    }
