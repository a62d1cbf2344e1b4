"""Tungsten with helium: bulk, vacancy, surface, screw dislocation, and He in, on and into them.

``TASKS`` is explained in ``recipe_si.py``. The labels are those of published classical potentials,
which LAMMPS has: tungsten by M. A. Wood et al., Phys. Rev. B 99 (2019) 184305 (SNAP), helium by
N. Juslin, B. D. Wirth, J. Nucl. Mater. 432 (2013) 61, made for helium in tungsten. 7net-l3i5,
which the first models of tungsten follow, lets no helium go from site to site: 0.89 eV, where DFT
has 0.06. The SNAP of arXiv:1702.07042 has no stable (100) surface: an atom on it and a hole in it
cost -0.3 eV, here 1.2.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import sampling
from ase import Atoms
from ase.build import bulk
from ase.md.verlet import VelocityVerlet
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.drivers.lammps import LammpsSetup
from sampling import bare, model_md, rattled, relaxation


TRUSTED_FORCE = 8.0  # eV/Å; frames with larger ones weigh less
ISOLATED_ATOMS = False  # else energies count from the mean of each species
LATTICE = 3.1801  # Å, of the labelling potential
LATTICE_CLASSICAL = 3.165
# in lattice constants; NEXT is tetrahedral, too
TETRAHEDRAL, OCTAHEDRAL = np.array([0.5, 0.25, 0.0]), np.array([0.5, 0.5, 0.0])
NEXT = np.array([0.75, 0.5, 0.0])


def wood_juslin() -> LammpsCalculator:
    """SNAP for W; He by pairs, with W and with itself."""
    lines = (
        "pair_style hybrid/overlay zbl 4.0 4.8 snap table spline 10000 table spline 10000",
        "pair_coeff 2 2 zbl 74 74",
        "pair_coeff * * snap WBe_Wood_PRB2019.snapcoeff WBe_Wood_PRB2019.snapparam NULL W",
        "pair_coeff 1 1 table 1 He_He_JW2013.table HeHe",
        "pair_coeff 1 2 table 2 W_He_JW2013.table WHe",
    )
    return LammpsCalculator(LammpsSetup(lines, ["He", "W"]))


SAMPLER = LABELLER = wood_juslin


def crystal(repeat: int = 3) -> Atoms:
    return bulk("W", "bcc", a=LATTICE, cubic=True) * (repeat, repeat, repeat)


def vacancy() -> Atoms:
    atoms = crystal()
    del atoms[0]
    return atoms


def surface() -> Atoms:
    """Six layers with a (100) surface on both sides of 13 Å of vacuum."""
    atoms = bulk("W", "bcc", a=LATTICE, cubic=True) * (3, 3, 3)
    atoms.set_cell(np.diag([1, 1, 0]) @ atoms.cell.array + np.diag([0, 0, 3 * LATTICE + 13.0]))
    return atoms


def rough_surface() -> Atoms:
    """An atom of the lower surface is on the upper one, above a hollow."""
    atoms = surface()
    height = atoms.positions[:, 2]
    atoms.positions[height.argmin()] = atoms.positions[height.argmax()] + LATTICE / 2
    return atoms


def zhou() -> list[str]:
    path = next(Path(sys.prefix).rglob("lammps/potentials/W_zhou.eam.alloy"))
    return ["pair_style eam/alloy", f"pair_coeff * * {path} W"]


def with_helium(atoms: Atoms, *points: np.ndarray) -> Atoms:
    result = atoms.copy()
    for point in points:
        result += Atoms("He", [point])
    return result


def site(rng, kind: np.ndarray) -> np.ndarray:
    """A site of a kind in one of the 27 unit cells, in any of its orientations (Å)."""
    return (rng.permutation(kind) + rng.integers(0, 3, 3)) * LATTICE


thermal = partial(sampling.thermal, crystal=crystal, pair=zhou, stretch=LATTICE / LATTICE_CLASSICAL)


def oriented(rows) -> Atoms:
    """The crystal in a cell of orthogonal ``rows`` (lattice constants, cubic axes) as x, y, z."""
    block = bulk("W", "bcc", a=1.0) * (8, 8, 8)
    fractions = block.positions @ np.linalg.inv(rows) % 1
    fractions = np.unique(np.round(fractions, 6) % 1, axis=0)
    cell = np.linalg.norm(rows, axis=1) * LATTICE
    return Atoms(f"W{len(fractions)}", cell=cell, pbc=True, scaled_positions=fractions)


def slipped(rng, sampler):
    """A (110) plane slipped along [-111]/2, rigid and rattled: towards the screw dislocation."""
    block = oriented([[-0.5, 0.5, 0.5], [1.0, -1.0, 2.0], [3.0, 3.0, 0.0]]) * (2, 1, 1)
    upper = block.get_scaled_positions()[:, 2] > 0.49
    for fraction in np.linspace(0.0, 0.5, 6):
        atoms = block.copy()
        atoms.positions[upper] += fraction * block.cell[0] / 2
        yield rattled(atoms, rng, 0.01)
        yield rattled(atoms, rng, 0.06)


def screw(rng, sampler):
    """Two screw dislocations in 120 atoms, anywhere in the crystal, on the way to a stable core."""
    perfect = oriented([[1.0, 1.0, -2.0], [-1.0, 1.0, 0.0], [0.5, 0.5, 0.5]])
    for _ in range(6):
        centre = rng.uniform(0.0, 1.0, 2) * perfect.cell.lengths()[:2]
        # one of the two shears of the cell is what the slip leaves
        both = [screw_dipole(perfect * (4, 5, 1), centre, shear) for shear in (-0.5, 0.5)]
        start = min(both, key=lambda atoms: energy(atoms, sampler()))
        frames = relaxation(start, sampler(), steps=24)
        yield from frames[4::5]
        yield rattled(frames[-1], rng, 0.08)


def screw_dipole(atoms: Atoms, centre: np.ndarray, shear: float) -> Atoms:
    """Screws of opposite sign along z, half a cell apart along x, the first at ``centre`` (Å).

    The cell is sheared by ``shear`` Burgers vectors along y.
    """
    atoms = atoms.copy()
    lx, ly, b = atoms.cell.lengths()
    images = np.arange(-6, 7)

    def field(x, y):
        """Displacements along z of all images, in Burgers vectors."""
        i, j = np.meshgrid(images, images)
        x, y = x[..., None, None] - centre[0], y[..., None, None] - centre[1] - j * ly
        angles = np.arctan2(y, x - i * lx) - np.arctan2(y, x - (i + 0.5) * lx)
        return angles.sum(axis=(-1, -2)) / (2 * np.pi)

    # from one period to the next, but for whole Burgers vectors; the sum of images lacks a shear
    x, y = np.array([[0.25, 1.25, 0.25], [0.3, 0.3, 1.3]]) * [[lx], [ly]] + centre[:, None]
    start, along_x, along_y = field(x, y)
    along_x, along_y = (step - np.round(step) for step in (along_x - start, along_y - start))
    x, y, _ = atoms.positions.T
    atoms.positions[:, 2] += b * (field(x, y) - along_x * x / lx - (along_y - shear) * y / ly)
    cell = atoms.cell.array
    cell[1, 2] = shear * b
    atoms.set_cell(cell)
    return atoms


def energy(atoms: Atoms, calculator) -> float:
    atoms = atoms.copy()
    atoms.calc = calculator
    return float(atoms.get_potential_energy())


def surface_relaxed(rng, sampler):
    frames = relaxation(rattled(surface(), rng, 0.06), sampler(), steps=20)
    yield from frames[::6]
    for amplitude in (0.03, 0.06, 0.1, 0.15):
        yield rattled(frames[-1], rng, amplitude)
    for height in np.linspace(-1.5, 5.0, 14):
        point = np.array([*rng.uniform(0, 3 * LATTICE, 2), 2.5 * LATTICE + height])
        yield from clear(with_helium(rattled(frames[-1], rng, 0.08), point))


def helium_relaxed(rng, sampler):
    """He in every kind of site, on its way to equilibrium."""
    hosts = [(crystal(), site(rng, TETRAHEDRAL)), (crystal(), site(rng, OCTAHEDRAL))]
    hosts += [(vacancy(), np.zeros(3)), (vacancy(), np.array([0.25, 0.5, 0.0]) * LATTICE)]
    for host, point in hosts:
        frames = relaxation(rattled(with_helium(host, point), rng, 0.04), sampler(), steps=15)
        yield from frames[::3]


def helium_in_heat(rng, sampler, *, temperature: float):
    """He put into thermal bulk, two of them in each fourth frame, while the host gives way."""
    for index, host in enumerate(thermal(rng, temperature=temperature, frames=8)):
        settle(host)
        first = site(rng, TETRAHEDRAL) + rng.normal(0.0, 0.1, 3)
        points = [first, first + 1.9 * unit_vector(rng)] if index % 4 == 0 else [first]
        frames = relaxation(with_helium(host, *points), sampler(), steps=10)
        for frame in frames[4::3]:
            yield from clear(frame)


def surface_hot(rng, sampler, *, temperature: float, start: Callable[[], Atoms] = surface):
    """A (100) surface moving."""
    yield from model_md(
        start(),
        sampler(),
        temperature=temperature,
        equilibrate=300,
        frames=12,
        spacing=80,
        rng=rng,
    )


def helium_thermal(rng, sampler, *, temperature: float, frames: int = 12):
    """He moving from a tetrahedral site of the bulk."""
    yield from model_md(
        rattled(with_helium(crystal(), site(rng, TETRAHEDRAL)), rng, 0.03),
        sampler(),
        temperature=temperature,
        equilibrate=200,
        frames=frames,
        spacing=60,
        rng=rng,
        timestep=1.5,
    )


def helium_between(rng, sampler):
    """He held on its way from one tetrahedral site to another and beyond, while W gives way."""
    beyond = np.add(TETRAHEDRAL, [0.0, 0.0, 0.25])
    for end, number in ((NEXT, 5), (OCTAHEDRAL, 3), (beyond, 3)):
        for fraction in np.linspace(0.15, 1.0, number):
            point = (TETRAHEDRAL + fraction * (end - TETRAHEDRAL) + 1.0) * LATTICE
            atoms = rattled(with_helium(crystal(), point), rng, 0.02)
            frames = relaxation(atoms, sampler(), steps=14, fixed=[len(atoms) - 1])
            yield from frames[4::5]


def helium_anywhere(rng, sampler):
    """He wherever there is room in hot bulk, not relaxed or a little."""
    for host in thermal(rng, temperature=900.0, frames=18):
        settle(host)
        while True:
            atoms = with_helium(host, rng.uniform(0.0, 3.0, 3) * LATTICE)
            if atoms.get_distances(-1, range(54), mic=True).min() > 1.5:
                break
        frames = relaxation(atoms, sampler(), steps=3)
        yield frames[0]
        yield frames[-1]


def helium_leaves(rng, sampler):
    """He put below, in and on a surface, while the atoms give way."""
    host = relaxation(rattled(surface(), rng, 0.05), sampler(), steps=20)[-1]
    top = host.positions[:, 2].max()
    for depth in (-2.0, -1.2, -0.5, 0.3, 1.0, 2.0, 3.0, 4.5):
        point = np.array([*(rng.uniform(0, 3 * LATTICE, 2)), top + depth])
        atoms = with_helium(rattled(host, rng, 0.06), point)
        frames = relaxation(atoms, sampler(), steps=12)
        for frame in frames[2::5]:
            yield from clear(frame)


def collisions(rng, sampler):
    """He close to an atom of warm bulk, as far from the others as in a collision."""
    for index, host in enumerate(thermal(rng, temperature=600.0, frames=40)):
        settle(host)
        distance = np.linspace(0.65, 2.0, 40)[index]
        target = host.positions[int(rng.integers(54))]
        for _ in range(200):
            atoms = with_helium(host, target + distance * unit_vector(rng))
            if np.sort(atoms.get_distances(-1, range(54), mic=True))[1] > max(1.3, distance):
                yield bare(atoms)
                break


def recoils(rng, sampler):
    """An atom of warm bulk or of a surface that was hit, half of them with He behind it."""
    for index, host in enumerate(thermal(rng, temperature=600.0, frames=20)):
        hit, way = int(rng.integers(54)), unit_vector(rng)
        atoms = host.copy()
        atoms.positions[hit] += rng.uniform(0.3, 1.1) * way
        if index % 2:
            behind = atoms.positions[hit] - rng.uniform(0.9, 1.6) * way
            atoms = with_helium(atoms, behind)
        if atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)].min() > 0.85:
            yield bare(atoms)


def implantation(rng, sampler, *, energy: float):
    """Frames of He that hits a hot surface with an energy (eV)."""
    host = next(
        model_md(
            surface(), sampler(), temperature=1000.0, equilibrate=300, frames=1, spacing=1, rng=rng
        )
    )
    for _ in range(2):
        point = np.array([*rng.uniform(0, 3 * LATTICE, 2), host.positions[:, 2].max() + 2.5])
        moving = with_helium(host, point)
        velocity = np.sqrt(2 * energy / moving.get_masses()[-1])
        velocities = np.zeros((len(moving), 3))
        velocities[-1, 2] = -velocity
        moving.set_velocities(velocities)
        moving.calc = sampler()
        dynamics = VelocityVerlet(moving, 0.06 / velocity)
        for _ in range(11):
            dynamics.run(6)
            yield bare(moving)


def settle(atoms: Atoms) -> None:
    """Take back the drift of the crystal, so that sites are where they are looked for."""
    steps = atoms.get_scaled_positions() - crystal().get_scaled_positions()
    steps -= np.round(steps)
    atoms.positions -= steps.mean(axis=0) @ atoms.cell.array


def unit_vector(rng) -> np.ndarray:
    v = rng.normal(size=3)
    return v / np.linalg.norm(v)


def clear(atoms: Atoms, least: float = 1.35):
    """The frame, unless He came closer to an atom than ``least`` (Å)."""
    helium = np.flatnonzero(atoms.numbers == 2)
    distances = atoms.get_all_distances(mic=True)[helium]
    if np.sort(distances, axis=1)[:, 1].min() > least:
        yield bare(atoms)


TASKS = {
    **{
        f"bulk-{t}K-{size}": partial(thermal, temperature=t, size=size, frames=n)
        for t, size, n in [
            (60, 0.01, 8),
            (300, 0.01, 12),
            (600, 0.02, 14),
            (1000, 0.02, 16),
            (1500, 0.03, 14),
        ]
    },
    "cold": partial(sampling.cold, unit=partial(crystal, 1), scales=(-0.06, 0.06, 13), fine=12),
    "slipped": slipped,
    "screw": screw,
    "vacancy-relaxed": partial(
        sampling.relaxed_and_rattled, start=vacancy, amplitudes=(0.03, 0.03, 0.08, 0.08, 0.12)
    ),
    "surface-relaxed": surface_relaxed,
    "helium-relaxed": helium_relaxed,
    "helium-between": helium_between,
    "helium-anywhere": helium_anywhere,
    "helium-leaves": helium_leaves,
    "collisions": collisions,
    "recoils": recoils,
    **{f"implantation-{e}eV": partial(implantation, energy=e) for e in (8, 20, 45, 90)},
    **{f"helium-in-heat-{t}K": partial(helium_in_heat, temperature=t) for t in (300, 800, 1200)},
    **{f"surface-{t}K": partial(surface_hot, temperature=t) for t in (500, 1000, 1300)},
    "rough-surface-1000K": partial(surface_hot, temperature=1000, start=rough_surface),
    **{
        f"helium-{t}K": partial(helium_thermal, temperature=t) for t in (300, 600, 1000, 1400, 2000)
    },
    "test-bulk-800K": partial(thermal, temperature=800, size=0.005, frames=6),
    **{f"test-helium-{t}K": partial(helium_thermal, temperature=t, frames=6) for t in (400, 800)},
    "test-surface-1000K": partial(surface_hot, temperature=1000),
    "test-implantation-30eV": partial(implantation, energy=30),
}
