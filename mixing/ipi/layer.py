"""One mixing layer: geometries of i-PI → requests to drivers → forces for i-PI."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from ase.units import Bohr, Hartree

from ..blend.external_forces import external_forces, require_felt
from ..blend.levels import CHEAP, CHEAP_ON_CLUSTER, EXPENSIVE, PARTS
from ..blend.mixer import Mixed, Mixer, Plan, WorkOfCorrection
from ..errors import MixpiError
from ..output.frames import Evaluated
from ..output.records import CHEAP_LAYER, StepRecord
from ..regions.centre import RegionCentre
from ..regions.following import part_of
from ..sockets.server import say_aloud
from . import region_thermostat, time_step
from .agreement import require_same_system
from .ahead import Ahead
from .asking import Asking, Replies
from .binding import before_binding
from .first_look import FirstLook
from .folding import HomeImages
from .geometries import Geometries
from .limits import Limits
from .run_files import RunFiles
from .run_regions import PREFIX, changes_in_words, make_mixer
from .session import Session
from .simulation import RunningSimulation, running_simulation


class Layer:
    """What one ``<ffdirect>`` computes: all of the forces, or a part.

    The potential of mixed forces is an estimate (:class:`mixpi.blend.mixer.WorkOfCorrection`),
    the virial is NaN: blended forces have neither, and NaN cannot be mistaken for a pressure.

    Parameters
    ----------
    session : Session
        Shared with the other layers of the simulation.
    part : {"force", "cheap", "delta"}
        What it computes.
    pes : object, optional
        What i-PI knows it as.

    Raises
    ------
    MixpiError
        If seeds or radii are wrong.
    """

    def __init__(self, session: Session, part: str, *, pes: object = None) -> None:
        self._session, self._part, self._levels = session, part, PARTS[part]
        self._pes = pes
        self._config = session.config
        numbers, radii = session.structure.numbers, session.config.regions.radii
        self._mixer = (
            make_mixer(session.config, session.structure)  # says what is wrong with seeds
            if EXPENSIVE in self._levels
            else Mixer(numbers, [], **radii)  # whose seeds need not be looked for
        )
        external = external_forces(session.config.loads, session.structure_path)
        self._load = external.size(session.rotation) if session.config.loads else None
        # they are beside the potentials: a difference of these has none
        self._external = external if part != "delta" else external_forces([], "")
        self._simulation: RunningSimulation | None = None
        self._files: RunFiles | None = None
        self._centre = RegionCentre()
        self._look = FirstLook(say_aloud)
        self._limits = Limits(self._config.limits, session.structure.symbols)
        self._started, self._has_met, self._said_no_seeds = False, False, False
        rule = self._mixer.following.rule if self._mixer.following else None
        self._asking = Asking(session, self._levels, rule)
        self._state_before: dict[str, np.ndarray] = {}
        self._weights: np.ndarray | None = None
        if EXPENSIVE in self._levels:
            self._change_dynamics()
        self._ahead = Ahead(pes)
        self._evaluations = 0
        self._left = time.perf_counter()
        self._output_ms = 0.0

    def _change_dynamics(self) -> None:
        """Let i-PI's dynamics be what the configuration makes of it."""
        if given := self._config.thermostat:
            weights = region_thermostat.coupling(
                given.acts_on, self._session.structure_path, self.weights_now
            )
            before_binding(self._pes, partial(region_thermostat.attach, weights=weights))
        if self._config.time_step:
            before_binding(self._pes, partial(time_step.attach, config=self._config.time_step))

    def _meet_simulation(self) -> None:
        """Find i-PI's simulation, and go on from the state that it was given; once."""
        if self._has_met:
            return
        self._has_met = True
        self._simulation = running_simulation()
        if not self._simulation:
            return
        self._mixer.meet(self._simulation.masses, self._simulation.timestep)
        if EXPENSIVE in self._levels:
            self._session.remember(self._state)
            if step := self._simulation.first_step:
                self._state_before = self._session.remembered() or {}
                self._go_on(step)

    def _go_on(self, step: int) -> None:
        """Let the regions go on from the state before, and say what starts anew."""
        before, following = part_of(self._state_before, PREFIX), self._mixer.following
        anew = [] if self._state_before else ["the energy estimate, and i-PI's conserved quantity"]
        if following and before and (changed := changes_in_words(following, before)):
            say_aloud(
                f"what makes the regions has changed since step {step}, which this run continues "
                f"from: {changed}. Weights start anew: the parts are not one simulation"
            )
        elif following and before:
            following.restore(before)
        elif following:
            anew.append(
                "what the regions remember (regions: every, tau_in, ...; averages of seeds)"
            )
        if anew:
            say_aloud(
                f"the state of step {step} that this run continues from does not hold all that the "
                f"mixing layer remembers. Anew starts {'; and '.join(anew)}"
            )

    def _state(self) -> dict[str, np.ndarray] | None:
        """What a run that continues from now must know."""
        if not self._started:
            return None
        state = {
            "numbers": self._session.structure.numbers,
            "work": np.array(self._work.done),
            "centre": self._centre.last,
        }
        if following := self._mixer.following:
            state |= {f"{PREFIX}{name}": value for name, value in following.state().items()}
        return state

    def evaluate(self, cells: list, geometries: list) -> list[tuple]:
        """Energy, forces, virial and extras of each geometry, in i-PI's units.

        Parameters
        ----------
        cells : list of ndarray, shape (3, 3)
            Columns are lattice vectors, bohr.
        geometries : list of ndarray, shape (n, 3)
            bohr.

        Raises
        ------
        MixpiError
            If they cannot be had, or should not be used.
        """
        entered = time.perf_counter()
        self._session.require_structure(cells, geometries)
        given = [np.asarray(positions).reshape(-1, 3) for positions in geometries]
        if (found := self._ahead.take(cells[0], given, self._simulation)) is not None:
            self._left = time.perf_counter()
            return found
        first = not self._started
        asked, wanted, step = self._take(cells, given)
        mixes = EXPENSIVE in self._levels
        plan = self._plan(asked, step) if mixes else None
        if plan is not None and self._asking.probing:
            self._asking.probing.choose(step, plan, asked)
        planned = time.perf_counter()
        replies = self._asking.ask(plan, asked)
        if first and plan is not None and CHEAP_ON_CLUSTER.pool in replies.forces:
            if self._asking.widen():
                plan = self._plan(asked, step)
                replies = self._asking.ask(plan, asked)
            self._asking.require_same_cheap(plan, asked, replies)
        received = time.perf_counter()
        self._inspect(first, plan, asked, replies, f"step {step}")
        if plan is None:
            potentials = self._with_loads(replies.energies[CHEAP.pool], asked)
            forces = [self._external.added_to(one) for one in replies.forces[CHEAP.pool]]
            self._session.cheap_seconds += received - entered
        else:
            self._asking.observe(step, plan)
            self._weights = plan.regions.weights
            mixed = self._mix(plan, replies, len(asked.given))
            potentials, work = self._energies(plan, asked, mixed, replies)
            potentials = self._with_loads(potentials, asked)
            mixed = [replace(one, forces=self._external.added_to(one.forces)) for one in mixed]
            forces = [one.forces for one in mixed]
            blended = time.perf_counter()
            times = {
                "ipi": entered - self._left,
                "regions": planned - entered,
                "blending": blended - received,
            }
            self._record(first, step, plan, asked, mixed, potentials, work, replies, times)
        self._evaluations += 1
        self._session.note_time([level.pool for level in self._asking.used], first=first)
        self._left = time.perf_counter()
        if plan is not None:
            self._output_ms = 1e3 * (self._left - blended)
        virial = np.full((3, 3), np.nan)
        results = [
            (potential / Hartree, force * (Bohr / Hartree), virial, "")
            for potential, force in zip(potentials, forces, strict=True)
        ]
        self._ahead.keep(asked.given, results, wanted)
        return [results[bead] for bead in wanted]

    def weights_now(self) -> np.ndarray:
        """Weights (n,) of the last evaluated step; at first, of the geometry that i-PI starts with.

        Raises
        ------
        MixpiError
            If i-PI asks for none of these forces.
        """
        if self._weights is None and (simulation := running_simulation()):
            simulation.ask_for_forces()  # it needs them next, and keeps them
        if self._weights is None:
            raise MixpiError("i-PI does not ask the mixing layer for forces: is its weight 0?")
        return self._weights

    def _take(self, cells: list, given: list[np.ndarray]) -> tuple[Geometries, list[int], int]:
        """All beads with those that i-PI asks for, which these are, and the step."""
        before = f"step {self._simulation.step}" if self._simulation else "the start"
        for positions in given:
            self._limits.require_positions(positions, Bohr, before)
        self._meet_simulation()
        ring, wanted = given, list(range(len(given)))
        if self._simulation:
            ring, wanted = self._simulation.ring_with(given, cells[0].T, self._pes)
        if not self._started:
            self._start(cells[0], ring)
        step = self._evaluations
        if self._simulation:
            step = self._simulation.step_of(ring)
            self._limits.require_temperature(self._simulation, f"step {step}")
        elif self._files:
            step = self._files.steps.evaluations
        # shared by all that follows: distances and drivers do not care for the image
        folded = self._images.fold(ring, cells[0].T)
        return Geometries([cells[0]] * len(ring), ring, folded), wanted, step

    def _start(self, h: np.ndarray, ring: list[np.ndarray]) -> None:
        """Meet i-PI's files, open ours and the sockets; the first evaluation needs them."""
        require_felt(self._config.loads, self._session.parts)
        if self._simulation:
            if self._part == "delta" and self._simulation.corrects_nothing(self._pes):
                raise MixpiError(
                    "the correction (part: delta) is the only force of this simulation: add the "
                    "cheap forces that it corrects, a mixing layer with part: cheap and a <force> "
                    "for it. 'mixpi check' looks at this before a run"
                )
            self._require_same_system(self._simulation, h, ring)
            for key, is_there in (
                ("thermostat", self._simulation.has_region_thermostat),
                ("time_step", self._simulation.has_following_step),
            ):
                if getattr(self._config, key) and not is_there:
                    raise MixpiError(
                        f"'{key}:' of the configuration is without effect, because i-PI has the "
                        "mixing layer inside another force field: let a <force> of its own name it"
                    )
        self._images = HomeImages()
        self._work = WorkOfCorrection(self._mixer.masses)
        if EXPENSIVE in self._levels:
            self._files = RunFiles(
                self._session,
                self._simulation,
                beads=len(ring),
                part=self._part,
                probes=self._asking.probing is not None,
                load=self._load,
                others=bool(self._simulation and self._simulation.others_act(self._pes)),
            )
            if "work" in self._state_before:
                self._work.resume([float(one) for one in self._state_before["work"]])
                self._centre.start_from(self._state_before["centre"])
        self._session.open_pools()
        self._started = True

    def _require_same_system(
        self, simulation: RunningSimulation, h: np.ndarray, geometries: list[np.ndarray]
    ) -> None:
        """Refuse to compute forces for other atoms than those of the configuration."""
        # beads that were read each from a file of their own have a structure each
        alone = all(np.allclose(x, geometries[0], atol=1e-6) for x in geometries)
        fresh = alone and not simulation.continues
        require_same_system(
            expected=self._session.structure,
            symbols=simulation.symbols,
            positions=geometries[0] * Bohr if fresh else None,
            cell=np.asarray(h).T * Bohr,
            expected_name=f"structure: {self._config.structure}",
            found_name="what i-PI has read",
        )

    def _plan(self, asked: Geometries, step: int) -> Plan:
        cells, mixer = asked.cells_angstrom, self._mixer
        plan = mixer.plan(asked.folded_angstrom, cells, self._asking.buffers, step=step)
        if mixer.following and not mixer.seed_count and not self._said_no_seeds:
            self._said_no_seeds = True
            say_aloud(
                f"no atom is a seed at step {step}: where none is, every force is cheap (said once)"
            )
        return plan

    def _inspect(
        self, first: bool, plan: Plan | None, asked: Geometries, replies: Replies, step: str
    ) -> None:
        """Refuse forces that are absurd, and say what is suspicious about them."""
        if first:
            for name, forces in replies.forces.items():
                self._look.at_zeros(name, replies.energies[name][0], forces[0])
        if plan is not None:
            first_bead = {name: f[0] for name, f in replies.forces.items()}
            self._look.at_difference(plan, first_bead)
            if CHEAP not in self._levels:
                self._look.at_correction(plan, first_bead)
        clusters = plan.clusters if plan else {}
        for bead in range(len(asked.given)):
            where = asked.folded_angstrom[bead], asked.cells_angstrom[bead]
            for name, forces in replies.forces.items():
                self._limits.require_forces(name, forces[bead], clusters.get(name), where, step)

    def _mix(self, plan: Plan, replies: Replies, beads: int) -> list[Mixed]:
        none = [np.empty((0, 3))] * beads
        expensive = replies.forces.get(EXPENSIVE.pool, none)
        if CHEAP in self._levels:
            # where all is expensive nobody is asked for forces of which nothing would be left
            nothing = [np.zeros((len(self._mixer.numbers), 3))] * beads
            cheap = replies.forces.get(CHEAP.pool, nothing)
            return [self._mixer.combine(plan, *both) for both in zip(cheap, expensive, strict=True)]
        cheap = replies.forces.get(CHEAP_ON_CLUSTER.pool, none)
        return [
            self._mixer.correct(plan, *both, pool=CHEAP_ON_CLUSTER.pool)
            for both in zip(cheap, expensive, strict=True)
        ]

    def _with_loads(self, potentials: Sequence[float], asked: Geometries) -> list[float]:
        """Potentials of the geometries, eV, with those of the loads."""
        given = zip(potentials, asked.given_angstrom, strict=True)
        return [potential + self._external.energy(x) for potential, x in given]

    def _energies(
        self, plan: Plan, asked: Geometries, mixed: Sequence[Mixed], replies: Replies
    ) -> tuple[list[float], list[float]]:
        """Of each geometry the potential that i-PI is told, eV, and the work that is part of it."""
        none = [0.0] * len(mixed)
        if CHEAP in self._levels and CHEAP.pool not in replies.energies:  # all is expensive
            return replies.energies[EXPENSIVE.pool], none
        work = self._work.add(asked.given_angstrom, asked.cells_angstrom[0], plan, mixed)
        cheap = replies.energies.get(CHEAP.pool, none)
        return [energy - done for energy, done in zip(cheap, work, strict=True)], work

    def _record(
        self,
        first: bool,
        step: int,
        plan: Plan,
        asked: Geometries,
        mixed: Sequence[Mixed],
        potentials: Sequence[float],
        work: Sequence[float],
        replies: Replies,
        times: dict[str, float],
    ) -> None:
        """Write the line of an evaluation, and keep what its frame needs."""
        assert self._files is not None  # of a part that mixes
        session = self._session
        waited = dict(replies.seconds)
        if CHEAP not in self._levels:  # a layer of its own has computed it, between two of ours
            waited[CHEAP_LAYER] = session.cheap_seconds
            times["ipi"] -= session.cheap_seconds
            session.cheap_seconds = 0.0
        found = Evaluated(
            step,
            asked.given_angstrom,
            asked.cells_angstrom[0],
            plan.regions,
            [one.forces for one in mixed],
            potentials,
            correction=CHEAP not in self._levels,
        )
        centre = self._centre.follow(
            asked.folded_angstrom[0], asked.cells_angstrom[0], plan.regions.weights
        )
        record = StepRecord(
            step,
            self._files.steps.evaluations,
            *plan.regions.counts,
            net_force=max(float(np.linalg.norm(one.net_force)) for one in mixed),
            potential=float(np.mean(potentials)),
            ipi=1e3 * times["ipi"],
            regions=1e3 * times["regions"],
            send=1e3 * replies.send,
            waits=tuple(1e3 * waited.get(pool, 0.0) for pool in self._files.waits),
            blending=1e3 * times["blending"],
            output=self._output_ms,
            lost_drivers=sum(pool.lost for pool in session.pools.values()),
            work=tuple(work),
            seeds=self._mixer.seed_count,
            centre=tuple(float(x) for x in centre @ session.rotation),
            probes=self._asking.probing.row if self._asking.probing else (),
        )
        self._files.add(record, found, first=first)
