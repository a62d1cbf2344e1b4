"""``mixpi calibrate``: how much must be evaluated, and how good the cheap potential is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..check.checking import starting_regions
from ..check.overwriting import inputs_of_run, require_safe_outputs
from ..drivers.driver import known_engines
from ..drivers.engine import Engine
from ..drivers.engine_driver import EngineDriver
from ..drivers.mace_driver import PartialSection
from ..drivers.partial_engine import bulk_means
from ..errors import MixpiError
from ..ipi.input import IpiInput, read_ipi_input
from ..ipi.run_regions import read_groups
from ..regions.periodic import PeriodicCell
from ..run.progress import Tell, silent
from ..structure import read_structure
from .buffers import (
    BufferResult,
    ForceError,
    buffer_grid,
    measure_buffers,
    root_mean_square,
    share_above,
    snapshot_error,
)
from .cheap_side import cheap_forces, left_alone, thermal_snapshots
from .mismatch import Mismatch, measure_mismatch
from .partial import (
    SHARE,
    PartialCalibration,
    doubts_about_reference,
    lines_for,
    measure_partial,
    require_layered,
    widest_radius,
)
from .reference import Clusters, Reference, Snapshot, largest_reference, measure_reference
from .snapshots import correlation, distinct, doubts
from .thermal import read_frames, split_index, temperature_of


#: eV/Å; the weighted rms error that a buffer may leave unless another is asked for.
TOLERANCE = 0.005
#: What is written beside the input.
REPORT_FILES = ("calibration.json", "calibration.md", "calibration.png")
#: Snapshots of a thermal run: as many as it takes for the upper value of those that decide
#: to mean nine tenths, and one to check it.
SNAPSHOTS = 12
#: With so many snapshots the last is kept out of the decision, to check it.
ENOUGH = 3


@dataclass
class Calibration:
    """Everything that a calibration found; lengths in Å, forces in eV/Å, times in s.

    Attributes
    ----------
    system : str
        The structure, in words.
    atoms : int
        That it has.
    radii : dict
        ``core``, ``blend`` and ``profile``.
    interaction_range : float
        Of the model.
    snapshots : str
        Where the atoms' positions are from, in words.
    deciding : int
        Snapshots that the recommendation rests on.
    correlation : float or None
        How alike one snapshot is to the next, 0 to 1; None: too few to tell.
    above : float
        The share of fresh snapshots that are expected to have a larger error than the
        table says, if these are independent.
    tolerance : float
        On the weighted rms error.
    reference : Reference
        What was compared with.
    force : float
        Rms force on the atoms of positive weight, over all snapshots.
    full_seconds, full_measured : float, bool
        Of an all-expensive evaluation: measured, or estimated from the reference.
    configured : float
        The buffer in the configuration.
    results : list of BufferResult
        Ascending.
    recommended : float or None
        The narrowest buffer within the tolerance.
    check, check_source : ForceError or None, str
        The error of the recommended (else the widest) buffer on another snapshot, and which.
    mismatch, mismatch_skipped : Mismatch or None, str
        Of the two potentials, or why it is not known.
    warnings : list of str
        Why the figures may mislead; empty if they need not.
    alone : str
        Species on which the cheap potential exerts no forces.
    partial : PartialCalibration or None
        Of partial evaluation, where it was asked for or is configured.
    """

    system: str
    atoms: int
    radii: dict
    interaction_range: float
    snapshots: str
    deciding: int
    correlation: float | None
    above: float
    tolerance: float
    reference: Reference
    force: float
    full_seconds: float
    full_measured: bool
    configured: float
    results: list[BufferResult] = field(default_factory=list)
    recommended: float | None = None
    check: ForceError | None = None
    check_source: str = ""
    mismatch: Mismatch | None = None
    mismatch_skipped: str = ""
    warnings: list[str] = field(default_factory=list)
    alone: str = ""
    partial: PartialCalibration | None = None

    @property
    def chosen(self) -> BufferResult:
        """The result for the recommended buffer; without one, for the widest."""
        return next((r for r in self.results if r.buffer == self.recommended), self.results[-1])


def calibrate(
    path: str | Path,
    *,
    frame: str | Path | None = None,
    check_frame: str | Path | None = None,
    buffers: Sequence[float] | None = None,
    tolerance: float = TOLERANCE,
    temperature: float | None = None,
    snapshots: int = SNAPSHOTS,
    full_atoms: int | None = None,
    partial: bool = False,
    tell: Tell = silent,
) -> Calibration:
    """Measure what buffers of all widths leave and cost, for a simulation.

    If the configuration has ``partial:``, that pair of radii is measured too.

    Parameters
    ----------
    path : path-like
        The i-PI input.
    frame : path-like, optional
        Snapshots of the system (``file`` or ``file@index``), in either orientation, wrapped
        or not. All decide on the buffer but the last of three or more, which checks it.
        Default: a short run of the cheap potential.
    check_frame : path-like, optional
        Another snapshot to check the answer on; all others then decide.
    buffers : sequence of float, optional
        Å. Default: from 2 Å to twice the interaction range, until the error is negligible.
    tolerance : float
        eV/Å; what the weighted rms error of the recommended buffer is below.
    temperature : float, optional
        K, of the thermal run. Default: the input's.
    snapshots : int
        Of the thermal run.
    full_atoms : int, optional
        Atoms that the reference may have. Default: :func:`largest_reference`.
    partial : bool
        Also look for the radii of partial evaluation that are good enough for the least work.
    tell : callable
        Gets the progress.

    Returns
    -------
    Calibration

    Raises
    ------
    MixpiError
        If an argument, the input, a snapshot or an engine is not what it must be.
    """
    _require_sense(buffers, tolerance, temperature, snapshots, full_atoms, frame)
    ipi_input = read_ipi_input(path)
    config, home = ipi_input.config, ipi_input.config_path.parent
    if config.everywhere:
        raise MixpiError(
            f"{ipi_input.config_path} has 'seeds: {config.seeds}': there is no region to "
            "calibrate; list the atoms that the expensive potential is for"
        )
    if not config.seed_indices:
        raise MixpiError(
            f"{ipi_input.config_path}: no atom of {config.structure} is a seed: there is no region "
            "to calibrate; take a structure that has one"
        )
    expensive, kind = config.expensive.driver, config.expensive.kind
    if not isinstance(expensive, EngineDriver):
        raise MixpiError(
            f"{ipi_input.config_path}: the expensive driver is '{kind}'; "
            f"calibrate evaluates the model itself, which it can for {known_engines()} only. "
            "Without it, compare runs with different buffers, or take twice the model's "
            "interaction range"
        )
    sources = [split_index(source) for source in (frame, check_frame) if source]
    looked_at = {Path(name): "frames to look at" for name, _ in sources}
    reports = [(name, "the report of calibrate") for name in REPORT_FILES]
    require_safe_outputs(reports, {**inputs_of_run(ipi_input), **looked_at}, ipi_input.folder, ())
    atoms = read_structure(home / config.structure)
    starting_regions(ipi_input, atoms)  # says what is wrong with seeds
    given = read_frames(frame, atoms) if frame else None
    to_check = read_frames(check_frame, atoms)[-1] if check_frame else None

    tell("loading the model", 0.0)
    engine = _load(expensive, ipi_input)
    engine.require(sorted(set(atoms.symbols)))
    section = getattr(expensive, "partial", None)
    section = section if isinstance(section, PartialSection) else None
    radii_configured = (section.sites, section.features) if section else None
    layered = require_layered(engine, kind) if partial or section else None
    reach = engine.interaction_range
    if reach is None:
        raise MixpiError(
            f"{ipi_input.config_path}: how far the expensive potential ('{kind}') sees is not "
            f"known, which calibrate must know: {_how_to_say_the_range(expensive)}compare runs "
            "with different buffers"
        )
    radii = config.regions.radii
    configured = radii.pop("buffer")
    fill = section.fill if section else "mean"
    means = bulk_means(layered, atoms) if layered is not None and fill == "mean" else None
    groups = read_groups(config, atoms)
    clusters = Clusters(atoms, config.seed_indices, radii, engine, fill=means, groups=groups)

    if given:
        frames, source = given, f"{len(given)} given: {frame}"
    else:
        kelvin = temperature or temperature_of(ipi_input)
        frames, source = thermal_snapshots(ipi_input, atoms, clusters, kelvin, snapshots, tell)
    cell = PeriodicCell(atoms.cell.array)
    kept = distinct(frames, cell)
    warnings = _warnings(ipi_input, len(frames) - len(kept), bool(given))
    frames = [frames[number] for number in kept]
    warnings += doubts(frames, atoms)
    if expensive.wants_depths and section is None:
        warnings.append(
            f"the errors are those of whole clusters; with partial: of {kind} they are "
            "smaller, and zero with sites to the potential's cutoff"
        )
    deciding, checked = len(frames), str(check_frame)
    if to_check is not None and len(distinct([*frames, to_check], cell)) == len(frames):
        warnings.append("the snapshot that checks the answer is one of those that decide on it")
    if to_check is None and len(frames) >= ENOUGH:
        deciding, checked = len(frames) - 1, "the last snapshot"

    # first, because a wrong cheap potential would else cost all that follows
    cheap, no_cheap = cheap_forces(ipi_input, atoms, frames, tell)
    limit = full_atoms or largest_reference(engine, getattr(expensive, "device", "cpu"))
    exact, reference = measure_reference(clusters, frames[0], reach, limit, tell=tell)
    grid = buffer_grid(buffers, configured, reference)
    if layered is not None and partial:
        widest_radius(layered.cutoff, reference)  # says before the work if there is none
    known = [clusters.snapshot(frames[0], exact)]
    others = frames[1:] if to_check is None else [*frames[1:], to_check]
    for number, positions in enumerate(others, 1):
        tell(f"reference on {len(others)} more snapshots", number / (len(others) + 1))
        known.append(clusters.snapshot(positions, clusters.exact(positions, reference.buffer)))
    results, recommended = measure_buffers(
        clusters,
        known[:deciding],
        grid,
        tolerance=tolerance,
        always=configured,
        refine=buffers is None,
        tell=tell,
    )
    found = Calibration(
        system=f"{config.structure}, {len(atoms)} atoms, {atoms.symbols.formula}",
        atoms=len(atoms),
        radii=radii,
        interaction_range=reach,
        snapshots=source,
        deciding=deciding,
        correlation=correlation(frames, cell) if given or config.cheap.lammps else 0.0,
        above=share_above(deciding),
        tolerance=tolerance,
        reference=reference,
        force=root_mean_square(np.concatenate([s.exact for s in known[: len(frames)]])),
        full_seconds=reference.seconds * len(atoms) / reference.atoms,
        full_measured=reference.buffer is None,
        configured=configured,
        results=results,
        recommended=recommended,
        warnings=warnings,
    )
    if layered is not None:
        found.partial = measure_partial(
            clusters,
            layered,
            known[:deciding],
            reference,
            tolerance=SHARE * tolerance,
            search=partial,
            configured=radii_configured,
            plain=[r for r in results if r.buffer in (configured, recommended)],
            to_check=known[-1] if len(known) > deciding else None,
            tell=tell,
        )
        found.partial.lines = lines_for(found.partial, kind, fill)
        warnings += doubts_about_reference(found.partial, reference)
    if len(known) > deciding:
        tell("checking the answer on another snapshot", 0.0)
        found.check = snapshot_error(clusters, known[-1], found.chosen.buffer)
        found.check_source = checked
    found.alone = left_alone(atoms, cheap)
    if found.alone.split() == sorted(set(atoms.symbols)):
        warnings.append(
            "the cheap potential exerts no force on any atom: does it name the species in the "
            "order of LAMMPS's atom types (alphabetical, or lammps: species)?"
        )
    if found.alone and not given:
        warnings.append(
            f"the cheap potential leaves {found.alone} alone, so in its thermal run they come "
            "closer to others than the expensive one allows, and errors are larger than in a "
            "mixed run; give snapshots of one (--frame)"
        )
    found.mismatch_skipped = no_cheap
    if cheap is not None:
        found.mismatch = _mismatch(known[: len(frames)], cheap)
    return found


def _require_sense(
    buffers: Sequence[float] | None,
    tolerance: float,
    temperature: float | None,
    snapshots: int,
    full_atoms: int | None,
    frame: str | Path | None,
) -> None:
    def positive(name: str, value: float | None, unit: str = "") -> None:
        if value is not None and not (np.isfinite(value) and value > 0.0):
            raise MixpiError(f"{name} must be a number above 0{unit}, got {value:g}")

    positive("tolerance", tolerance, " (eV/Å)")
    positive("temperature", temperature, " (K)")
    positive("snapshots", snapshots)
    if frame is not None and temperature is not None:
        raise MixpiError("a temperature is for the thermal run, which a given frame replaces")
    positive("full-atoms", full_atoms)
    if buffers is not None and not len(buffers):
        raise MixpiError("no buffers to try: give at least one, Å")
    for buffer in buffers or ():
        if not (np.isfinite(buffer) and buffer >= 0.0):
            raise MixpiError(f"a buffer must be a number >= 0 (Å), got {buffer:g}")


def _load(expensive: EngineDriver, ipi_input: IpiInput) -> Engine:
    try:
        return expensive.load(ipi_input.config_path.parent)
    except MixpiError as error:
        if getattr(expensive, "python", None) is None:
            raise
        raise MixpiError(
            f"{ipi_input.config_path}: calibrate evaluates the potential in its own process: "
            f"{error}. Install mixpi beside the calculator, and leave 'python' out"
        ) from None


def _how_to_say_the_range(expensive: EngineDriver) -> str:
    if "interaction_range" in type(expensive).model_fields:
        return (
            f"give it ({expensive.kind}: interaction_range, Å; of a network the cutoff times its "
            "layers), or "
        )
    return ""


def _warnings(ipi_input: IpiInput, copies: int, given: bool) -> list[str]:
    """What is known of the snapshots before anything is computed on them."""
    found = []
    if copies:
        found.append(
            f"{copies} of the snapshots are copies of earlier ones and are left out: has the file "
            "two parts that overlap?"
        )
    if ipi_input.beads > 1 and not given:
        found.append(
            f"the input has {ipi_input.beads} beads, which spread further than the atoms of this "
            "classical run: errors are larger there; give snapshots of a bead (--frame)"
        )
    return found


def _mismatch(snapshots: Sequence[Snapshot], cheap: Sequence[np.ndarray]) -> Mismatch:
    """How far apart the two potentials' forces are along the snapshots."""
    return measure_mismatch(
        [snapshot.exact for snapshot in snapshots],
        [forces[s.indices] for s, forces in zip(snapshots, cheap, strict=True)],
        [snapshot.weights for snapshot in snapshots],
    )
