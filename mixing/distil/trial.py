"""A short dynamics of a written potential in plain LAMMPS, as whoever uses it would run it."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units

from ..drivers.lammps import LammpsSetup
from ..errors import MixpiError
from ..run.processes import dying_with_us
from .bonds import shortest_distance
from .lammps_engine import loaded
from .properties import farthest


#: Steps of the dynamics; unstable crystals that were seen fell within 200.
STEPS = 500
#: Between two looks.
EVERY = 10
#: Fewest atoms: of less, the temperature says little.
SMALLEST = 32
#: Of the temperature asked for, as thermal energy 3 k T an atom: how much the total energy
#: may drift between the second quarter and the last one.
DRIFT = 0.02
#: An atom further from its site than this share of the shortest distance left it.
LEFT = 0.5
#: As a multiple of what the expensive potential's atoms do.
FURTHER = 1.5


@dataclass(frozen=True)
class Trial:
    """What a short dynamics without thermostat did.

    Attributes
    ----------
    steps, planned : int
        Done, and asked for.
    atoms : int
        In the cell.
    timestep : float
        fs.
    asked, temperature : float
        K; asked for, and the mean over the second half (NaN if it was not reached).
    drift : float
        Change of the total energy from the second quarter to the last one, eV/atom (NaN
        if it was not reached).
    farthest, allowed : float
        Å; largest distance of an atom from its site, and what is still a vibration.
    stopped : str
        Why it ended early, in LAMMPS's words; empty if it did not.
    """

    steps: int
    planned: int
    atoms: int
    timestep: float
    asked: float
    temperature: float
    drift: float
    farthest: float
    allowed: float
    stopped: str = ""

    @property
    def fault(self) -> str:
        """What shows that the potential does not hold the crystal; empty if nothing does."""
        if self.stopped:
            return f"it stopped after {self.steps} of {self.planned} steps ({self.stopped})"
        if self.farthest > self.allowed:
            return (
                f"an atom came {self.farthest:.2f} Å away from its site (a vibration: up to "
                f"{self.allowed:.2f} Å)"
            )
        # equipartition halves the kinetic energy of the start; few atoms fluctuate
        if self.temperature > (1.4 + 2.0 / np.sqrt(self.atoms)) * self.asked:
            return f"it heated up to {self.temperature:.0f} K without a thermostat"
        if abs(self.drift) > DRIFT * 3 * units.kB * self.asked:
            return f"its total energy drifts ({1e3 * self.drift:+.1f} meV/atom)"
        return ""


def run_trial(
    setup: LammpsSetup,
    crystal: Atoms,
    repeats: Sequence[int],
    *,
    temperature: float,
    timestep: float,
    allowed: float,
    steps: int = STEPS,
) -> Trial:
    """Constant-energy dynamics of the supercell, from its sites with random velocities.

    It happens in a process of its own: where atoms collapse, LAMMPS can crash (pair_style
    uf3 reads outside its tables), and would take everything else with it.

    Parameters
    ----------
    setup : LammpsSetup
        Potential, with everything that users get, and species.
    crystal : Atoms
        At rest; repeated further while it has less than :data:`SMALLEST` atoms.
    repeats : sequence of int
        Of the supercell.
    temperature : float
        K, after equipartition.
    timestep : float
        fs.
    allowed : float
        Å; see :class:`Trial`.
    steps : int
        How many.

    Returns
    -------
    Trial
    """
    counts = np.array(repeats)
    while len(crystal) * counts.prod() < SMALLEST:
        counts *= 2
    atoms = crystal.copy() * counts  # without a calculator, which need not be portable
    with tempfile.TemporaryDirectory(prefix="mixpi-") as folder:
        results = Path(folder) / "rows"
        child = subprocess.run(
            dying_with_us([sys.executable, "-P", "-c", f"from {__name__} import _child; _child()"]),
            input=pickle.dumps((setup, atoms, temperature, timestep, steps, results)),
            capture_output=True,
            check=False,
        )
        lines = results.read_text().splitlines() if results.exists() else []
    stopped = next((line.removeprefix("stopped ") for line in lines if line[:1] == "s"), "")
    rows = [list(map(float, line.split())) for line in lines if line[:1] != "s"]
    if child.returncode and not stopped:
        words = child.stderr.decode(errors="replace").strip().splitlines()
        stopped = (
            f"LAMMPS crashed, signal {-child.returncode}"
            if child.returncode < 0
            else f"LAMMPS failed: {words[-1] if words else child.returncode}"
        )
    table = np.array(rows).reshape(-1, 3)
    quarter = steps // EVERY // 4
    whole = not stopped and quarter > 0
    return Trial(
        len(rows) * EVERY,
        steps,
        len(atoms),
        timestep,
        temperature,
        float(table[-2 * quarter :, 0].mean()) if whole else np.nan,
        float(table[-quarter:, 1].mean() - table[quarter : 2 * quarter, 1].mean())
        if whole
        else np.nan,
        float(table[:, 2].max(initial=0.0)),
        allowed,
        stopped,
    )


def _child() -> None:
    """What the process of its own does: temperature, energy and way, line by line."""
    setup, atoms, temperature, timestep, steps, results = pickle.load(sys.stdin.buffer)
    with results.open("w", buffering=1) as out:
        try:
            for row in _dynamics(setup, atoms, temperature, timestep, steps):
                if not np.isfinite(row).all():
                    raise MixpiError("temperature or energy are not finite")
                print(*row, file=out)
        except Exception as error:  # LAMMPS raises nothing more special
            words = " ".join(str(error).split()).split(" For more information")[0]
            print(f"stopped {words}", file=out)


def _dynamics(
    setup: LammpsSetup, atoms: Atoms, temperature: float, timestep: float, steps: int
) -> Iterator[tuple[float, float, float]]:
    """Temperature (K), energy (eV/atom) and largest way (Å), every :data:`EVERY` steps."""
    commands = [
        f"timestep {timestep / 1000:.10g}",
        # all energy is kinetic at first: half of it goes into the bonds
        f"velocity all create {2 * temperature:.10g} 4928459 mom yes rot no dist gaussian",
        "compute way all displace/atom",
        "compute farthest all reduce max c_way[4]",
        "fix move all nve",
        "thermo_style custom step temp etotal c_farthest",
        f"thermo {EVERY}",
        "run 0 post no",
    ]
    with loaded(atoms, setup, commands) as lmp:
        for _ in range(0, steps, EVERY):
            lmp.command(f"run {EVERY} pre no post no")
            yield (
                lmp.get_thermo("temp"),
                lmp.get_thermo("etotal") / len(atoms),
                float(lmp.extract_compute("farthest", 0, 0)),
            )


def allowed_way(crystal: Atoms, snapshots: Sequence[Atoms], repeats: Sequence[int]) -> float:
    """How far (Å) an atom may be from its site before it counts as gone.

    Half of the shortest distance, or more where the atoms of the expensive potential's
    own snapshots go further; infinite where they leave their sites, too.
    """
    half = LEFT * shortest_distance(crystal, 6.0)
    sites = crystal * tuple(repeats)
    seen = 0.0
    for atoms in snapshots:
        seen = max(seen, farthest(atoms.positions - sites.positions, atoms.cell.array))
    return np.inf if seen > half else max(half, FURTHER * seen)
