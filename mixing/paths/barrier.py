"""``mixpi barrier``: the height of a path, by three ways that know nothing of each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files.replacing import replace_file, replace_text
from ..structure import read_frames
from .fixed_mixing import FixedMixing
from .profile import Profile, curve_of, height, profile_of
from .starting_up import Setting, drivers_of, read_setting


@dataclass(frozen=True)
class Barrier:
    """A path and its height.

    Attributes
    ----------
    profile : Profile
        By the forces of the mixing and by its energy estimate.
    expensive : ndarray, shape (images,), or None
        Energies of the expensive potential on the whole system, above the first image, eV.
    files : list of Path
        What was written.
    """

    profile: Profile
    expensive: np.ndarray | None
    files: list[Path]

    @property
    def by_expensive(self) -> float | None:
        """Height of the expensive energies: their curve has the mixed forces as slopes; eV."""
        if self.expensive is None:
            return None
        return height(self.profile.length, self.expensive, self.profile.force)


def barrier(
    path: str | Path,
    images: str | Path = "neb.extxyz",
    *,
    expensive: bool = True,
    output: str = "barrier",
    say: Callable[[str], None] = print,
) -> Barrier:
    """The barrier of a path that ``mixpi neb`` has found.

    By the integral of the forces, by the estimate of the energy, and by energies of the expensive
    potential of each image (as in Birks et al., npj Comput. Mater. 2026). Writes
    ``<output>.json`` and ``<output>.png``.

    Parameters
    ----------
    path : path-like
        The configuration, or an i-PI input that names it.
    images : path-like
        What ``mixpi neb`` has written; a relative name is in the configuration's folder.
    expensive : bool
        Whether the expensive potential evaluates the whole system, once for each image.
    output : str
        How the files are called.
    say : callable
        Told what is suspicious.

    Raises
    ------
    MixpiError
        If the images are no path of this system, or a driver fails.
    """
    setting = read_setting(path)
    images = setting.folder / images
    frames = read_frames(images, most=None)
    positions = setting.turned(frames, str(images))
    written = setting.outputs(output, (".json", ".png"), {images: "the path"})
    files = list(written.values())
    profile = profile_of(frames)
    found = None
    if expensive:
        found = _expensive_energies(setting, positions, say)
    result = Barrier(profile, found, files)
    summary = {
        **profile.as_dict(),
        "expensive_eV": None if found is None else found.tolist(),
        "barrier_by_expensive_energies_eV": result.by_expensive,
        "images": len(frames),
    }
    replace_text(files[0], json.dumps(summary, indent=2) + "\n")
    replace_file(files[1], lambda part: draw(result, part))
    return result


def _expensive_energies(
    setting: Setting, positions: Sequence[np.ndarray], say: Callable[[str], None]
) -> np.ndarray:
    with drivers_of(setting, kind="expensive", name="barrier") as drivers:
        mixing = FixedMixing(
            setting.config, setting.atoms, positions[:1], drivers, kind="expensive", say=say
        )
        energies = [mixing.evaluate([x])[0].energy for x in positions]
    found = np.array([np.nan if energy is None else energy for energy in energies])
    return found - found[0]


def draw(found: Barrier, target: Path) -> None:
    """Draw the path: energies, and short lines with the slopes that the forces say.

    Parameters
    ----------
    found : Barrier
    target : Path
        PNG.
    """
    from matplotlib.figure import Figure

    profile = found.profile
    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    axes = figure.subplots()
    shown = [("energy estimate", profile.energy, "#d55e00")]
    shown.append(("−∫F·dR", profile.work, "#009e73"))
    if found.expensive is not None:
        shown.insert(0, ("expensive potential", found.expensive, "#000000"))
    for label, energy, colour in shown:
        s, e = curve_of(profile.length, energy, profile.force)
        axes.plot(s, 1e3 * e, color=colour, lw=1.0)
        name = f"{label}: {1e3 * height(profile.length, energy, profile.force):.1f} meV"
        axes.plot(profile.length, 1e3 * energy, "o", color=colour, ms=4, label=name)
    half = 0.2 * np.diff(profile.length).min()
    for s, e, force in zip(profile.length, shown[0][1], profile.force, strict=True):
        axes.plot([s - half, s + half], [1e3 * (e + force * half), 1e3 * (e - force * half)], "k-")
    axes.set(xlabel="along the path (Å)", ylabel="energy (meV)")
    axes.legend(frameon=False)
    figure.savefig(target, dpi=150, format="png")
