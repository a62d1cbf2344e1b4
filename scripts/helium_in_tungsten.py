"""Fit what He and W do to each other, as a cheap potential beside one of tungsten alone.

python scripts/helium_in_tungsten.py        writes ipi_inputs/potentials/w-he.uf3

The distilled potentials of tungsten leave He alone. That is enough where He is in the core, and
not where the expensive forces are computed for fewer beads than there are: what the cheap
potential does not know of He would be missing in the internal motion of its ring polymer. So
pairs He-W, and triples of He with two W, are fitted by least squares to the forces of the model
less those of ``w-adp``, on snapshots of Langevin dynamics at temperatures at which He moves about
as far as by its zero-point motion. Beads go further: on the way of a ring polymer they come closer
to W than any atom of that energy. So each snapshot is there several times, He displaced at random;
without those the potential has holes beside what it was fitted to, into which beads fall.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms, units
from make_interstitial import helium_in_tungsten
from mixpi.distil.bsplines import clamped_knots
from mixpi.distil.lammps_engine import LammpsCalculator
from mixpi.distil.least_squares import Triangle
from mixpi.distil.uf3 import Uf3Basis, _three_body_block, _two_body_block
from mixpi.drivers.lammps import LammpsSetup
from mixpi.drivers.mace_driver import MaceDriver


INPUTS = Path(__file__).parent.parent / "ipi_inputs"
POTENTIALS, MODEL = INPUTS / "potentials", INPUTS / "models" / "w-he-small.model"
TARGET = POTENTIALS / "w-he.uf3"
#: The cheap potential beside which it stands: that of the example ``w_he_md``.
TUNGSTEN = (
    "pair_style hybrid/scaled 1 eam/alloy 1 adp -1 adp -1 adp 1 zbl 1.264 2.107 1 zbl 0.84 1.4",
    "pair_coeff * * eam/alloy w-adp.eam.alloy NULL W",
    *(f"pair_coeff * * adp {k} w-adp.{k}.adp NULL W" for k in (1, 2, 3)),
    "pair_coeff 1 1 zbl 2 2 2",
    "pair_coeff 1 2 zbl 2 2 74",
    "pair_coeff 2 2 zbl 1 74 74",
)
BOTH = (TUNGSTEN[0] + " 1 uf3 3", *TUNGSTEN[1:], f"pair_coeff * * uf3 {TARGET.name} He W")
BASIS = Uf3Basis(
    ("He", "W"), cutoff=5.0, intervals=30, cutoff_3b=4.2, start_3b=1.2, intervals_3b=10
)
#: The kinds of terms that are fitted; all others stay empty.
PAIR, TRIO = ("He", "W"), ("He", "W", "W")
#: eV/Å and eV: strength of smoothness and of a plain ridge.
SMOOTHNESS, RIDGE = 1e-5, 1e-6
#: fs, 1/fs, steps.
TIME_STEP, FRICTION, EQUILIBRATION, SPACING = 1.0, 0.02, 300, 20
#: Å; rms displacements of He along each axis in further copies of a snapshot, and how close to W
#: it may then come.
DISPLACED, CLOSEST = (0.05, 0.1, 0.15), 1.35
#: eV/Å; forces much larger than this count less.
LARGE = 5.0


def snapshots(temperature: float, number: int, seed: int) -> list[tuple[Atoms, np.ndarray]]:
    """Structures of 129 atoms from dynamics of the model, each with its forces (eV/Å)."""
    atoms, _ = helium_in_tungsten(4)
    engine = MaceDriver(model=str(MODEL), threads=1).load(Path("."))
    rng, masses = np.random.default_rng(seed), atoms.get_masses()[:, None]
    spread = np.sqrt(units.kB * temperature / masses)
    x, v = atoms.positions.copy(), spread * rng.normal(size=(len(atoms), 3))
    dt, kept = TIME_STEP * units.fs, np.exp(-FRICTION * TIME_STEP)
    forces = engine.evaluate(atoms.numbers, x, atoms.cell.array)[1]
    found: list[tuple[Atoms, np.ndarray]] = []
    for step in range(1, EQUILIBRATION + number * SPACING + 1):
        v += 0.5 * dt * forces / masses
        x += 0.5 * dt * v
        v = kept * v + np.sqrt(1.0 - kept**2) * spread * rng.normal(size=x.shape)
        x += 0.5 * dt * v
        forces = engine.evaluate(atoms.numbers, x, atoms.cell.array)[1]
        v += 0.5 * dt * forces / masses
        if step > EQUILIBRATION and step % SPACING == 0:
            frame = atoms.copy()
            frame.positions = x
            found.append((frame, np.array(forces)))
            for far in DISPLACED:
                moved = displaced(frame, far, rng)
                found.append((moved, forces_of(engine, moved)))
    return found


def forces_of(engine, atoms: Atoms) -> np.ndarray:
    """eV/Å, shape (n, 3)."""
    return np.array(engine.evaluate(atoms.numbers, atoms.positions, atoms.cell.array)[1])


def displaced(atoms: Atoms, spread: float, rng: np.random.Generator) -> Atoms:
    """A copy with He elsewhere, but not on top of a W."""
    helium = helium_of(atoms)
    others = np.delete(np.arange(len(atoms)), helium)
    while True:
        copy = atoms.copy()
        copy.positions[helium] += rng.normal(0.0, spread, 3)
        if copy.get_distances(helium, others, mic=True).min() > CLOSEST:
            return copy


def helium_of(atoms: Atoms) -> int:
    """Number of the He atom."""
    return int(np.flatnonzero(atoms.symbols == "He")[0])


def columns() -> np.ndarray:
    """Which coefficients of the basis belong to the fitted kinds."""
    found = []
    for kind, size in ((PAIR, BASIS.intervals), (TRIO, int(BASIS._table(TRIO).max()) + 1)):
        found += list(range(BASIS._start[kind], BASIS._start[kind] + size))
    return np.array(found)


def rows(atoms: Atoms, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Atoms near He, of which alone the forces have any rows, and these: (near, 3, used)."""
    distances = atoms.get_distances(helium_of(atoms), range(len(atoms)), mic=True)
    near = np.flatnonzero(distances < BASIS.cutoff)
    return near, BASIS.rows(atoms[near]).forces[:, used].reshape(len(near), 3, -1)


def fitted(train: Sequence[tuple[Atoms, np.ndarray]]) -> np.ndarray:
    """The coefficients, shape (p,)."""
    calculator = LammpsCalculator(LammpsSetup(TUNGSTEN, ("He", "W"), POTENTIALS))
    used = columns()
    triangle = Triangle(len(used))
    for atoms, forces in train:
        near, design = rows(atoms, used)
        missing = (forces - calculator.get_forces(atoms))[near]
        counts = 1.0 / (1.0 + np.linalg.norm(forces[near], axis=1) / LARGE)
        triangle.add(
            (counts[:, None, None] * design).reshape(-1, len(used)),
            (counts[:, None] * missing).ravel(),
        )
    bent = SMOOTHNESS * np.sqrt(triangle.rows) * BASIS.penalty()[:, used]
    for matrix in (bent, RIDGE * np.eye(len(used))):
        triangle.add(matrix, np.zeros(len(matrix)))
    reduced, target, _ = triangle.result()
    coefficients = np.zeros(BASIS.size)
    coefficients[used] = np.linalg.lstsq(reduced, target, rcond=None)[0]
    return coefficients


def write(coefficients: np.ndarray) -> None:
    """One ``.uf3`` file; what is not fitted ends at 0.1 Å, so that it costs next to nothing."""
    nowhere, nowhere_far = (clamped_knots(1e-3, end, 1) for end in (0.1, 0.2))
    blocks = [
        _two_body_block(pair, BASIS._knots, BASIS._pair_values(pair, coefficients))
        if pair == PAIR
        else _two_body_block(pair, nowhere, np.zeros(4))
        for pair in BASIS.pairs
    ]
    blocks += [
        _three_body_block(
            trio, BASIS._knots_jk, BASIS._knots_ij, BASIS._trio_values(trio, coefficients)
        )
        if trio == TRIO
        else _three_body_block(trio, nowhere_far, nowhere, np.zeros((4, 4, 4)))
        for trio in BASIS.trios
    ]
    TARGET.write_text("".join(blocks))


def compare(name: str, lines: tuple[str, ...], data: list[tuple[Atoms, np.ndarray]]) -> None:
    """Print how far the forces of LAMMPS are from the model's, by distance from He."""
    calculator = LammpsCalculator(LammpsSetup(lines, ("He", "W"), POTENTIALS))
    wrong, right, far = [], [], []
    for atoms, forces in data:
        helium = helium_of(atoms)
        wrong.append(calculator.get_forces(atoms) - forces)
        right.append(forces)
        far.append(atoms.get_distances(helium, range(len(atoms)), mic=True))
    print(f"{name}: rms difference of forces on held-out snapshots, and rms force, eV/Å")
    shells = {"He": (-1.0, 0.1), "W to 2.3 Å": (0.1, 2.3), "to 3.6": (2.3, 3.6),
              "to 5": (3.6, 5.0), "beyond": (5.0, 99.0)}  # fmt: skip
    for shell, (low, high) in shells.items():
        here = (np.array(far) >= low) & (np.array(far) < high)
        error, size = (float(np.sqrt((np.array(f)[here] ** 2).mean())) for f in (wrong, right))
        print(f"  {shell:<12}{error:8.3f}{size:8.3f}")


def main() -> None:
    train = [*snapshots(500.0, 40, seed=1), *snapshots(1200.0, 60, seed=3)]
    test = snapshots(1000.0, 20, seed=2)
    write(fitted(train))
    print(f"{len(columns())} coefficients, {len(train)} structures: {TARGET.name}")
    each = 1 + len(DISPLACED)
    compare("w-adp", TUNGSTEN, test[::each])
    compare("w-adp and w-he", BOTH, test[::each])
    for k, far in enumerate(DISPLACED, start=1):
        compare(f"the same, He displaced by {far} Å", BOTH, test[k::each])


if __name__ == "__main__":
    main()
