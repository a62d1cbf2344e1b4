"""The mixing layer inside i-PI: a PES class for ``<ffdirect><pes>custom</pes>``.

A file beside the input, named in ``<pes_path>``, holds two lines (i-PI wants the
class in a file of the user's)::

    from mixpi.ipi_pes import MixingPES
    __DRIVER_NAME__, __DRIVER_CLASS__ = "mixpi", "MixingPES"

and ``<parameters>{config: mixing.yaml}</parameters>`` names the configuration.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from ase.units import Bohr, Hartree
from ipi.pes.dummy import Dummy_driver
from ipi.utils.softexit import softexit

from ..blend.mixer import Mixer, Plan, WorkOfCorrection
from ..check.overwriting import check_plain_start
from ..config import POOLS, load_config, without_quotes
from ..errors import MixpiError
from ..output.checkpoints import RESTART
from ..output.continuing import OutputFile, cut_back, put_aside, require_no_gap
from ..output.frames import Evaluated, Frames, bead_paths
from ..output.loads import forget_loads, write_loads
from ..output.records import StepRecord, StepsFile
from ..output.whole_checkpoints import keep_checkpoints_whole
from ..run.guardian import own_family
from ..run.locking import hold_lock
from ..run.stopping import hear_once
from ..sockets.pool import DriverPool, PoolStopped, wait
from ..sockets.server import say_aloud
from ..structure import read_oriented
from .agreement import require_same_system
from .cluster_text import cluster_text
from .first_look import exactly_zero, far_apart
from .folding import HomeImages
from .limits import Limits, Monitor
from .simulation import RunningSimulation, keep_restarts_readable, running_simulation


#: Where a run that failed says why; ``mixpi run`` reads it (i-PI's exit code is 0 anyway).
FAILURE_FILE = "mixpi.failure"
#: eV; by how much energies of the same geometry may differ when it is computed again.
SAME_ENERGY = 1e-3


class MixingPES(Dummy_driver):
    """Blended forces of two driver pools, as one i-PI potential.

    Both pools listen from the first evaluation on. With ``<batch_size>`` all beads
    come together, share one region (:func:`mixpi.regions.growth.union`) and are computed
    at the same time by as many drivers as there are.

    The potential returned is an estimate (:class:`mixpi.blend.mixer.WorkOfCorrection`), the virial
    is NaN: blended forces have neither, and NaN cannot be mistaken for a pressure.

    Parameters
    ----------
    config : str
        The YAML file, relative to where i-PI runs.
    """

    def __init__(self, config: str = "mixing.yaml", *args: Any, **kwargs: Any) -> None:
        hold_lock()  # before anything is touched
        Path(FAILURE_FILE).unlink(missing_ok=True)
        keep_restarts_readable()
        keep_checkpoints_whole(say_aloud)
        hear_once(softexit)
        config = without_quotes(config)
        self._config = load_config(config)
        check_plain_start(self._config, Path(config))
        self._structure, self._rotation = read_oriented(
            Path(config).parent / self._config.structure
        )
        self._pools: dict[str, DriverPool] = {}
        super().__init__(*args, **kwargs)

    def check_parameters(self) -> None:
        """Make what needs neither i-PI nor sockets; called by i-PI's base class."""
        self._mixer = self._make_mixer()  # says what is wrong with seeds
        self._simulation: RunningSimulation | None = None
        self._evaluated: Evaluated | None = None
        self._looking = True  # for what is suspicious about the forces
        self._cell: np.ndarray | None = None
        self._left = self._measured_from = time.perf_counter()
        self._output_ms = 0.0
        self._limits = Limits(self._config.limits, self._structure.symbols)

    def _make_mixer(self, masses: np.ndarray | None = None) -> Mixer:
        config = self._config
        try:
            return Mixer(
                self._structure.numbers,
                config.seed_indices,
                **config.regions.model_dump(),
                remove_net_force=config.remove_net_force,
                masses=masses,
            )
        except (ValueError, IndexError) as error:
            raise MixpiError(str(error)) from None

    def compute(self, cell: Any, pos: Any) -> Any:
        """Evaluate one structure, or a list of them (i-PI's units and conventions)."""
        if Path(FAILURE_FILE).exists():
            _leave()  # i-PI asks again while it is being stopped
        try:
            if isinstance(cell, list):
                return self._evaluate(cell, pos)
            return self._evaluate([cell], [pos])[0]
        except PoolStopped:
            _leave()
        except MixpiError as error:
            self._fail(str(error))
        except Exception as error:
            self._fail(f"unexpected {type(error).__name__} in the mixing layer: {error}")
            raise

    def compute_structure(self, cell: Any, pos: Any) -> Any:
        """One structure; the name that i-PI's base class has for it."""
        return self.compute(cell, pos)

    def _evaluate(self, cells: list, geometries: list) -> list:
        entered = time.perf_counter()
        self._check(cells, geometries)
        geometries = [np.asarray(positions).reshape(-1, 3) for positions in geometries]
        before = f"step {self._simulation.step}" if self._simulation else "the start"
        for positions in geometries:
            self._limits.require_positions(positions, Bohr, before)
        first = not self._pools
        if first:
            self._start(cells[0], geometries)
        if self._simulation:
            self._simulation.require_own_beads(geometries, cells[0].T)
        step = self._simulation.step_of(geometries) if self._simulation else self._steps.evaluations
        if self._simulation:
            self._limits.require_temperature(self._simulation, f"step {step}")
        # shared by all that follows: distances and drivers do not care for the image
        folded = self._images.fold(geometries, cells[0].T)
        angstrom = [positions * Bohr for positions in folded]
        cells_angstrom = [np.asarray(h).T * Bohr for h in cells]
        plan = self._mixer.plan(angstrom, cells_angstrom)
        planned = time.perf_counter()

        jobs = self._submit(plan, cells, folded, (angstrom, cells_angstrom))
        sent = time.perf_counter()
        seconds = wait({self._pools[name]: requests for name, requests in jobs.items()})
        received = time.perf_counter()

        energies, results = [], []
        unit = Hartree / Bohr
        for bead in range(len(geometries)):
            energy, cheap_forces = self._pools["cheap"].result(jobs["cheap"][bead])
            expensive_energy, expensive_forces = 0.0, np.empty((0, 3))
            if jobs.get("expensive"):
                request = jobs["expensive"][bead]
                expensive_energy, expensive_forces = self._pools["expensive"].result(request)
            forces = cheap_forces * unit, expensive_forces * unit
            if bead == 0 and self._looking:
                self._look(first, (energy, expensive_energy), forces, plan)
            energies.append(energy * Hartree)
            where = angstrom[bead], cells_angstrom[bead]
            self._limits.require_forces(plan, *forces, where, f"step {step}")
            results.append(self._mixer.combine(plan, *forces))
        unfolded = [positions * Bohr for positions in geometries]  # as i-PI has them
        work = self._work.add(unfolded, cells_angstrom[0], plan, results)
        potentials = [energy - done for energy, done in zip(energies, work, strict=True)]
        blended = time.perf_counter()

        self._evaluated = Evaluated(
            step,
            unfolded,
            cells_angstrom[0],
            plan.regions,
            [mixed.forces for mixed in results],
            potentials,
        )
        again = first and self._steps.last.get("step") == step
        if again:  # a continued run has the line already
            self._compare_with_last(plan.regions.counts, float(np.mean(potentials)))
        else:
            self._steps.add(
                StepRecord(
                    step,
                    self._steps.evaluations,
                    *plan.regions.counts,
                    net_force=max(float(np.linalg.norm(mixed.net_force)) for mixed in results),
                    potential=float(np.mean(potentials)),
                    ipi=1e3 * (entered - self._left),
                    regions=1e3 * (planned - entered),
                    send=1e3 * (sent - planned),
                    cheap=1e3 * (sent - planned + seconds["cheap"]),
                    expensive=1e3 * (sent - planned + seconds.get("expensive", planned - sent)),
                    blending=1e3 * (blended - received),
                    output=self._output_ms,
                    lost_drivers=sum(pool.lost for pool in self._pools.values()),
                    work=tuple(work),
                )
            )
        if first or self._simulation is None:
            self._write_frame(step)  # i-PI has begun with its output, or there is none
        self._left = time.perf_counter()
        if first:  # it has waited for the drivers to start
            self._measured_from = self._left
            for pool in self._pools.values():
                pool.forget_loads()
        self._output_ms = 1e3 * (self._left - blended)
        virial = np.full((3, 3), np.nan)
        return [
            (potential / Hartree, mixed.forces * (Bohr / Hartree), virial, "")
            for potential, mixed in zip(potentials, results, strict=True)
        ]

    def _look(
        self,
        first: bool,
        energies: tuple[float, float],
        forces: tuple[np.ndarray, np.ndarray],
        plan: Plan,
    ) -> None:
        """Say what is suspicious about the forces, as soon as they are large enough to tell."""
        texts: list[str] = []
        if first:
            for name, energy, found in zip(POOLS, energies, forces, strict=True):
                texts += exactly_zero(name, energy, found)
        apart = None if texts else far_apart(*forces, plan.cluster)
        for text in [*texts, apart]:
            if text:
                say_aloud(text)
        self._looking = not texts and apart is None

    def _compare_with_last(self, counts: tuple[int, int, int], potential: float) -> None:
        """Say where the files of a run and what continues it do not belong together."""
        last, output = self._steps.last, self._config.output.steps
        before = tuple(int(last[name]) for name in ("core", "blend", "buffer"))
        if counts != before:
            say_aloud(
                f"at the step that this run continues from, core, blend and buffer had {before} "
                f"atoms and now have {counts}: seeds or radii have changed, or the RESTART is "
                "not of this run. The parts are not one simulation"
            )
        difference = potential - last["potential"]
        if abs(difference) > SAME_ENERGY + 1e-6 * abs(potential):
            say_aloud(
                f"at the step that this run continues from, {output} has an energy estimate of "
                f"{last['potential']:.6g} eV, now it is {potential:.6g} eV: the RESTART is not of "
                "this run, or the cheap potential has changed. The parts are not one simulation"
            )

    def _submit(self, plan: Plan, cells: list, folded: list, where: tuple) -> dict[str, list]:
        """Hand out the work of all beads; the requests of each pool that has any.

        ``where`` are the geometries and cells once more, in Å.
        """
        jobs: dict[str, list] = {}
        if len(plan.cluster):
            # the species of the cluster travel in the INIT text of its request
            init = cluster_text(self._config, plan.cluster, *where)
            jobs["expensive"] = [
                self._pools["expensive"].submit(
                    plan.cluster.positions(positions), cells[bead], bead, init
                )
                for bead, positions in enumerate(folded)
            ]
        jobs["cheap"] = [
            self._pools["cheap"].submit(positions, cells[bead], bead)
            for bead, positions in enumerate(folded)
        ]
        return jobs

    def _start(self, h: np.ndarray, geometries: list[np.ndarray]) -> None:
        """Meet i-PI, open the output and the sockets; the first evaluation needs them."""
        simulation = self._simulation = running_simulation()
        first_step = simulation.first_step if simulation else 0
        if simulation:
            self._require_same_system(simulation, h, geometries)
            self._mixer = self._make_mixer(simulation.masses)
            self._meet_files(simulation, len(geometries))
            monitor = Monitor(self._config.limits, simulation, say_aloud)
            simulation.after_each_step(
                partial(self._after_step, simulation, monitor), str(self._config.output.trajectory)
            )
            simulation.tell_of_lost_output(self._fail)
        self._images = HomeImages()
        self._work = WorkOfCorrection(self._mixer.masses)
        output, beads = self._config.output, len(geometries)
        self._steps = StepsFile(output.steps, beads=beads, first_step=first_step)
        self._frames = Frames(
            output, self._structure, self._rotation, beads=beads, first_step=first_step
        )
        if self._steps.last.get("step") == first_step:
            self._work.resume([self._steps.last[f"work_{bead}"] for bead in range(beads)])
        elif first_step:
            say_aloud(
                f"{output.steps} has no line for step {first_step}, which this run continues "
                "from: the energy estimate starts anew, and i-PI's conserved quantity with it"
            )
        for name in self._config.pools:
            driver = getattr(self._config, name)
            pool = DriverPool(name, driver, launched_by=own_family())
            pool.open()
            softexit.register_function(pool.close)
            self._pools[name] = pool
        forget_loads(Path("."))  # not before: a run that is refused changes no file
        softexit.register_function(self._write_loads)
        if self._frames.wants_velocities and simulation and not simulation.velocities(beads):
            say_aloud(
                f"{output.trajectory} will hold no velocities: the forces are computed on a "
                "contracted ring polymer (nbeads='...' of <force>), whose beads have none"
            )

    def _require_same_system(
        self, simulation: RunningSimulation, h: np.ndarray, geometries: list[np.ndarray]
    ) -> None:
        """Refuse to compute forces for other atoms than those of the configuration."""
        # beads that were read each from a file of their own have a structure each
        alone = all(np.allclose(x, geometries[0], atol=1e-6) for x in geometries)
        fresh = alone and not simulation.continues
        require_same_system(
            expected=self._structure,
            symbols=simulation.symbols,
            positions=geometries[0] * Bohr if fresh else None,
            cell=np.asarray(h).T * Bohr,
            expected_name=f"structure: {self._config.structure}",
            found_name="what i-PI has read",
        )

    def _meet_files(self, simulation: RunningSimulation, beads: int) -> None:
        """Let i-PI's files and ours be those of one run, this one."""
        step, given = simulation.first_step, sys.argv[1:]
        if step:
            output = self._config.output
            ours = [OutputFile(Path(output.steps), frames=False, stride=1)]
            paths = bead_paths(output.trajectory, beads) if output.trajectory else []
            ours += [OutputFile(path, frames=True, stride=output.stride) for path in paths]
            theirs = simulation.files()
            require_no_gap([*ours, *theirs], step, given[-1] if given else RESTART)
            cut_back(theirs, step, say_aloud)
        if Path(RESTART).exists() and RESTART not in given:
            put_aside(Path(RESTART))  # of an older run, which this one must not go on from

    def _write_frame(self, step: int) -> None:
        """Write the frame of a step that has ended, if it has one."""
        # a motion that needs no forces, as replay, may have left the geometry behind
        found = self._evaluated
        if found is None or found.step != step or not self._frames.wants(step):
            return
        simulation, beads = self._simulation, len(found.geometries)
        velocities = None
        if simulation and self._frames.wants_velocities:
            velocities = simulation.velocities(beads)
        self._frames.write(
            found,
            time=simulation.time if simulation else None,
            velocities=velocities,
        )

    def _after_step(self, simulation: RunningSimulation, monitor: Monitor) -> None:
        step = simulation.step
        if step == simulation.first_step:
            return  # i-PI was still looking who writes at the start: the first evaluation does
        monitor.see(step)
        self._write_frame(step)

    def _check(self, cells: list, geometries: list) -> None:
        """Refuse what would give wrong forces without a word."""
        n = len(self._structure)
        for h, positions in zip(cells, geometries, strict=True):
            if np.size(positions) != 3 * n:
                raise MixpiError(
                    f"i-PI has {np.size(positions) // 3} atoms, the structure file "
                    f"{self._config.structure} has {n}: both must describe the same atoms"
                )
            if not np.isfinite(h).all():
                raise MixpiError(
                    "i-PI's cell is NaN or infinite: a barostat cannot be used with mixed forces"
                )
            if self._cell is None:
                self._cell = np.array(h)
            if not np.allclose(h, self._cell, rtol=1e-9, atol=1e-9):
                raise MixpiError(
                    "the cell has changed during the run: mixed forces have no virial, so "
                    "barostats and cell relaxations are refused; use NVE or NVT"
                )

    def _write_loads(self) -> None:
        """Leave word of what each driver has done."""
        loads = {n: load for pool in self._pools.values() for n, load in pool.loads.items()}
        write_loads(Path("."), self._left - self._measured_from, loads)

    def _fail(self, message: str) -> None:
        """Stop i-PI so that it writes RESTART, and leave word of the reason."""
        with contextlib.suppress(OSError):  # the disk is full, or the folder gone: go on to stop
            Path(FAILURE_FILE).write_text(message + "\n")
        print(f"\n !MIXPI! {message}\n", flush=True)
        atexit.register(_finish)
        softexit.trigger(status="bad", message=f"mixpi: {message}")


def _leave() -> NoReturn:
    """Get out of a force evaluation because another thread is stopping i-PI."""
    while softexit.exiting:
        time.sleep(0.01)
    time.sleep(1.0)  # i-PI's own exit takes the whole process with it
    atexit.register(_finish)
    raise SystemExit


def _finish() -> None:
    """Write RESTART if the stop came inside i-PI's output section, where it could not."""
    softexit.cleanup("restartable")
    sys.stdout.flush()
