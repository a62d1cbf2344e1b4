"""``mixpi distil --scan``: several bases on the same data, and the cheapest that is good enough."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ase import Atoms
from ase.calculators.calculator import Calculator

from ..drivers.lammps import LammpsSetup
from ..errors import MixpiError
from ..files.replacing import replace_text
from ..run.progress import Tell, silent
from .config import BasisConfig, DistilConfig
from .cost import compare_costs, large_enough, time_lammps
from .distilling import Distilled, distil_basis
from .ladder import ladder
from .preparing import Prepared, prepare


#: Of the smallest force error: what is good enough unless another mismatch is asked for.
GOOD_ENOUGH = 1.5
#: Relative error of an elastic constant that is allowed.
ELASTIC = 0.01
#: Atoms that costs are measured with, at least: neighbour lists and images weigh less then.
ATOMS = 2000
#: Of the kept results; another number makes them worthless.
FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """One basis of a scan.

    Attributes
    ----------
    basis : BasisConfig
        What was fitted.
    coefficients : int
        How many.
    force_rmse, energy_rmse : float
        On held-out snapshots, eV/Å and eV/atom.
    lattice, elastic : dict of str to float
        Relative errors.
    usable : bool
        Whether :mod:`mixpi.distil.verdict` has nothing against it.
    fault : str
        Why there is no potential, or why it should not be used; empty if nothing is wrong.
    lammps, species : tuple of str
        Lines, and symbols in the order of types; empty if LAMMPS cannot run it.
    folder : str
        Of its files.
    cost : float
        µs an atom; NaN if it was not measured.
    """

    basis: BasisConfig
    coefficients: int
    force_rmse: float
    energy_rmse: float
    lattice: dict[str, float]
    elastic: dict[str, float]
    usable: bool
    fault: str
    lammps: tuple[str, ...]
    species: tuple[str, ...]
    folder: str
    cost: float = float("nan")

    @property
    def worst_elastic(self) -> float:
        """The largest relative error of an elastic constant; NaN without any."""
        return max(self.elastic.values(), key=abs, default=float("nan"))

    @property
    def sound(self) -> bool:
        """Whether it may be chosen: usable, timed, and with the crystal's elastic constants."""
        return bool(self.usable and self.cost > 0.0 and abs(self.worst_elastic) <= ELASTIC)


@dataclass(frozen=True)
class Scan:
    """The result of a scan.

    Attributes
    ----------
    entries : tuple of Entry
        In the order in which they were asked for; the file's own basis first.
    mismatch : float
        eV/Å; the largest force error that was allowed.
    best : Entry or None
        The cheapest within it.
    atoms : int
        That costs were measured with.
    result : Distilled or None
        The chosen potential, written and measured anew.
    """

    entries: tuple[Entry, ...]
    mismatch: float
    best: Entry | None
    atoms: int
    result: Distilled | None
    config: DistilConfig


def scan(
    path: str | Path,
    *,
    mismatch: float | None = None,
    calculator: Calculator | None = None,
    identity: str | None = None,
    tell: Tell = silent,
) -> Scan:
    """Fit several bases to the same data, and write the cheapest that is good enough.

    Parameters
    ----------
    path, calculator, identity, tell
        As of :func:`mixpi.distil.distil`. What is done of an interrupted scan is kept.
    mismatch : float, optional
        eV/Å; the largest held-out force error that is good enough. Default: the file's,
        or 1.5 times the smallest one of the scan.

    Returns
    -------
    Scan

    Raises
    ------
    MixpiError
        As of :func:`mixpi.distil.distil`. A basis that cannot meet the constraint is a
        line of the table.
    """
    if mismatch is not None and not mismatch > 0.0:
        raise MixpiError(f"mismatch must be larger than 0, got {mismatch:g}")
    prepared = prepare(path, _wanted, calculator=calculator, identity=identity, tell=tell)
    entries = []
    for number, basis in enumerate(prepared.bases, 1):
        where = f"basis {number}/{len(prepared.bases)} {basis.kind}"
        entries.append(_entry(prepared, basis, where, tell))
    atoms, entries = _timed(prepared, entries, tell)
    allowed = mismatch or prepared.config.scan.mismatch or _default_mismatch(entries)
    best = choose(entries, allowed)
    result = None
    if best is not None:
        tell(f"writing the chosen basis {best.basis.kind}", 0.0)
        result = distil_basis(prepared, best.basis, prepared.folder, tell)
    return Scan(tuple(entries), allowed, best, atoms, result, prepared.config)


def choose(entries: Sequence[Entry], mismatch: float) -> Entry | None:
    """The cheapest sound entry whose force error (eV/Å) is within the mismatch."""
    good = [entry for entry in entries if entry.sound and entry.force_rmse <= mismatch]
    return min(good, key=lambda entry: entry.cost, default=None)


def _default_mismatch(entries: Sequence[Entry]) -> float:
    errors = [entry.force_rmse for entry in entries if entry.sound]
    if not errors:
        faults = [entry.fault for entry in entries if entry.fault]
        raise MixpiError(
            "none of the bases gives a potential that may be used"
            + (f"; the first one: {faults[0]}" if faults else "")
            + ": name richer ones (scan: bases)"
        )
    return GOOD_ENOUGH * min(errors)


def _wanted(config: DistilConfig, crystal: Atoms) -> list[BasisConfig]:
    """The file's own basis, then those of the scan, each once."""
    others = config.scan.bases or ladder(crystal)
    return list({basis.model_dump_json(): basis for basis in [config.basis, *others]}.values())


def _entry(prepared: Prepared, basis: BasisConfig, where: str, tell: Tell) -> Entry:
    """What this basis can do; from an earlier scan, if that has come so far."""
    config = prepared.config
    ignored = {"basis", "scan", "output", "cache", "name"}
    identity = {
        "format": FORMAT,
        "potential": prepared.identity,
        "basis": basis.model_dump(),
        "data": hashlib.sha256(
            b"".join(
                atoms.positions.tobytes()
                for atoms in [
                    *prepared.hard,
                    *prepared.fitted,
                    *prepared.held_out,
                    *prepared.extra,
                ]
            )
        ).hexdigest(),
        **config.model_dump(mode="json", exclude=ignored),
    }
    text = json.dumps(identity, sort_keys=True)
    folder = prepared.home / config.cache / f"scan-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    kept = folder / "entry.json"
    if kept.exists():
        try:
            return _read(kept, basis, folder)
        except (ValueError, TypeError, KeyError):
            pass  # damaged: done again
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = distil_basis(
            prepared, basis, folder, lambda what, share: tell(f"{where}: {what}", share)
        )
        entry = _measured(found, basis, folder)
    except MixpiError as error:
        nothing = float("nan")
        entry = Entry(basis, 0, nothing, nothing, {}, {}, False, str(error), (), (), str(folder))
    values = {key: value for key, value in asdict(entry).items() if key not in ("basis", "folder")}
    replace_text(kept, json.dumps(values, indent=1) + "\n")
    return entry


def _read(kept: Path, basis: BasisConfig, folder: Path) -> Entry:
    values = json.loads(kept.read_text())
    for key in ("lammps", "species"):
        values[key] = tuple(values[key])
    return Entry(basis=basis, folder=str(folder), **values)


def _measured(found: Distilled, basis: BasisConfig, folder: Path) -> Entry:
    best, expensive = found.constrained, found.expensive

    def errors(own: dict[str, float], right: dict[str, float]) -> dict[str, float]:
        return {key: own[key] / value - 1.0 for key, value in right.items() if key in own}

    lammps = best.in_lammps
    return Entry(
        basis,
        found.problem.size,
        best.held_out.force_rmse,
        best.held_out.energy_rmse,
        errors(best.crystal.lattice, expensive.lattice),
        errors(best.crystal.elastic, expensive.elastic),
        found.usable,
        "" if found.usable else next(iter(found.notes), ""),
        tuple(best.lammps) if lammps else (),
        tuple(best.written.species) if lammps else (),
        str(folder),
    )


def _timed(prepared: Prepared, entries: Sequence[Entry], tell: Tell) -> tuple[int, list[Entry]]:
    """The entries with their costs, measured in turns now: times of another day do not compare."""
    atoms = large_enough(prepared.held_out[-1], ATOMS)
    runs = [number for number, entry in enumerate(entries) if entry.lammps]
    timers = [
        time_lammps(
            LammpsSetup(
                entries[number].lammps, entries[number].species, Path(entries[number].folder)
            ),
            steps=10,
        )
        for number in runs
    ]
    tell(f"timing {len(timers)} potentials in turns", 0.0)
    found = list(entries)
    for number, cost in zip(runs, compare_costs(atoms, timers), strict=True):
        found[number] = replace(entries[number], cost=cost)
    return len(atoms), found
