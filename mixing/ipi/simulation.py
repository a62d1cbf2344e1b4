"""What the mixing layer may know of the i-PI simulation that it computes forces for.

i-PI hands a PES positions and a cell, nothing else. The rest (which step this is, which
atoms, their masses and momenta, where the outputs go) stands in its ``Simulation`` object.
Our entry point hands it over; i-PI's own program does not, but it registers itself for an
orderly exit and is found there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ipi.engine import outputs as ipi_outputs
from ipi.engine.outputs import CheckpointOutput, PropertyOutput, TrajectoryOutput
from ipi.engine.simulation import Simulation
from ipi.utils.depend import dstrip
from ipi.utils.messages import get_identification_info
from ipi.utils.softexit import softexit
from ipi.utils.units import unit_to_user

from ..errors import MixpiError
from ..output.continuing import OutputFile
from ..regions.periodic import PeriodicCell
from . import region_thermostat, time_step
from .motions import parts_of


#: bohr; i-PI may have wrapped the positions that it hands over.
SAME_PLACE = 1e-6

#: The simulation of this process, if somebody has named it.
_handed_over: list[Simulation] = []


class RunningSimulation:
    """The simulation that i-PI runs in this process.

    Parameters
    ----------
    simulation : ipi.engine.simulation.Simulation
        With one system.

    Attributes
    ----------
    first_step : int
        The step that this process begins with: 0, or that of a RESTART.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._system = simulation.syslist[0]
        self._inverse_masses = 1.0 / np.repeat(self._system.beads.m, 3)
        self._largest_inverse = float(self._inverse_masses.max())
        fixed = np.unique(np.asarray(list(self._system.motion.fixatoms_dof), dtype=int))
        self._free = max(len(self._inverse_masses) - len(fixed), 1)
        self._start: list[np.ndarray] | None = None
        # before the first step, while it writes the start, i-PI counts from -1
        self._first_count = int(simulation.step)
        self.first_step = max(self._first_count, 0)

    @property
    def continues(self) -> bool:
        """Whether i-PI goes on from a state of its own: a RESTART, or ``<file mode='chk'>``."""
        read = getattr(getattr(self._system, "init", None), "queue", [])
        modes = {getattr(item, "mode", "") for _, item in read}
        return self.first_step > 0 or not modes.isdisjoint({"chk", "checkpoint"})

    @property
    def symbols(self) -> list[str]:
        """Chemical symbols in i-PI's order."""
        return [str(name) for name in self._system.beads.names]

    @property
    def masses(self) -> np.ndarray:
        """Masses (n,), Dalton."""
        return unit_to_user("mass", "dalton", np.array(self._system.beads.m))

    def step_of(self, geometries: Sequence[np.ndarray]) -> int:
        """The step that geometries under evaluation belong to: the one they are on the way to.

        The first ones are the start; a continued run evaluates that step once more.
        """
        if self._start is None:
            self._start = [np.array(positions) for positions in geometries]
            self._at_start = True
        elif self._at_start:
            # atoms that do not move are at the start, but not on the way there
            self._at_start = int(self._simulation.step) <= self._first_count and all(
                map(np.array_equal, geometries, self._start)
            )
        return self.first_step if self._at_start else int(self._simulation.step) + 1

    def ring_with(
        self, geometries: Sequence[np.ndarray], cell: np.ndarray, pes: object = None
    ) -> tuple[list[np.ndarray], list[int]]:
        """All beads that a force is computed on, of which i-PI asks for some or all.

        It hands them over one by one, or in batches that need not be all of them. They share a
        region, and a row and a frame belong to a step: so all are evaluated at once.

        Parameters
        ----------
        geometries : sequence of ndarray, shape (n, 3)
            What it asks for, bohr.
        cell : ndarray, shape (3, 3)
            Rows are lattice vectors, bohr.
        pes : object, optional
            Who is asked. Only rings that it computes forces on are looked at: beads that are all in
            one place, as they often are at the start, are also those of a contracted ring.

        Returns
        -------
        ring : list of ndarray, shape (n, 3)
            All beads in their order, bohr.
        asked : list of int
            Which of them the geometries are.

        Raises
        ------
        MixpiError
            If they are no beads: what i-PI may have been asked for.
        """
        forces = self._system.forces
        of = zip(forces.mforces, forces.mbeads, strict=True)
        own = [beads for force, beads in of if getattr(force.ff, "driver", None) is pes]
        # contracted ones too; inside a committee it is not known whose they are
        # np.array alone does not copy i-PI's arrays: these would move on with the atoms
        rings = [np.array(dstrip(mine.q)) for mine in own or forces.mbeads]
        if len({len(ring) for ring in rings}) > 1 and own:
            raise MixpiError(
                f"i-PI computes one mixing layer's forces on {_counts(rings)} beads (nbeads='...' "
                "of several <force>): all that name one layer must have the same number"
            )
        found = np.reshape(geometries, (len(geometries), -1))
        # a force on as many beads as are asked for is the likeliest
        rings.sort(key=lambda q: len(q) != len(found))
        periodic = PeriodicCell(cell)

        def same(x: np.ndarray, y: np.ndarray) -> bool:
            return np.array_equal(x, y)

        def same_wrapped(x: np.ndarray, y: np.ndarray) -> bool:
            return bool(np.abs(periodic.fold((x - y).reshape(-1, 3))).max() < SAME_PLACE)

        for alike in (same, same_wrapped):
            for ring in rings:
                asked = _places(found, ring, alike)
                if asked is not None:
                    return [x.reshape(-1, 3) for x in ring], asked
        raise MixpiError(
            "i-PI asks for energies and forces of displaced atoms, not of its beads: mixed forces "
            "have no energy to compare such geometries by. Leave out what needs it: properties "
            "such as isotope_scfep, scaledcoords, sc_op_scaledcoords or displacedpath, and motions "
            "other than dynamics"
        )

    def corrects_nothing(self, pes: object) -> bool:
        """Whether no other force acts than those of one mixing layer, which is asked."""
        forces, own = self._system.forces.mforces, self._forces_of(pes)
        return bool(own) and not any(
            force.weight and (not len(force.mts_weights) or any(force.mts_weights))
            for force in forces
            if force not in own
        )

    def others_act(self, pes: object) -> bool:
        """Whether the atoms may feel something else than what one mixing layer gives for them."""
        shares = (
            force.weight * (sum(force.mts_weights) if len(force.mts_weights) else 1.0)
            for force in self._forces_of(pes)
        )
        whole = abs(sum(shares) - 1.0) < 1e-6
        biased = bool(len(self._system.ensemble.bcomp))
        return biased or not whole or not self.corrects_nothing(pes)

    def _forces_of(self, pes: object) -> list[Any]:
        """The force components that one mixing layer computes."""
        forces = self._system.forces.mforces
        return [force for force in forces if getattr(force.ff, "driver", None) is pes]

    def ask_for_forces(self) -> None:
        """Let i-PI compute the forces of the positions that it has."""
        np.array(self._system.forces.f)

    @property
    def has_region_thermostat(self) -> bool:
        """Whether its thermostat acts by the weights of the regions."""
        return region_thermostat.is_attached(self._simulation)

    @property
    def has_following_step(self) -> bool:
        """Whether its time step follows its fastest atom."""
        return time_step.is_attached(self._simulation)

    @property
    def step(self) -> int:
        """Steps done, while i-PI writes its output."""
        return int(self._simulation.step) + 1

    @property
    def timestep(self) -> float:
        """Of a whole step, fs; 0 for motions without any."""
        motion = parts_of(self._system.motion)[0]
        return float(unit_to_user("time", "femtosecond", float(getattr(motion, "dt", 0.0))))

    @property
    def time(self) -> float:
        """Time at the end of the last whole step, fs."""
        return float(unit_to_user("time", "femtosecond", float(self._system.ensemble.time)))

    @property
    def ensemble_temperature(self) -> float:
        """That of the thermostat, K; 0 without one."""
        return max(unit_to_user("temperature", "kelvin", float(self._system.ensemble.temp)), 0.0)

    @property
    def temperature(self) -> float:
        """That of the velocities of all atoms, without their common one, as they are now, K."""
        momenta = np.asarray(self._system.beads.p)
        squares = np.einsum("ij,ij->j", momenta, momenta)
        atoms, mass = np.ones(self._system.beads.natoms), np.sum(self._system.beads.m)
        common = sum(float(np.sum((atoms @ p.reshape(-1, 3)) ** 2)) for p in momenta) / mass
        return self._kelvin(float(np.dot(squares, self._inverse_masses)) - common)

    @property
    def highest_temperature(self) -> float:
        """No lower than :attr:`temperature`, and found in a fraction of the time, K."""
        momenta = np.ravel(self._system.beads.p)
        return self._kelvin(float(np.dot(momenta, momenta)) * self._largest_inverse)

    def _kelvin(self, energy: float) -> float:
        """Temperature for a momentum² / mass of all beads in atomic units."""
        per_freedom = energy / (self._free * self._system.beads.nbeads**2)
        return float(unit_to_user("temperature", "kelvin", per_freedom))

    @property
    def conserved(self) -> float:
        """i-PI's conserved quantity, eV; only at the end of a step, or it asks for forces."""
        return float(unit_to_user("energy", "electronvolt", float(self._system.ensemble.econs)))

    def velocities(self, beads: int) -> list[np.ndarray] | None:
        """Velocities (n, 3) of each bead, Å/fs; None if there are not as many beads."""
        system = self._system.beads
        if system.nbeads != beads:
            return None
        unit = unit_to_user("length", "angstrom", 1.0) / unit_to_user("time", "femtosecond", 1.0)
        masses = np.array(system.m)[:, None]
        return [unit * np.array(p).reshape(-1, 3) / masses for p in system.p]

    @property
    def centroids(self) -> np.ndarray:
        """Positions (n, 3) of the atoms, of several beads their means, as they are now, Å."""
        mean = np.mean(dstrip(self._system.beads.q), axis=0).reshape(-1, 3)
        return unit_to_user("length", "angstrom", mean)

    def end(self, message: str) -> None:
        """Let the step whose output i-PI writes be the last one, as if no more were asked for."""
        self._simulation.tsteps = self.step
        self._simulation.finished = True
        self._simulation.exit_message = f"mixpi: {message}."

    def after_each_step(self, function: Callable[[], None], file: str) -> None:
        """Call a function, which writes a file, when i-PI writes its own: at the end of a step."""
        self._simulation.outputs.append(_AsOutput(function, file))

    def tell_of_lost_output(self, tell: Callable[[str], None]) -> None:
        """Call a function with the reason when a file of the run cannot be written.

        i-PI itself would end there and then, without a RESTART.
        """

        def lost(reason: str) -> None:
            # the state of this step is not stored: one row of it is missing
            self._simulation.safe_stride = sys.maxsize
            tell(reason)

        for output in self._simulation.outputs:
            if not isinstance(output, CheckpointOutput):
                output.write = _telling(output, lost)

    def files(self) -> list[OutputFile]:
        """The files of rows and frames that i-PI appends to."""
        found = []
        for output in self._simulation.outputs:
            if isinstance(output, CheckpointOutput):
                continue
            streams = output.out if isinstance(output.out, list) else [output.out]
            if isinstance(output, PropertyOutput | TrajectoryOutput):
                frames, stride = isinstance(output, TrajectoryOutput), int(output.stride)
                found += [OutputFile(Path(s.name), frames, stride) for s in streams if s]
        return found


def _counts(rings: Sequence[np.ndarray]) -> str:
    return " and ".join(str(count) for count in sorted({len(ring) for ring in rings}))


def _places(
    found: np.ndarray, ring: np.ndarray, alike: Callable[[np.ndarray, np.ndarray], bool]
) -> list[int] | None:
    """Which beads of a ring some geometries are, in ascending order; None if one is none."""
    if len(found) > len(ring) or found.shape[1:] != ring.shape[1:]:
        return None
    places: list[int] = []
    for x in found:
        begin = places[-1] + 1 if places else 0
        bead = next((k for k in range(begin, len(ring)) if alike(x, ring[k])), None)
        if bead is None:
            return None
        places.append(bead)
    return places


def _telling(output: Any, tell: Callable[[str], None]) -> Callable[[], None]:
    write = output.write

    def write_or_tell() -> None:
        try:
            write()
        except OSError as error:
            tell(f"{output.filename} cannot be written: {error.strerror or error}")

    return write_or_tell


class _AsOutput:
    """What i-PI calls at the end of a step, between its own outputs."""

    def __init__(self, function: Callable[[], None], file: str) -> None:
        self.write, self.filename = function, file

    def active(self) -> bool:
        return True


def running_simulation() -> RunningSimulation | None:
    """The simulation of this process; None where a PES is used without one.

    Raises
    ------
    MixpiError
        If it has several systems.
    """
    found = _handed_over or [
        owner
        for function, *_ in softexit.flist
        if isinstance(owner := getattr(function, "__self__", None), Simulation)
    ]
    if not found:
        return None
    if len(found[0].syslist) != 1:
        raise MixpiError(
            f"i-PI's simulation has {len(found[0].syslist)} systems: one mixing layer serves "
            "one system (its beads share a region)"
        )
    return RunningSimulation(found[0])


def hand_over(simulation: Simulation) -> None:
    """Name the simulation of this process, which need then not be looked for."""
    _handed_over[:] = [simulation]


def keep_restarts_readable() -> None:
    """Let i-PI write checkpoints that it can read in a folder with ``--`` in its name.

    It puts the working folder into a comment, where XML does not allow that.
    """
    ipi_outputs.get_identification_info = lambda: re.sub("-(?=-)", "- ", get_identification_info())
