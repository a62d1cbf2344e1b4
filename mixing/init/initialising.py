"""``mixpi init``: a folder with everything that a mixed simulation needs."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from pydantic import ValidationError

from ..check.checking import check
from ..drivers.mace_driver import MaceDriver
from ..drivers.mace_files import MODEL_SUFFIXES
from ..errors import MixpiError
from ..files.yaml_files import explain
from ..output.continuing import put_aside
from ..regions.seeds import Selection, select_seeds
from ..structure import read_frames, read_structure, require_periodic
from .case_files import PES, input_xml, mixing_yaml
from .cheap_potential import CheapPotential, local_name, read_potential
from .starting_radii import StartingRadii, starting_radii


#: What the folder holds beside the model and the potential.
OWN_FILES = ("init.extxyz", "input.xml", "mixing.yaml", "mixing_pes.py")
#: Å; of the MACE-MP foundation models: two layers of 6 Å.
FOUNDATION_RANGE = 12.0
ENSEMBLES = ("nve", "nvt")


@dataclass(frozen=True)
class NewCase:
    """A folder that ``init_case`` has written.

    Attributes
    ----------
    folder : Path
        Where.
    seeds : list of int
        Seed atoms.
    radii : StartingRadii
        Å.
    notes : list of str
        What was decided and what ``mixpi check`` (without loading model and
        potential) found; lines that begin with "warning:" deserve a thought.
    """

    folder: Path
    seeds: list[int]
    radii: StartingRadii
    notes: list[str]


def init_case(
    folder: str | Path,
    *,
    structure: str | Path | Atoms,
    model: str | Path,
    potential: str | Path | Sequence[str],
    seeds: str | Sequence[int],
    temperature: float = 300.0,
    species: Sequence[str] | None = None,
    steps: int = 1000,
    timestep: float = 1.0,
    ensemble: str = "nvt",
    device: str = "cpu",
    head: str | None = None,
    force: bool = False,
) -> NewCase:
    """Write a self-contained folder for ``mixpi run``, and check it.

    Parameters
    ----------
    folder : path-like
        Where; made if need be.
    structure : path-like or Atoms
        Periodic in all directions; of a file in any format that ASE reads, the first
        frame. ``FixAtoms`` and masses go into the i-PI input.
    model : path-like
        MACE model file, which is copied, or the name of a foundation model.
    potential : path-like or sequence of str
        The cheap potential: a report of ``mixpi distil`` (``.json``, ``.md``), a
        YAML or LAMMPS file, or LAMMPS lines; the files that they name are copied.
    seeds : str or sequence of int
        "species He", "near x y z within 4" (Å, in the frame of the structure),
        "undercoordinated", "overcoordinated", "none", or indices from 0.
    temperature : float
        K.
    species : sequence of str, optional
        Chemical symbols in the order of LAMMPS's atom types (default: as the
        potential says, else alphabetical).
    steps : int
        Of the simulation.
    timestep : float
        fs.
    ensemble : {"nvt", "nve"}
        With or without a Langevin thermostat.
    device : str
        Of the model: "cpu", "cuda" or "cuda:<n>".
    head : str, optional
        Which head of a model with several.
    force : bool
        Write into a folder that is not empty; files of the same names are put aside, as
        ``#name#0#``.

    Returns
    -------
    NewCase
        What was written, and what is to be said of it.

    Raises
    ------
    MixpiError
        If something is missing, does not fit together or is not understood. Nothing
        has then been written, unless the message says so.
    """
    folder = Path(folder)
    _check_numbers(temperature=temperature, steps=steps, timestep=timestep)
    if ensemble not in ENSEMBLES:
        raise MixpiError(
            f"ensemble {ensemble!r} is not one of {', '.join(ENSEMBLES)}: mixed forces have no "
            "virial for a barostat"
        )
    _check_free(folder, force=force)

    atoms, structure_notes = _structure(structure)
    selection = select_seeds(seeds, atoms)
    cheap = read_potential(
        [str(potential)] if isinstance(potential, str | Path) else potential,
        species=species,
        taken=OWN_FILES,
    )
    cheap_species = _species_for(cheap, atoms)
    model_name, model_file = _model(model, taken={*OWN_FILES, *cheap.files})
    mace = _mace_config(model_name, device, head)
    reach, reach_notes = _interaction_range(mace, model_file, atoms)
    radii = starting_radii(atoms, selection.indices, interaction_range=reach)
    velocities, velocities_why = _velocities(atoms, temperature)
    fixed, fixed_notes = _fixed(atoms)

    xml = input_xml(
        title=f"{atoms.symbols.formula} at {temperature:g} K: MACE at the seeds, LAMMPS elsewhere.",
        steps=steps,
        timestep=timestep,
        ensemble=ensemble,
        temperature=temperature,
        velocities=velocities,
        velocities_why=velocities_why,
        fixed=fixed,
        masses=atoms.get_masses().tolist() if atoms.has("masses") else (),
    )
    configuration = mixing_yaml(
        seeds=selection.indices,
        seeds_why=f"Seeds: {selection.why}",
        radii=radii,
        potential=cheap.lines,
        species=cheap_species,
        mace=mace,
    )
    folder.mkdir(parents=True, exist_ok=True)
    sources = {**cheap.files, **model_file}
    for name in (*OWN_FILES, *sources):
        _put_aside(folder / name, sources.get(name))
    Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True).write(
        folder / "init.extxyz", columns=["symbols", "positions"]
    )
    (folder / "input.xml").write_text(xml)
    (folder / "mixing.yaml").write_text(configuration)
    (folder / "mixing_pes.py").write_text(PES)
    for name, original in sources.items():
        _copy(original, folder / name)

    notes = [
        *structure_notes,
        _seed_note(selection),
        f"core {radii.core:g}, blend {radii.blend:g}, buffer {radii.buffer:g} Å: {radii.why}",
        *reach_notes,
        *cheap.notes,
        *_species_notes(cheap, cheap_species),
        *fixed_notes,
        *_left_out(atoms),
    ]
    try:
        notes += check(folder / "input.xml", drivers=False)
    except MixpiError as error:
        raise MixpiError(f"{folder} is written, but is not in order yet: {error}") from None
    return NewCase(folder, selection.indices, radii, notes)


def _check_numbers(*, temperature: float, steps: int, timestep: float) -> None:
    for name, value, unit in (("temperature", temperature, "K"), ("timestep", timestep, "fs")):
        if not (math.isfinite(value) and value > 0):
            raise MixpiError(f"{name} must be a positive number ({unit}), got {value}")
    if steps < 1:
        raise MixpiError(f"steps must be at least 1, got {steps}")


def _check_free(folder: Path, *, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise MixpiError(f"{folder} is there and is no folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise MixpiError(
            f"{folder} is not empty: choose another folder, or --force to put aside what is "
            "in the way"
        )


def _structure(structure: str | Path | Atoms) -> tuple[Atoms, list[str]]:
    """The atoms in the orientation of the user's own file, and what to say about it."""
    if isinstance(structure, Atoms):
        require_periodic(structure, "given")
        return structure.copy(), []
    read_structure(structure)  # checks; what it returns is turned to i-PI's orientation
    frames = read_frames(structure)
    notes = [f"warning: {structure} has several frames: the first is taken"]
    return frames[0], notes * (len(frames) > 1)


def _species_for(cheap: CheapPotential, atoms: Atoms) -> list[str]:
    present = sorted(set(atoms.symbols))
    if cheap.species is None:
        return present
    missing = [symbol for symbol in present if symbol not in cheap.species]
    if missing:
        raise MixpiError(
            f"the structure has {' '.join(missing)}, which the cheap potential "
            f"({' '.join(cheap.species)}) does not know: take one that does, or distil one that "
            f"leaves it alone (inert: [{', '.join(missing)}] in the input of mixpi distil)"
        )
    return list(cheap.species)


def _species_notes(cheap: CheapPotential, species: list[str]) -> list[str]:
    if cheap.species is not None or len(species) == 1:
        return []
    return [
        f"warning: the potential does not say which atom types it means: they are numbered "
        f"{' '.join(species)}, in alphabetical order; another order: --species"
    ]


def _model(model: str | Path, taken: set[str]) -> tuple[str, dict[str, Path]]:
    """The model's name for the YAML file, and what is to be copied under that name."""
    path = Path(model)
    if path.is_file():
        name = local_name(path, taken)
        if not name.endswith(MODEL_SUFFIXES):
            name = local_name(Path(f"{name}.model"), taken)
        return name, {name: path}
    if path.suffix in MODEL_SUFFIXES or path.parent != Path("."):
        raise MixpiError(f"model file {path} does not exist")
    return str(model), {}


def _mace_config(name: str, device: str, head: str | None) -> MaceDriver:
    threads = 1 if device == "cpu" else None
    try:
        return MaceDriver(model=name, device=device, threads=threads, head=head or None)
    except ValidationError as error:
        raise MixpiError(f"model {name}:\n{explain(error)}") from None


def _interaction_range(
    mace: MaceDriver, files: dict[str, Path], atoms: Atoms
) -> tuple[float, list[str]]:
    """How far the model sees (Å), and what to say if that was not looked up."""
    assumed = f"the buffer is for an interaction range of {FOUNDATION_RANGE:g} Å (MACE-MP)"
    if not files:
        return FOUNDATION_RANGE, [f"model {mace.model}: taken as a name; {assumed}"]
    if find_spec("mace") is None:
        return FOUNDATION_RANGE, [f"warning: mace-torch is not installed here; {assumed}"]
    here = {"model": str(files[mace.model].resolve()), "device": "cpu", "threads": None}
    engine = mace.model_copy(update=here).load(Path("."))
    engine.require(sorted(set(atoms.symbols)))
    return engine.interaction_range, []


def _velocities(atoms: Atoms, temperature: float) -> tuple[float, str]:
    """Temperature (K) at which the velocities are drawn, and why."""
    if np.any(atoms.get_momenta()):
        return temperature, "the structure is taken for a thermal snapshot: it had momenta"
    return 2 * temperature, (
        "Twice the temperature: from a relaxed structure half of it goes into the potential "
        f"energy at once. For a thermal snapshot write {temperature:g}."
    )


def _fixed(atoms: Atoms) -> tuple[list[int], list[str]]:
    """Atoms that stay where they are, and the constraints that i-PI will not keep."""
    fixed: set[int] = set()
    notes = []
    for constraint in atoms.constraints:
        whole = isinstance(constraint, FixCartesian) and np.all(constraint.mask)
        if isinstance(constraint, FixAtoms) or whole:
            fixed.update(int(k) for k in np.atleast_1d(constraint.index))
        else:
            notes.append(
                f"warning: the constraint {type(constraint).__name__} of the structure has no "
                "counterpart in input.xml: it is left out"
            )
    if fixed:
        notes.insert(0, f"{len(fixed)} atom(s) are fixed, as in the structure (<fixatoms>)")
    return sorted(fixed), notes


def _left_out(atoms: Atoms) -> list[str]:
    """What the structure has and the simulation does not use."""
    notes = []
    if np.any(atoms.get_momenta()):
        notes.append("warning: the structure's momenta are not used: velocities are drawn anew")
    if np.any(atoms.get_initial_charges()):
        notes.append("warning: the structure's charges are not used")
    if np.any(atoms.get_initial_magnetic_moments()):
        notes.append("warning: the structure's magnetic moments are not used")
    return notes


def _seed_note(selection: Selection) -> str:
    if not selection.indices:
        return f"seeds: {selection.why}"
    shown = ", ".join(map(str, selection.indices[:12]))
    more = ", ..." if len(selection.indices) > 12 else ""
    return f"seeds: {len(selection.indices)} ({shown}{more}): {selection.why}"


def _put_aside(path: Path, original: Path | None) -> None:
    """Make room for a file, unless it is the very one that is to be there."""
    if os.path.lexists(path) and not (original and path.exists() and path.samefile(original)):
        put_aside(path)


def _copy(original: Path, target: Path) -> None:
    if not (target.exists() and target.samefile(original)):
        shutil.copyfile(original, target)
