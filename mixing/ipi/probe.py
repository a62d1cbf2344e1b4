"""What i-PI makes of an input: run as a process of its own, it prints JSON.

``python -m mixpi.ipi.probe input.xml SECONDS BYTES`` lets i-PI parse the input, build the
simulation and bind it, as ``i-pi`` does, but writes no file, opens no socket and builds no
potential, and takes no more than so much time of a processor and so much memory.
:mod:`mixpi.ipi.view` is the other side. What i-PI skips in silence is found by walking
through the file beside i-PI's own description of its tags.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import io
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any
from xml.sax import parse

import ipi.engine.forcefields as forcefields
import ipi.engine.initializer as initializer
import ipi.engine.outputs as outputs
import numpy as np
from ase.units import Bohr
from ipi.engine.properties import getall
from ipi.engine.simulation import Simulation
from ipi.engine.thermostats import ThermoNMGLE
from ipi.inputs.simulation import InputSimulation
from ipi.pes.dummy import Dummy_driver
from ipi.utils.inputvalue import Input, InputAttribute, InputRaw
from ipi.utils.io import _get_io_function
from ipi.utils.io.inputs.io_xml import xml_handler
from ipi.utils.softexit import softexit
from ipi.utils.units import unit_to_user

from ..files.user_files import MiB, special_kind
from .motions import parts_of
from .pes import MixingPES


#: Complaints about one file that are shown.
MOST_COMPLAINTS = 5
#: Characters of one.
LONGEST_COMPLAINT = 500
#: Devices that end.
HARMLESS = ("/dev/null", "/dev/urandom", "/dev/random")
#: i-PI's tags whose text is read although their class has no value.
TEXT_IS_READ = (InputAttribute, InputRaw)


class _WithLines(xml_handler):
    """i-PI's reader of XML, with the line of each tag."""

    def startElement(self, name: str, attrs: Any) -> None:
        super().startElement(name, attrs)
        self.open[-1].line = self._locator.getLineNumber()


def complaints(path: str) -> list[str]:
    """Tags, attributes and options that i-PI does not know or would skip in silence.

    Parameters
    ----------
    path : str
        The input.

    Returns
    -------
    list of str
        One line each, with the line of the file.
    """
    handler = _WithLines()
    parse(path, handler)
    name, node = handler.root.fields[0]
    if name != "simulation":
        return [f"line {node.line}: the outermost tag is <{name}>, i-PI's is <simulation>"]
    return list(_walk(node, InputSimulation()))


def _walk(node: Any, grammar: Input) -> Iterator[str]:
    """Compare one tag and those in it with i-PI's class for it."""
    if isinstance(grammar, InputRaw):
        return
    here = f"line {node.line}: "
    wrong = list(_wrong_attributes(node, grammar))
    yield from (here + text for text in wrong)
    if isinstance(grammar, InputAttribute) and not wrong:
        try:
            grammar.parse(xml=node)
            grammar.fetch()
        except Exception as error:
            yield f"{here}<{node.name}> {_short(dict(node.fields)['_text'])}: {error}"
            return
    seen: dict[str, int] = {}
    for name, child in node.fields:
        if name == "_text":
            if child.strip() and not isinstance(grammar, TEXT_IS_READ):
                yield f"{here}the text '{_short(child)}' in <{node.name}> is no tag: i-PI skips it"
            continue
        if name in grammar.instancefields:
            if name in seen:
                yield (
                    f"line {child.line}: <{name}> stands twice in <{node.name}> (first in line "
                    f"{seen[name]}): i-PI would take the last one"
                )
            seen.setdefault(name, child.line)
            yield from _walk(child, getattr(grammar, name))
        elif name in grammar.dynamic:
            kind, arguments = grammar.dynamic[name]
            yield from _walk(child, kind(**arguments))
        else:
            known = [*grammar.instancefields, *grammar.dynamic]
            yield f"line {child.line}: " + _unknown(f"tag <{name}> in <{node.name}>", name, known)


def _wrong_attributes(node: Any, grammar: Input) -> Iterator[str]:
    for name, value in node.attribs.items():
        if name not in grammar.attribs:
            yield _unknown(f"attribute '{name}' of <{node.name}>", name, grammar.attribs)
            continue
        options, value = getattr(getattr(grammar, name), "_valid", None), value.strip()
        if options and all(isinstance(o, str) for o in options) and value not in options:
            known = [o for o in options if o]
            yield _unknown(f"{name}='{value}' of <{node.name}>", value, known)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    if close:
        return f"unknown {what}: did you mean '{close[0]}'?"
    return f"unknown {what}" + (f"; known: {', '.join(known)}" if known else "")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:37] + "..."


def understood(path: str) -> dict[str, Any]:
    """Let i-PI build and bind the simulation, and describe what came of it.

    Parameters
    ----------
    path : str
        The input, in the current folder.

    Returns
    -------
    dict
        See :class:`mixpi.ipi.view.IpiView`.
    """
    files: list[str] = []
    frames: dict[str, int] = {}
    mixing: dict[str, bool] = {}
    read, load_pes = initializer.init_file, forcefields.load_pes
    cache: dict[tuple, Any] = {}

    def open_nothing(filename: str, mode: str = "r", buffering: int = -1) -> io.StringIO:
        files.append(str(filename))
        return io.StringIO()

    def read_once(*arguments: Any, **keywords: Any) -> Any:
        key = (*arguments, *sorted(keywords.items()))
        if key not in cache:  # i-PI reads the same file for each thing that is in it
            kind, file = arguments[:2]
            try:
                cache[key] = read(*arguments, **keywords)
            except FileNotFoundError:
                raise ValueError(
                    f"{file}, which it is to read atoms from, does not exist"
                ) from None
            except Exception as error:
                why = _why_unreadable(file, error)
                raise ValueError(f"it cannot read {file} as mode='{kind}' ({why})") from None
            frames[str(file)] = len(cache[key][0])
        return cache[key]

    def stand_in(mode: str, pes_path: str) -> type:
        if mode == "custom":
            try:
                mixing[pes_path] = issubclass(load_pes(mode, pes_path), MixingPES)
            except (AttributeError, UnboundLocalError):  # the latter is i-PI's, without a name
                mixing[pes_path] = False
        return Dummy_driver

    def keep_quiet(simulation: Simulation) -> None:
        for forcefield in simulation.fflist.values():
            forcefield.start = lambda: None

    outputs.open_backup = open_nothing
    initializer.init_file = read_once
    forcefields.load_pes = stand_in
    softexit.start = lambda *_: None
    said = io.StringIO()
    with open(path) as file, contextlib.redirect_stdout(said):
        simulation = Simulation.load_from_xml(
            file, custom_verbosity="low", post_init_hook=keep_quiet
        )
        _try_units(simulation)
    facts = _facts(simulation)
    facts["files"] = [*files, *_checkpoints(simulation)]
    facts["frames"] = frames
    facts["mixing"] = mixing
    facts["warnings"] = [
        line.removeprefix(" !W! ").strip()
        for line in said.getvalue().splitlines()
        if line.startswith(" !W! ")
    ]
    return facts


def _why_unreadable(file: str, error: Exception) -> str:
    """Why i-PI, or ASE for it, cannot read atoms from a file, which it opens as text."""
    with open(file, "rb") as stream:
        is_text = b"\0" not in stream.read(MiB) and not isinstance(error, UnicodeDecodeError)
    if not is_text:
        return "i-PI reads text only here: unpack or convert it to extended XYZ"
    if isinstance(error, AssertionError | UnboundLocalError):  # which say nothing to users
        return "i-PI does not know this format: convert it to extended XYZ"
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _try_units(simulation: Simulation) -> None:
    """Units and formats of outputs, which i-PI would look at when it first writes them."""
    system = simulation.syslist[0]
    for output in simulation.outputs:
        wanted = list(getattr(output, "outlist", [])) or [getattr(output, "what", None)]
        table = (
            system.properties.property_dict
            if isinstance(output, outputs.PropertyOutput)
            else system.trajs.traj_dict
        )
        for text in filter(None, wanted):
            key, unit, arguments, named = getall(text)
            if isinstance(output, outputs.PropertyOutput):
                _try_arguments(text, table[key]["func"], arguments, named, system.beads)
            if unit:
                unit_to_user(table[key].get("dimension", "undefined"), unit, 1.0)
        if isinstance(output, outputs.TrajectoryOutput):
            units = {getall(output.what)[1], output.cell_units} - {"", "automatic", "ase"}
            if output.format == "ase" and units:
                raise ValueError(
                    f"<trajectory filename='{output.filename}'> has format='ase' with units "
                    f"{', '.join(sorted(units))}: leave them away, and write cell_units='ase'"
                )
            unit_to_user("length", output.cell_units, 1.0)
            _get_io_function(output.format, "print")


def _try_arguments(text: str, function: Any, arguments: tuple, named: dict, beads: Any) -> None:
    """What stands in the parentheses of a property; of an atom that is not there it is NaN."""
    try:
        given = inspect.signature(function).bind(*arguments, **named).arguments
    except TypeError as error:
        raise ValueError(f"property '{text}': {error}") from None
    atom = str(given.get("atom", "")).strip()
    if not atom:
        return
    number = int(atom) if atom.lstrip("-").isdigit() else None
    if number is None and atom not in set(beads.names):
        raise ValueError(f"property '{text}': there is no atom {atom}")
    if number is not None and not -beads.natoms <= number < beads.natoms:
        raise ValueError(f"property '{text}': there are {beads.natoms} atoms, numbered from 0")


def _facts(simulation: Simulation) -> dict[str, Any]:
    system = simulation.syslist[0]
    beads = system.beads
    q = np.array(beads.q).reshape(beads.nbeads, -1, 3) * Bohr
    centroid = q.mean(axis=0)
    p, m3 = np.array(beads.p), np.array(beads.m3)
    kinetic = float(np.mean(p**2 / m3)) / beads.nbeads if beads.natoms else 0.0
    return {
        "systems": len(simulation.syslist),
        "step": simulation.step,
        "total_steps": simulation.tsteps,
        "safe_stride": simulation.safe_stride,
        "beads": beads.nbeads,
        "symbols": [str(name) for name in beads.names],
        "masses": (np.array(beads.m) * unit_to_user("mass", "dalton", 1.0)).tolist(),
        "positions": centroid.tolist(),
        "spread": float(np.linalg.norm(q - centroid, axis=2).max()),
        "cell": (np.array(system.cell.h).T * Bohr).tolist(),
        "temperature": _kelvin(system.ensemble.temp),
        "kinetic_temperature": _kelvin(kinetic),
        "motions": [_motion(motion) for motion in parts_of(system.motion)],
        "forces": [_force(force) for force in system.forces.fcomp],
        "forcefields": list(simulation.fflist),
        "active": {
            name: [int(n) for n in forcefield.active]
            for name, forcefield in simulation.fflist.items()
        },
        "strides": {output.filename: output.stride for output in simulation.outputs},
    }


def _motion(motion: Any) -> dict[str, Any]:
    thermostat = getattr(motion, "thermostat", None)
    tau = getattr(thermostat, "tau", None)
    return {
        "kind": type(motion).__name__,
        "mode": getattr(motion, "enstype", None),
        "timestep": _fs(motion.dt) if hasattr(motion, "dt") else None,
        "nmts": [int(n) for n in getattr(motion, "nmts", [])],
        "thermostat": type(thermostat).__name__ if thermostat is not None else None,
        "tau": _fs(tau) if tau is not None else None,
        "centroid_temperature": _centroid_temperature(thermostat),
        "fixed": [int(dof) for dof in motion.fixatoms_dof],
    }


def _centroid_temperature(thermostat: Any) -> float | None:
    """What covariances of an input of its own say, K; None if the ensemble's counts."""
    if not isinstance(thermostat, ThermoNMGLE):
        return None
    return _kelvin(np.array(thermostat.C)[0, 0, 0] / thermostat.nb)


def _force(force: Any) -> dict[str, Any]:
    return {
        "forcefield": force.ffield,
        "weight": float(force.weight),
        "mts_weights": [float(w) for w in force.mts_weights],
    }


def _checkpoints(simulation: Simulation) -> list[str]:
    return [
        output.filename
        for output in simulation.outputs
        if isinstance(output, outputs.CheckpointOutput)
    ]


def _fs(time: float) -> float:
    return float(unit_to_user("time", "femtosecond", float(time)))


def _kelvin(energy: float) -> float:
    return float(unit_to_user("temperature", "kelvin", float(energy)))


def limit(processor: int, memory: int) -> None:
    """Bound what this process may use, and what it may open.

    Parameters
    ----------
    processor : int
        s of a processor.
    memory : int
        Bytes.
    """
    sys.addaudithook(_open_no_pipes)
    try:
        import resource
    except ImportError:  # not a Unix
        return
    # mixpi.run.guardian.start has made this process deaf to the signal of that limit
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    for name, most in (("RLIMIT_CPU", processor), ("RLIMIT_AS", memory), ("RLIMIT_CORE", 0)):
        with contextlib.suppress(AttributeError, ValueError, OSError):  # another kind of Unix
            _, hard = resource.getrlimit(getattr(resource, name))
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(getattr(resource, name), (most, hard))


def _open_no_pipes(event: str, arguments: tuple) -> None:
    """i-PI would wait for ever for what nobody writes, and read without end what has none."""
    if event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    kind = special_kind(arguments[0])
    if kind and os.fsdecode(arguments[0]) not in HARMLESS:
        raise ValueError(f"{os.fsdecode(arguments[0])} is {kind}, no ordinary file")


def main() -> None:
    """Print what was found, as one line of JSON."""
    path = sys.argv[1]
    limit(*map(int, sys.argv[2:4]))
    result: dict[str, Any]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            found = complaints(path)
            few = [text[:LONGEST_COMPLAINT] for text in found[:MOST_COMPLAINTS]]
            result = {"complaints": few} if found else understood(path)
    except (Exception, SystemExit) as error:
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        if isinstance(error, SystemExit):  # i-PI has printed why
            text = (said.getvalue().strip().splitlines() or ["it ends without a word"])[-1]
        elif isinstance(error, MemoryError):
            text = f"it would need too much memory ({text or 'MemoryError'}): is one of its "
            text += "numbers (beads, lists of atoms) far too large?"
        elif not isinstance(error, ValueError) or not text:
            text = f"{type(error).__name__}: {text}".rstrip(": ")
        result = {"error": " ".join(text.split())[:2000]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
