"""What can be wrong with an i-PI input: its kind, its forces, its numbers, its files."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterator

from ..errors import MixpiError
from ..ipi.input import IpiInput, MixingLayer
from ..ipi.view import IpiView, Motion
from .meaning import check_forces
from .overwriting import continued_checkpoint, inputs_of_run, own_outputs, require_safe_outputs


#: Numbers of i-PI's input that are none; and what holds names, which may look like them.
NOT_FINITE = re.compile(r"(?<![\w.+-])[+-]?(nan|inf|infinity)(?![\w.])", re.I)
NAMES = ("file", "filename", "name", "prefix", "forcefield", "address", "parameters", "pes_path")
#: fs; time steps outside are hardly meant: 1 without units is an atomic unit, 0.024 fs.
SMALLEST_STEP, LARGEST_STEP = 0.05, 10.0
#: fs; shorter ones move nothing: units='femto' are 1e-15 atomic units.
NO_STEP = 1e-6
#: K; above, a temperature without units was taken for atomic units (315,775 K each).
HOTTEST = 20_000.0
#: Relative; a temperature in matrices that were printed with few digits is still the ensemble's.
SAME_TEMPERATURE = 1e-3
#: Modes of <dynamics> that a thermostat is for.
THERMOSTATTED = ("nvt", "nvt-cc")
#: i-PI's warnings that are no news: what the input asks for, and what only costs time.
EXPECTED_WARNINGS = re.compile(
    r"Overwriting previous atomic|Rescaling momenta|PyFFTW|pyfftw|Momenta not specified|"
    r"previously defined masses|simulation temperature|previous cell parameters|flag fixcom"
)


def check_kind(ipi_input: IpiInput) -> None:
    """Refuse simulations that mixed forces cannot do, before i-PI is asked.

    Raises
    ------
    MixpiError
        What is wrong, and what works.
    """
    if os.path.lexists(ipi_input.folder / "EXIT"):
        raise MixpiError(
            f"{ipi_input.folder / 'EXIT'} is there, from when a run was stopped: i-PI would stop "
            "again at once. Remove it"
        )
    if ipi_input.first_step >= ipi_input.total_steps:
        raise MixpiError(
            f"{ipi_input.path.name} has done all its {ipi_input.total_steps} steps: raise "
            f"<total_steps> in {ipi_input.path.name} to go on"
        )
    if ipi_input.barostat:
        raise MixpiError(
            f"{ipi_input.path.name} has dynamics mode='{ipi_input.barostat}', a barostat: mixed "
            "forces have no virial, so the pressure would be meaningless. Use nve or nvt at the "
            "lattice constant of the expensive potential"
        )
    if ipi_input.unsupported_motion:
        raise MixpiError(
            f"{ipi_input.path.name} has {ipi_input.unsupported_motion}: mixed forces have no "
            "energy, and what needs one would go wrong without a word. Molecular dynamics works: "
            "<dynamics mode='nve'> or 'nvt'. To relax a structure there is 'mixpi relax', for "
            "paths and barriers 'mixpi neb', both on forces alone and with fixed regions"
        )
    _require_time_to_pass(ipi_input)
    for layer in ipi_input.layers:
        if not os.path.isfile(layer.pes_path):
            state = "is no file" if os.path.exists(layer.pes_path) else "does not exist"
            raise MixpiError(
                f"pes_path {str(layer.pes_path)[:300]} {state}: it must hold the lines\n"
                "  from mixpi.ipi_pes import MixingPES\n"
                '  __DRIVER_NAME__, __DRIVER_CLASS__ = "mixpi", "MixingPES"'
            )
    ipi_input.config.require_pools(ipi_input.pools)
    if ipi_input.systems > 1:
        raise MixpiError(
            f"{ipi_input.path.name} has {ipi_input.systems} systems: one mixing layer serves one "
            "system (its beads share a region)"
        )
    for layer in ipi_input.layers:
        _check_batch(ipi_input, layer)


def _require_time_to_pass(ipi_input: IpiInput) -> None:
    """Weights that follow the atoms with a memory need steps that are those of their dynamics."""
    file, config, modes = ipi_input.path.name, ipi_input.config, ipi_input.motion_modes
    if modes.count("dynamics") > 1:
        raise MixpiError(
            f"{file} has {modes.count('dynamics')} motions of mode 'dynamics' in one: each would "
            "make a step of its own, and stop what the other has fixed. Use one <dynamics>; where "
            "its thermostat acts 'thermostat:' of the configuration tells"
        )
    average = getattr(config.seeds, "average", None)
    memory = [name for name in ("tau_in", "tau_out", "leave") if getattr(config.regions, name)]
    memory += ["every"] if config.regions.every > 1 else []
    memory += ["average"] if average and average.repeat * average.frequency > 1 else []
    memory += ["spread"] if getattr(config.seeds, "spread", None) else []
    if "replay" in modes and memory:
        raise MixpiError(
            f"{file} has motion mode='replay', in which no time passes from one frame to the next, "
            f"and regions with a memory of the steps before ({', '.join(memory)}): the forces of a "
            "frame would depend on where it stands. Leave these out"
        )


def _check_batch(ipi_input: IpiInput, layer: MixingLayer) -> None:
    """i-PI waits for ever for a batch to become full, unless a thread of its own looks after it.

    Whatever comes together, all beads are evaluated at once when the first is asked for.
    """
    beads, size = ipi_input.beads_of(layer), layer.batch_size
    if size >= 1 and (beads % size == 0 or layer.threaded):
        return
    which = "" if len(ipi_input.layers) == 1 else f" for '{layer.name}'"
    raise MixpiError(
        f"{ipi_input.path.name} has {beads} bead(s){which} but <batch_size> {size} in the mixing "
        f"layer's <ffdirect>: i-PI would wait for ever for the rest of a batch, so write "
        f"<batch_size>{beads}</batch_size>, or leave it out"
    )


def _require_finite(ipi_input: IpiInput) -> None:
    """Refuse what i-PI reads as a number and nobody can compute with."""
    for node in ipi_input.root.iter():
        given = {name: value for name, value in node.attrib.items() if name not in NAMES}
        given |= {} if node.tag in NAMES else {"": node.text or ""}
        for name, value in given.items():
            if found := NOT_FINITE.search(value):
                where = f"{name} of <{node.tag}>" if name else f"<{node.tag}>"
                raise MixpiError(
                    f"{ipi_input.path.name}: {where} has {found[0]!r} where a finite number is "
                    "needed"
                )


def check_view(ipi_input: IpiInput, view: IpiView) -> Iterator[str]:
    """Look for what i-PI accepts but nobody can mean.

    Parameters
    ----------
    ipi_input : IpiInput
        The input.
    view : IpiView
        What i-PI understood of it.

    Yields
    ------
    str
        Warnings.

    Raises
    ------
    MixpiError
        If the run would fail or compute something else.
    """
    for layer in ipi_input.layers:
        ours = [
            one for name, one in view.mixing.items() if ipi_input.folder / name == layer.pes_path
        ]
        if all(ours):
            continue
        raise MixpiError(
            f"{layer.pes_path} names another class than the mixing layer's: it must hold\n"
            "  from mixpi.ipi_pes import MixingPES\n"
            '  __DRIVER_NAME__, __DRIVER_CLASS__ = "mixpi", "MixingPES"'
        )
    for warning in dict.fromkeys(view.warnings):
        if not EXPECTED_WARNINGS.search(warning):
            yield f"warning: i-PI says: {warning}"
    _require_finite(ipi_input)
    yield from _check_unused(ipi_input, view)
    _check_active(ipi_input, view)
    yield from check_forces(ipi_input, view)
    for motion in view.motions:
        yield from _check_motion(ipi_input, motion)
    _check_normal_modes(ipi_input, view)
    yield from _check_temperature(ipi_input, view)
    yield from _check_manual_units(ipi_input)
    _check_files(ipi_input, view)


def check_forces_named(ipi_input: IpiInput) -> None:
    """Each ``<force>`` must name a force field of the file.

    Raises
    ------
    MixpiError
        With the name that is likely meant.
    """
    root = ipi_input.root
    names = [
        (node.get("name") or "").strip()
        for node in root.iter()
        if node.tag.startswith("ff") and node.get("name")
    ]
    for name in names:
        if names.count(name) > 1:
            raise MixpiError(
                f"{ipi_input.path.name}: two force fields are named '{name}', and i-PI would take "
                "the last: give each a name of its own"
            )
    used = [(node.get("forcefield") or "").strip() for node in root.iter("force")]
    for name in used:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            raise MixpiError(
                f"{ipi_input.path.name}: <force forcefield='{name}'> names no force field of the "
                f"file (it has {', '.join(names) or 'none'})"
                + (f": did you mean '{close[0]}'?" if close else "")
            )
    for layer in ipi_input.layers:
        if layer.name not in used and not _is_nested(ipi_input, layer.name):
            raise MixpiError(
                f"{ipi_input.path.name}: no <force> uses the mixing layer '{layer.name}': write "
                f"<forces><force forcefield='{layer.name}'/></forces> into <system>"
            )


def _is_nested(ipi_input: IpiInput, layer: str) -> bool:
    """Whether a mixing layer stands inside another force field (a committee)."""
    return all(
        (node.get("name") or "").strip() != layer for node in ipi_input.root.findall("./ffdirect")
    )


def _check_unused(ipi_input: IpiInput, view: IpiView) -> Iterator[str]:
    used = {(node.get("forcefield") or "").strip() for node in ipi_input.root.iter("force")}
    for forcefield in view.forcefields:
        if forcefield not in used:
            yield (
                f"warning: the force field '{forcefield}' of {ipi_input.path.name} is used by no "
                "<force>"
            )


def _check_active(ipi_input: IpiInput, view: IpiView) -> None:
    """The atoms of an ``<activelist>``, which several of i-PI's force fields do not heed."""
    for node in ipi_input.root:
        name = (node.get("name") or "").strip()
        wanted = [int(n) for n in re.findall(r"-?\d+", node.findtext("activelist") or "")]
        if wanted and wanted != view.active.get(name, wanted):
            raise MixpiError(
                f"{ipi_input.path.name}: i-PI skips the <activelist> of <{node.tag} name='{name}'> "
                "in silence, all atoms would get its forces: remove it"
            )


def _check_motion(ipi_input: IpiInput, motion: Motion) -> Iterator[str]:
    file, step = ipi_input.path.name, motion.timestep
    if motion.fixed and min(motion.fixed) < 0:
        raise MixpiError(
            f"{file}: <fixatoms> has a negative number, which i-PI counts from the last atom: "
            "atoms are numbered from 0"
        )
    if any(n < 1 for n in motion.nmts):
        raise MixpiError(
            f"{file}: <nmts> {motion.nmts} must be 1 or more on every level: with 0 no forces "
            "would be computed there"
        )
    if step is None or motion.kind == "Replay":  # which has one of 0, and does not use it
        return
    if not (math.isfinite(step) and step > NO_STEP):
        raise MixpiError(
            f"{file}: the <timestep> is {step:.3g} fs: it must be positive, and long enough that "
            "atoms move. Is <timestep units='femtosecond'> meant?"
        )
    if step < SMALLEST_STEP or step > LARGEST_STEP:
        yield (
            f"warning: the <timestep> of {file} is {step:.3g} fs: is <timestep "
            "units='femtosecond'> meant? Without units it is in atomic units (0.0242 fs)"
        )
    thermostat, tau = motion.thermostat, motion.tau
    if thermostat == "Thermostat" and motion.mode in THERMOSTATTED:
        yield (
            f"warning: {file} has dynamics mode='{motion.mode}' without a thermostat, so nothing "
            "keeps the temperature: write <thermostat mode='langevin'><tau units='femtosecond'>"
            "100</tau></thermostat> into <dynamics>, or mode='nve'"
        )
    if thermostat in (None, "Thermostat"):
        return
    if motion.mode == "nve":
        yield (
            f"warning: {file} has a thermostat, but dynamics mode='nve' does not use it: write "
            "mode='nvt'"
        )
    elif tau is not None and math.isnan(tau):
        raise MixpiError(f"{file}: the <tau> of the thermostat is not a number")
    elif tau is not None and thermostat == "ThermoLangevin" and tau <= step:
        yield (
            f"warning: the thermostat's <tau> is {tau:.3g} fs, no longer than the time step: "
            "velocities are drawn anew in each step. Is <tau units='femtosecond'>100</tau> meant?"
        )


def _check_normal_modes(ipi_input: IpiInput, view: IpiView) -> None:
    """What i-PI would take without a word: springs that are left out, paths of no atom."""
    for modes in ipi_input.root.iter("normal_modes"):
        steps, paths = (
            [int(n) for n in re.findall(r"-?\d+", modes.findtext(tag) or "")]
            for tag in ("nmts", "open_paths")
        )
        if any(n < 1 for n in steps):
            raise MixpiError(
                f"{ipi_input.path.name}: <nmts> {steps[0]} of <normal_modes> must be 1 or more: "
                "without it the springs between the beads would be left out"
            )
        missing = [n for n in paths if not 0 <= n < len(view.symbols)]
        if missing:
            raise MixpiError(
                f"{ipi_input.path.name}: <open_paths> names atom {missing[0]}, but there are "
                f"{len(view.symbols)} atoms, numbered from 0"
            )


def _check_temperature(ipi_input: IpiInput, view: IpiView) -> Iterator[str]:
    file, given = ipi_input.path.name, view.temperature
    if math.isnan(given) or math.isnan(view.kinetic_temperature):
        raise MixpiError(f"{file}: a temperature, mass or velocity is not a number (NaN)")
    thermostatted = any(motion.mode in THERMOSTATTED for motion in view.motions)
    if given < 0 and ipi_input.root.find(".//ensemble/temperature") is not None:
        raise MixpiError(f"{file}: the <temperature> of the ensemble is negative ({given:g} K)")
    if given == 0 and thermostatted:
        yield f"warning: the <temperature> of {file} is 0 K: the thermostat will cool to rest"
    for motion in view.motions:
        centroid = motion.centroid_temperature
        if centroid and thermostatted and abs(centroid / max(given, 1e-9) - 1) > SAME_TEMPERATURE:
            yield (
                f"warning: the matrices of the thermostat in {file} are for {centroid:.4g} K, and "
                f"the <temperature> is {given:.4g} K: the centroids will have the former, and "
                "nothing of what is sampled is that of the latter. Multiply A and C by "
                f"{given / centroid:.6g} (scripts/piglet.py prints them)"
            )
    for what, value in (
        ("<temperature> of the ensemble", given),
        ("temperature of the first velocities", view.kinetic_temperature),
    ):
        if value > HOTTEST:
            yield (
                f"warning: the {what} in {file} is {value:.3g} K: is units='kelvin' missing? An "
                "atomic unit is 315,775 K"
            )


def _check_manual_units(ipi_input: IpiInput) -> Iterator[str]:
    for tag in ("velocities", "momenta"):
        for node in ipi_input.root.iterfind(f".//initialize/{tag}"):
            units = node.get("units", "").strip()
            manual = node.get("mode", "").strip() == "manual"
            if manual and units not in ("", "automatic", "atomic_unit"):
                yield (
                    f"warning: i-PI does not convert <{tag} mode='manual' units='{units}'>: it "
                    "takes the numbers for atomic units"
                )


def _check_files(ipi_input: IpiInput, view: IpiView) -> None:
    """No output may be an input, or another output."""
    for name, stride in {**view.strides, "safe_stride": view.safe_stride}.items():
        if stride < 1:
            raise MixpiError(f"{ipi_input.path.name}: the stride of {name} is {stride}: at least 1")
    what, continued = f"an output of {ipi_input.path.name}", continued_checkpoint(ipi_input)
    outputs = [(name, what) for name in view.files if name != continued]
    outputs += own_outputs(ipi_input.config, ipi_input.beads, ipi_input.config_path.name)
    read = {ipi_input.folder / name: "a file that i-PI reads" for name in view.frames}
    require_safe_outputs(outputs, {**inputs_of_run(ipi_input), **read}, ipi_input.folder)
