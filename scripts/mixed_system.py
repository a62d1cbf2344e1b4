"""Silicon and tungsten for ``energy_flux.py``: ways of mixing, potentials in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from mixpi.blend.clusters import extract_cluster
from mixpi.config import load_config
from mixpi.drivers.lammps_cluster import LammpsClusterEngine
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from mixpi.regions.growth import surround
from mixpi.structure import read_structure


ROOT = Path(__file__).parent.parent
POTENTIALS = ROOT / "ipi_inputs" / "potentials"
#: Of the expensive forces: those of the whole cell.
EXACT = "exact"


def distilled(name: str) -> tuple[str, ...]:
    """LAMMPS lines of a potential of :data:`POTENTIALS`, its files with their folder."""
    lines = json.loads((POTENTIALS / f"{name}.json").read_text())["lammps"]
    return tuple(
        " ".join(
            str(POTENTIALS / word) if (POTENTIALS / word).is_file() else word
            for word in line.split()
        )
        for line in lines
    )


def small_vacancy() -> Atoms:
    """215 silicon atoms around a vacancy."""
    atoms = bulk("Si", a=5.46526, cubic=True) * (3, 3, 3)
    near = np.argsort(atoms.get_distances(0, range(len(atoms)), mic=True))[1:5] - 1
    del atoms[0]
    atoms.info["seeds"] = near.tolist()
    return atoms


def helium_in_tungsten() -> Atoms:
    """432 atoms around a tetrahedral site."""
    a = 3.18806
    atoms = bulk("W", a=a, cubic=True) * (6, 6, 6)
    atoms = Atoms("He", [[3.5 * a, 3.25 * a, 3.0 * a]], cell=atoms.cell, pbc=True) + atoms
    atoms.info["seeds"] = [0]
    return atoms


@dataclass(frozen=True)
class Way:
    """One way of mixing; Å, fs.

    ``cheap`` names a potential of the system; ``expensive`` is "exact", a tuple of the buffer of a
    carved cluster, or the two radii of a partial evaluation.
    """

    core: float
    blend: float
    profile: str = "linear"
    every: int = 1
    tau_in: float = 0.0
    tau_out: float = 0.0
    leave: float = 0.0
    cheap: str = ""
    expensive: str | tuple[float, ...] = EXACT

    @property
    def weights_alone(self) -> tuple:
        """What the weights depend on."""
        return (self.core, self.blend, self.profile, self.every, self.tau_in, self.tau_out,
                self.leave)  # fmt: skip

    @property
    def remembers(self) -> bool:
        """Whether weights depend on earlier ones."""
        return bool(self.every and (self.tau_in or self.tau_out or self.leave))

    @property
    def name(self) -> str:
        """One line."""
        parts = [f"{self.profile if self.blend else 'abrupt'} {self.core:g}/{self.blend:g}"]
        parts += ["frozen"] if self.every == 0 else []
        parts += [f"every {self.every}"] if self.every > 1 else []
        parts += [
            f"{key} {getattr(self, key):g}"
            for key in ("tau_in", "tau_out", "leave")
            if getattr(self, key)
        ]
        parts += [self.cheap] if self.cheap else []
        if self.expensive != EXACT:
            kind = "buffer" if len(self.expensive) == 1 else "partial"
            parts.append(f"{kind} {'/'.join(f'{radius:g}' for radius in self.expensive)}")
        return ", ".join(parts)


@dataclass
class Known:
    """What the potentials say of one geometry.

    Forces (n, 3) in eV/Å, site energies (n,) in eV; of the cheap ones by name.
    """

    positions: np.ndarray
    forces: np.ndarray
    sites: np.ndarray
    cheap_energy: dict[str, float] = field(default_factory=dict)
    cheap_forces: dict[str, np.ndarray] = field(default_factory=dict)
    cheap_sites: dict[str, np.ndarray] = field(default_factory=dict)


class System:
    """An example with its potentials, in this process.

    Parameters
    ----------
    folder : Path
        With ``mixing.yaml``.
    cheap : mapping of str to sequence of str, optional
        Further cheap potentials: LAMMPS lines.
    expensive : sequence of str, optional
        LAMMPS lines of a potential that stands in for the model, for tests.
    atoms : Atoms, optional
        Others than the example's; ``info`` has the seeds.
    """

    def __init__(
        self,
        folder: Path,
        cheap: Mapping[str, Sequence[str]] | None = None,
        expensive: Sequence[str] | None = None,
        atoms: Atoms | None = None,
    ) -> None:
        config = load_config(folder / "mixing.yaml")
        self.atoms = read_structure(folder / config.structure) if atoms is None else atoms
        self.seeds = np.asarray(config.seed_indices if atoms is None else atoms.info["seeds"])
        self.numbers, self.cell = self.atoms.numbers, self.atoms.cell.array
        self.masses = self.atoms.get_masses()
        species = config.cheap.lammps.species
        self.engine: Any
        if expensive:
            self.engine = LammpsClusterEngine(expensive, species=species, folder=folder)
        else:
            self.engine = SymmetrixEngine(folder / config.expensive.mace.model)
        lines = {"": config.cheap.lammps.potential, **(cheap or {})}
        self.cheap = {
            name: LammpsClusterEngine(given, species=species, folder=folder)
            for name, given in lines.items()
        }
        self._fill = None
        if not expensive:
            self._fill = self.engine.mean_features(self.numbers, self.atoms.positions, self.cell)

    def know(self, positions: np.ndarray) -> Known:
        """Ask all potentials."""
        _, forces, _, sites = self.engine.evaluate_with_sites(self.numbers, positions, self.cell)
        known = Known(positions.copy(), forces, sites)
        for name, engine in self.cheap.items():
            energy, mine, _, theirs = engine.evaluate_with_sites(self.numbers, positions, self.cell)
            known.cheap_energy[name] = energy
            known.cheap_forces[name], known.cheap_sites[name] = mine, theirs
        return known

    def approximate(
        self, positions: np.ndarray, weights: np.ndarray, radii: tuple[float, ...]
    ) -> np.ndarray:
        """Expensive forces (n, 3) as a run has them: of a carved cluster, or of a part."""
        partial = len(radii) == 2
        buffer = max(radii) + self.engine.cutoff + 0.5 if partial else radii[0]
        regions = surround(positions, self.cell, weights, buffer=buffer)
        cluster = extract_cluster(regions, self.numbers)
        asked = (cluster.numbers, cluster.positions(positions), self.cell)
        if partial:
            found = self.engine.partial_sites(
                *asked,
                distance=regions.depths[cluster.indices],
                sites=radii[0],
                features=radii[1],
                fill=self._fill,
            )[1]
        else:
            found = self.engine.evaluate(*asked)[1]
        forces = np.full((len(weights), 3), np.nan)
        forces[cluster.indices] = found
        return forces
