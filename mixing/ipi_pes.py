"""The mixing layer inside i-PI: a PES class for ``<ffdirect><pes>custom</pes>``.

A file beside the input, named in ``<pes_path>``, holds two lines (i-PI wants the
class in a file of the user's)::

    from mixpi.ipi_pes import MixingPES
    __DRIVER_NAME__, __DRIVER_CLASS__ = "mixpi", "MixingPES"

and ``<parameters>{config: mixing.yaml}</parameters>`` names the configuration.
"""

from __future__ import annotations

import atexit
import json
import sys
import time
from pathlib import Path

import numpy as np
from ase.units import Bohr, Hartree
from ipi.pes.dummy import Dummy_driver
from ipi.utils.softexit import softexit

from .config import POOLS, load_config, without_quotes
from .errors import MixpiError
from .mixer import Mixer, WorkOfCorrection
from .pool import DriverPool, PoolStopped, wait
from .records import Recorder, StepRecord, continued_from
from .structure import read_structure


#: Where a run that failed says why; ``mixpi run`` reads it (i-PI's exit code is 0 anyway).
FAILURE_FILE = "mixpi.failure"


class MixingPES(Dummy_driver):
    """Blended forces of two driver pools, as one i-PI potential.

    Both pools listen from the first evaluation on. With ``<batch_size>`` all beads
    come together, share one region (:func:`mixpi.regions.union`) and are computed
    at the same time by as many drivers as there are.

    The potential returned is an estimate (:class:`mixpi.mixer.WorkOfCorrection`), the virial
    is NaN: blended forces have neither, and NaN cannot be mistaken for a pressure.

    Parameters
    ----------
    config : str
        The YAML file, relative to where i-PI runs.
    """

    def __init__(self, config: str = "mixing.yaml", *args, **kwargs) -> None:
        Path(FAILURE_FILE).unlink(missing_ok=True)
        config = without_quotes(config)
        self._config = load_config(config)
        self._structure = read_structure(Path(config).parent / self._config.structure)
        self._pools: dict[str, DriverPool] = {}
        self._recorder: Recorder | None = None
        super().__init__(*args, **kwargs)

    def check_parameters(self) -> None:
        """Make what does not need sockets; called by i-PI's base class."""
        config = self._config
        try:
            self._mixer = Mixer(
                self._structure.numbers,
                config.seed_indices,
                **config.regions.model_dump(),
                remove_net_force=config.remove_net_force,
            )
        except (ValueError, IndexError) as error:
            raise MixpiError(str(error)) from None
        self._work = WorkOfCorrection()
        self._evaluation = continued_from() or 0
        self._cell: np.ndarray | None = None
        self._left = time.perf_counter()
        self._output_ms = 0.0

    def compute(self, cell, pos):
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

    def compute_structure(self, cell, pos):
        """One structure; the name that i-PI's base class has for it."""
        return self.compute(cell, pos)

    def _evaluate(self, cells: list, geometries: list) -> list:
        entered = time.perf_counter()
        if not self._pools:
            self._start()
        self._check(cells, geometries)
        angstrom = [np.asarray(positions).reshape(-1, 3) * Bohr for positions in geometries]
        cells_angstrom = [np.asarray(h).T * Bohr for h in cells]
        plan = self._mixer.plan(angstrom, cells_angstrom)
        planned = time.perf_counter()

        cheap, expensive = self._pools["cheap"], self._pools["expensive"]
        jobs: dict[DriverPool, list] = {expensive: [], cheap: []}
        if len(plan.cluster):
            # the species of the cluster travel in the INIT text of its request
            init = json.dumps({"numbers": plan.cluster.numbers.tolist()}, separators=(",", ":"))
            for bead, positions in enumerate(geometries):
                part = plan.cluster.positions(np.reshape(positions, (-1, 3)))
                jobs[expensive].append(expensive.submit(part, cells[bead], bead, init))
        for bead, positions in enumerate(geometries):
            jobs[cheap].append(cheap.submit(positions, cells[bead], bead))
        sent = time.perf_counter()
        seconds = wait(jobs)
        received = time.perf_counter()

        results = []
        for bead in range(len(geometries)):
            energy, cheap_forces, _ = cheap.result(jobs[cheap][bead])
            expensive_forces = np.empty((0, 3))
            if jobs[expensive]:
                _, expensive_forces, _ = expensive.result(jobs[expensive][bead])
            unit = Hartree / Bohr
            mixed = self._mixer.combine(plan, cheap_forces * unit, expensive_forces * unit)
            results.append((energy * Hartree, mixed))
        corrections = [mixed.correction for _, mixed in results]
        work = self._work.add(angstrom, cells_angstrom[0], plan, corrections)
        potentials = [energy + w for (energy, _), w in zip(results, work, strict=True)]
        blended = time.perf_counter()

        self._recorder.step(
            StepRecord(
                self._evaluation,
                *plan.regions.counts,
                net_force=max(float(np.linalg.norm(m.net_force)) for _, m in results),
                potential=float(np.mean(potentials)),
                ipi=1e3 * (entered - self._left),
                regions=1e3 * (planned - entered),
                send=1e3 * (sent - planned),
                cheap=1e3 * (sent - planned + seconds["cheap"]),
                expensive=1e3 * (sent - planned + seconds["expensive"]) if jobs[expensive] else 0.0,
                blending=1e3 * (blended - received),
                output=self._output_ms,
                lost_drivers=sum(pool.socket.dropped for pool in self._pools.values()),
            )
        )
        self._recorder.frames(self._evaluation, angstrom, cells_angstrom, plan.regions)
        self._evaluation += 1
        self._left = time.perf_counter()
        self._output_ms = 1e3 * (self._left - blended)
        virial = np.full((3, 3), np.nan)
        return [
            (potential / Hartree, mixed.forces * (Bohr / Hartree), virial, "")
            for potential, (_, mixed) in zip(potentials, results, strict=True)
        ]

    def _start(self) -> None:
        """Open the output and the sockets; the first evaluation needs them."""
        for name in POOLS:
            pool = DriverPool(name, getattr(self._config, name).socket)
            pool.open()
            softexit.register_function(pool.close)
            self._pools[name] = pool
        output = self._config.output
        self._recorder = Recorder(
            output.steps, output.trajectory, output.stride, self._structure.numbers
        )

    def _check(self, cells: list, geometries: list) -> None:
        """Refuse what would give wrong forces without a word."""
        n = len(self._structure)
        for h, positions in zip(cells, geometries, strict=True):
            if np.size(positions) != 3 * n:
                raise MixpiError(
                    f"i-PI has {np.size(positions) // 3} atoms, the structure file "
                    f"{self._config.structure} has {n}: both must describe the same atoms"
                )
            if not (np.isfinite(positions).all() and np.isfinite(h).all()):
                raise MixpiError(
                    "i-PI's positions or cell are NaN or infinite: the dynamics has exploded; "
                    "a barostat cannot be used with mixed forces"
                )
            if self._cell is None:
                self._cell = np.array(h)
            if not np.allclose(h, self._cell, rtol=1e-9, atol=1e-9):
                raise MixpiError(
                    "the cell has changed during the run: mixed forces have no virial, so "
                    "barostats and cell relaxations are refused; use NVE or NVT"
                )

    def _fail(self, message: str) -> None:
        """Stop i-PI so that it writes RESTART, and leave word of the reason."""
        Path(FAILURE_FILE).write_text(message + "\n")
        print(f"\n !MIXPI! {message}\n", flush=True)
        atexit.register(_finish)
        softexit.trigger(status="bad", message=f"mixpi: {message}")


def _leave() -> None:
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
