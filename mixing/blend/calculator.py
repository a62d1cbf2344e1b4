"""The mixing of two ASE calculators in one process: the same engine, without sockets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    Calculator,
    PropertyNotImplementedError,
    all_changes,
    all_properties,
    equal,
)
from ase.geometry import complete_cell
from ase.outputs import Properties

from ..errors import MixpiError
from ..regions.growth import valid_radii, valid_seeds
from .mixer import Mixer, Plan


class MixingCalculator(Calculator):
    """An ASE calculator that blends the forces of two others.

    For tests, analysis, small runs, relaxations and paths. Any periodicity will do: the
    regions do not reach across open boundaries, and both calculators are given copies of
    the atoms with their own cell, ``pbc``, charges, magnetic moments, tags and ``info``
    (which speaks of the whole system also on the cluster), without constraints.

    Blended forces have no energy. What is given as one, only when it is asked for, is an
    *estimate*: the energies of the atoms, blended like the forces,

        E = Σ w E_expensive + (1 − w) E_cheap,

    or, where one of the calculators has no ``energies``, the cruder
    E_cheap(all atoms) + E_expensive(cluster) − E_cheap(cluster). Either is the cheap
    energy where there is no region and the expensive one where it is everything; in
    between its slope is not exactly the blended force, and it jumps when weights or
    cluster change. For optimisers that look at energies and for comparing geometries
    (NEB) keep the regions: ``fixed_regions`` or :meth:`freeze`.

    Parameters
    ----------
    cheap, expensive : Calculator
        For the whole system and for the cluster.
    seeds : sequence of int
        Indices of the seed atoms, or a mask; empty for no region.
    core, blend, buffer : float
        Radii, Å (see :func:`mixpi.build_regions`).
    **options
        ``profile``, "linear" or "cubic": the shape of the weight across the blend;
        ``remove_net_force``, bool: subtract the net force, as :class:`mixpi.Mixer` does;
        ``fixed_regions``, bool: keep the regions of the first geometry, whatever the atoms do.

    Attributes
    ----------
    results : dict
        Beside ASE's properties ``weights``, shape (n,), and ``regions``, shape (n,): 3
        core, 2 blend, 1 buffer, 0 outside.

    Raises
    ------
    MixpiError
        If an argument is wrong; at the first geometry, if it does not fit the seeds.
    """

    # ASE declares neither as a variable of the class
    implemented_properties: ClassVar = [  # type: ignore[misc]
        "energy",
        "free_energy",
        "forces",
    ]
    default_parameters: ClassVar = {  # type: ignore[misc]
        "seeds": None,
        "core": None,
        "blend": None,
        "buffer": None,
        "profile": "linear",
        "remove_net_force": True,
        "fixed_regions": False,
    }

    def __init__(
        self,
        *,
        cheap: Calculator,
        expensive: Calculator,
        seeds: Sequence[int],
        core: float,
        blend: float,
        buffer: float,
        **options: Any,
    ) -> None:
        for name, calculator in (("cheap", cheap), ("expensive", expensive)):
            _require_forces(name, calculator)
        self._calculators = {"cheap": cheap, "expensive": expensive}
        self._frozen: Plan | None = None
        self._evaluated: tuple[Plan, Atoms, Atoms] | None = None
        super().__init__(seeds=seeds, core=core, blend=blend, buffer=buffer, **options)

    def set(self, **parameters: Any) -> dict:
        """Change parameters (seeds, radii, ...); what was computed or frozen is dropped.

        Parameters
        ----------
        **parameters
            New values, by the names of the class's own.

        Returns
        -------
        dict
            The parameters that changed.

        Raises
        ------
        MixpiError
            If one is unknown or wrong.
        """
        parameters = _valid_parameters({**self.default_parameters, **self.parameters}, parameters)
        changed = super().set(**parameters)
        if changed:
            self._frozen = None
            self.reset()
        return changed

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last evaluation, with all that the forces depend on.

        ASE looks at neither masses (the net force is removed by them) nor tags and
        ``info`` (which the two calculators are given).

        Parameters
        ----------
        atoms : Atoms
            To be evaluated next.
        tol : float
            By how much positions (Å) and the like may differ.

        Returns
        -------
        list of str
            Names; empty if all is as it was.
        """
        changes = super().check_state(atoms, tol)
        if not changes and self.atoms is not None:
            old, new = (
                {"masses": a.get_masses(), "tags": a.get_tags(), "info": a.info}
                for a in (self.atoms, atoms)
            )
            changes = [name for name in old if not equal(old[name], new[name])]
        return changes

    def reset(self) -> None:
        """Forget the last evaluation; frozen regions stay."""
        super().reset()
        self._evaluated = None

    def freeze(self, atoms: Atoms) -> None:
        """Keep the regions of this geometry for all that follow.

        Parameters
        ----------
        atoms : Atoms
            The reference, for a path the same one for every image.

        Raises
        ------
        MixpiError
            As the first evaluation would.
        """
        self._frozen = self._plan(atoms)
        self.reset()

    def thaw(self) -> None:
        """Let the regions follow the atoms again; with ``fixed_regions``, choose them anew."""
        self._frozen = None
        self.reset()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("forces",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Fill ``results``: forces (eV/Å), weights and regions, the energy (eV) if asked for.

        Parameters
        ----------
        atoms : Atoms, optional
            Default: those of the last evaluation.
        properties : sequence of str
            What is asked for.
        system_changes : sequence of str
            What has changed since, as :meth:`check_state` says it.

        Raises
        ------
        MixpiError
            If there are no atoms, they do not fit the seeds, or a calculator returns nonsense.
        """
        super().calculate(atoms, properties, system_changes)
        if self.atoms is None:
            raise MixpiError("MixingCalculator has been given no atoms yet")
        if set(system_changes) - set(all_changes):  # what the two do not look at either
            for calculator in self._calculators.values():
                getattr(calculator, "reset", lambda: None)()
        if system_changes or self._evaluated is None:
            self._evaluate(self.atoms)
        if "energy" in properties or "free_energy" in properties:
            energy = self._energy()
            self.results |= {"energy": energy, "free_energy": energy}

    def export_properties(self) -> Properties:
        """The results that are properties in ASE's sense."""
        return Properties({k: v for k, v in self.results.items() if k in all_properties})

    def _evaluate(self, atoms: Atoms) -> None:
        self._evaluated = None  # nothing stale is left if a calculator fails
        plan = self._frozen or self._plan(atoms)
        whole = _for_calculators(atoms)
        if len(plan.regions.weights) != len(atoms):
            raise MixpiError(
                f"the regions are frozen for {len(plan.regions.weights)} atoms, these are "
                f"{len(atoms)}: freeze them on the new atoms, or thaw them"
            )
        if self.parameters["fixed_regions"]:
            self._frozen = plan
        cluster = whole[plan.cluster.indices]
        cheap = self._ask("cheap", "forces", whole)
        expensive = self._ask("expensive", "forces", cluster) if len(cluster) else cheap[:0]
        with np.errstate(over="ignore", invalid="ignore"):
            forces = self._mixer(atoms).combine(plan, cheap, expensive).forces
        if not np.isfinite(forces).all():
            raise MixpiError("forces of the two calculators are too large to be added up")
        self.results = {
            "forces": forces,
            "weights": plan.regions.weights.copy(),
            "regions": plan.regions.labels,
        }
        self._evaluated = plan, whole, cluster

    def _energy(self) -> float:
        assert self._evaluated is not None  # calculate() has seen to it
        plan, whole, cluster = self._evaluated
        total = self._ask("cheap", "energy", whole)
        if len(cluster) == 0:
            return float(total)
        cheap = self._energies("cheap", whole)
        expensive = self._energies("expensive", cluster)
        if cheap is None or expensive is None:
            total += self._ask("expensive", "energy", cluster)
            return float(total - self._ask("cheap", "energy", cluster))
        indices, weights = plan.cluster.indices, plan.cluster.weights
        cheap[indices] += weights * (expensive - cheap[indices])
        return float(cheap.sum())

    def _energies(self, name: str, atoms: Atoms) -> np.ndarray | None:
        """Energies (n,) of the atoms, eV, if the calculator has them and they make sense."""
        calculator = self._calculators[name]
        if "energies" not in getattr(calculator, "implemented_properties", ()):
            return None
        try:
            energies = np.array(calculator.get_property("energies", atoms), dtype=float)
        except PropertyNotImplementedError:
            return None
        total = self._ask(name, "energy", atoms)
        parts = energies.shape == (len(atoms),) and np.isclose(energies.sum(), total, atol=1e-4)
        return energies if parts else None

    def _ask(self, name: str, what: str, atoms: Atoms) -> np.ndarray:
        """Forces (n, 3), eV/Å, or the energy, eV, of one of the calculators."""
        calculator = self._calculators[name]
        get = {"forces": "get_forces", "energy": "get_potential_energy"}[what]
        try:
            result = getattr(calculator, get)(atoms)
        except PropertyNotImplementedError as error:
            raise PropertyNotImplementedError(f"the {name} calculator has no {what}") from error
        result = np.array(result, dtype=float)
        if not np.isfinite(result).all():
            raise MixpiError(
                f"the {name} calculator returned NaN or infinite {what} on {len(atoms)} atoms"
            )
        if what == "forces" and result.shape != (len(atoms), 3):
            raise MixpiError(
                f"the {name} calculator returned forces of shape {result.shape} for "
                f"{len(atoms)} atoms"
            )
        return result

    def _mixer(self, atoms: Atoms) -> Mixer:
        options = dict(self.parameters)
        del options["fixed_regions"]
        return Mixer(atoms.numbers, options.pop("seeds"), masses=atoms.get_masses(), **options)

    def _plan(self, atoms: Atoms) -> Plan:
        if len(atoms) == 0:
            raise MixpiError("MixingCalculator was given a structure without atoms")
        cell = _closed_cell(atoms, sum(self.parameters[r] for r in ("core", "blend", "buffer")))
        try:
            return self._mixer(atoms).plan([atoms.positions], [cell])
        except (ValueError, IndexError) as error:
            raise MixpiError(f"MixingCalculator: {error}") from None


def _require_forces(name: str, calculator: object) -> None:
    """Refuse what is no ASE calculator with forces."""
    if isinstance(calculator, type) or not callable(getattr(calculator, "get_forces", None)):
        raise MixpiError(f"{name} must be an ASE calculator, got {calculator!r}")
    if isinstance(calculator, Atoms):
        raise MixpiError(f"{name} must be an ASE calculator, got atoms; pass atoms.calc")
    if "forces" not in getattr(calculator, "implemented_properties", ["forces"]):
        raise MixpiError(f"the {name} calculator, {type(calculator).__name__}, has no forces")


def _valid_parameters(current: dict, new: dict) -> dict:
    """The new parameters as they are kept: plain lists, numbers and truth values."""
    unknown = sorted(new.keys() - current.keys())
    if unknown:
        raise MixpiError(
            f"MixingCalculator has no argument {unknown[0]!r}; there are cheap, expensive, "
            + ", ".join(current)
        )
    new = dict(new)
    together = {**current, **new}
    try:
        valid_radii(*(together[name] for name in ("core", "blend", "buffer", "profile")))
        seeds = np.asarray(together["seeds"])
        # whether there are so many atoms is seen with the first atoms
        valid_seeds(seeds, seeds.size if seeds.dtype == bool else np.iinfo(int).max)
    except (ValueError, IndexError) as error:
        raise MixpiError(f"MixingCalculator: {error}") from None
    if "seeds" in new:
        new["seeds"] = seeds.tolist()
    for name in new.keys() & {"remove_net_force", "fixed_regions"}:
        if not isinstance(new[name], bool | np.bool_):
            raise MixpiError(f"MixingCalculator: {name} must be True or False, got {new[name]!r}")
        new[name] = bool(new[name])
    for name in new.keys() & {"core", "blend", "buffer"}:
        new[name] = float(new[name])
    return new


def _closed_cell(atoms: Atoms, reach: float) -> np.ndarray:
    """A cell (3, 3), Å, in which no image across an open boundary is within ``reach``."""
    cell, pbc = atoms.cell.array, atoms.pbc
    if not (np.isfinite(cell).all() and np.isfinite(atoms.positions).all()):
        raise MixpiError("MixingCalculator was given NaN or infinite positions or cell vectors")
    if np.linalg.matrix_rank(cell[pbc]) < pbc.sum():
        raise MixpiError(
            f"the cell vectors along the periodic directions (pbc {pbc.tolist()}) are zero or lie "
            "in one plane: set the cell, or pbc=False where there is no periodicity"
        )
    if pbc.all():
        return cell
    closed = complete_cell(np.where(pbc[:, None], cell, 0.0))
    closed[pbc] = cell[pbc]
    for axis in np.flatnonzero(~pbc):  # at right angles to all others
        closed[axis] *= (np.ptp(atoms.positions @ closed[axis]) + reach + 1.0) / (
            np.linalg.norm(closed[axis]) ** 2
        )
    return closed


def _for_calculators(atoms: Atoms) -> Atoms:
    """A copy without constraints, and no atom more than a cell away from home.

    Far away, neighbours are lost or found with less precision. Nearer atoms stay where
    they are, because molecules should stay in one piece.
    """
    cell = _closed_cell(atoms, 0.0)
    home = np.floor(atoms.positions @ np.linalg.inv(cell))
    home[:, ~atoms.pbc] = 0.0
    home[np.abs(home) <= 1.0] = 0.0
    atoms = atoms.copy()
    atoms.set_constraint()
    atoms.positions -= home @ cell
    return atoms
