"""No output may be an input, a device, or somewhere that nobody has asked for.

Outputs of older runs are put aside by renaming them. That must not happen to the structure,
a potential or ``/dev/null`` because a name was mistyped.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from ..blend.levels import POOLS
from ..config import MixingConfig
from ..errors import MixpiError
from ..files.names import LONGEST_NAME
from ..files.user_files import special_kind
from ..ipi.input import IpiInput, read_ipi_input
from ..output.frames import bead_paths
from ..regions.seed_config import SeedsConfig


#: How messages call it.
THE_INPUT = "the i-PI input"
#: Files of one folder that a driver may read.
MOST_FILES = 200
#: Names beside the input that i-PI and mixpi write themselves.
RESERVED = ("RESTART", "EXIT", "mixpi.failure", "mixpi.load.json", "mixpi.report.json", "logs")


def require_safe_outputs(
    outputs: Iterable[tuple[str, str]],
    inputs: dict[Path, str],
    folder: Path,
    reserved: Iterable[str] = RESERVED,
) -> None:
    """Refuse names of outputs that would do harm.

    A relative name must stay in the folder; an absolute one, or a link that is there, is
    the way to ask for another place.

    Parameters
    ----------
    outputs : iterable of (str, str)
        The name as it was given, and how messages call it.
    inputs : dict of Path to str
        Files that the run reads → how messages call them.
    folder : Path
        That relative names are in.
    reserved : iterable of str
        Further names in the folder that are taken.

    Raises
    ------
    MixpiError
        If an output is an input, by name or through a link, or another output; a folder, a
        device or a pipe; in another place that was not asked for; or too long a name.
    """
    taken = {_identity(path): what for path, what in inputs.items()}
    written: dict[object, str] = {}
    for name in reserved:
        if kind := special_kind(folder / name):
            raise MixpiError(f"{folder / name} is {kind}, and a run writes a file of that name")
        what = taken.get(_identity(folder / name), THE_INPUT)
        if what != THE_INPUT:  # a RESTART that is continued is replaced once there is a newer one
            raise MixpiError(
                f"{name} is {what}, but a run writes a file of that name: give it another name"
            )
        written[_identity(folder / name)] = f"{name}, which i-PI writes"
    for name, what in outputs:
        path = folder / name
        if len(os.fsencode(path.name)) > LONGEST_NAME:
            raise MixpiError(
                f"{what} is {name[:40]}..., but a file's name has {LONGEST_NAME} bytes at most"
            )
        identity = _identity(path)
        if identity in taken:
            raise MixpiError(
                f"{what} is {name}, which is {taken[identity]}: it would be overwritten. Give the "
                "output another name"
            )
        if identity in written:
            raise MixpiError(
                f"{what} is {name}, but that is the name of {written[identity]}: give one of them "
                "another name"
            )
        if os.path.isdir(path) or not os.path.isdir(path.parent):
            state = "is a folder" if os.path.isdir(path) else "is in a folder that does not exist"
            raise MixpiError(f"{what} is {name}, which {state}")
        if kind := special_kind(path):
            raise MixpiError(
                f"{what} is {name}, which is {kind}, not a file: give it the name of a file"
            )
        if not os.path.isabs(name) and Path(os.path.normpath(name)).parts[:1] == ("..",):
            raise MixpiError(
                f"{what} is {name}, which is outside of {folder}: if that is meant, write the "
                f"whole path, {os.path.normpath(path.absolute())}"
            )
        written[identity] = what


def own_outputs(config: MixingConfig, beads: int, config_name: str) -> list[tuple[str, str]]:
    """The files that the mixing layer writes, for :func:`require_safe_outputs`."""
    output = config.output
    frames = bead_paths(output.trajectory, beads) if output.trajectory else []
    named = [*(("trajectory", str(path)) for path in frames), ("steps", output.steps)]
    return [(name, f"output.{key} of {config_name}") for key, name in named]


def inputs_of(config: MixingConfig, home: Path) -> dict[Path, str]:
    """The files that a configuration names → how messages call them.

    Parameters
    ----------
    config : MixingConfig
        The configuration.
    home : Path
        Its folder.
    """
    found = {home / config.structure: "the structure"}
    if isinstance(config.seeds, SeedsConfig):
        for word in config.seeds.inputs(home):
            if os.path.isfile(home / word):
                found.setdefault(home / word, "a file of the seeds")
    for pool in POOLS:
        driver = getattr(config, pool)
        if driver is None:
            continue
        for word in [driver.socket.token or "", *driver.driver.inputs(home)]:
            for path in _files_of(home / word, home):
                found.setdefault(path, f"a file of the {pool} driver")
    return found


def _files_of(path: Path, home: Path) -> Iterator[Path]:
    """A file, or those in a folder, such as a potential that consists of several."""
    if path.is_file():
        yield path
    elif path.is_dir() and not home.resolve().is_relative_to(path.resolve()):
        files = list(islice((one for one in path.rglob("*") if one.is_file()), MOST_FILES + 1))
        yield from sorted(files) if len(files) <= MOST_FILES else ()


def inputs_of_run(ipi_input: IpiInput) -> dict[Path, str]:
    """The files that a whole run reads, as far as its i-PI input names them."""
    return {
        **inputs_of(ipi_input.config, ipi_input.config_path.parent),
        ipi_input.path: THE_INPUT,
        ipi_input.config_path: "the configuration",
        **{layer.pes_path: "the pes_path" for layer in ipi_input.layers},
        **{ipi_input.folder / name: "a file that i-PI reads" for name in _read_by_ipi(ipi_input)},
    }


def continued_checkpoint(ipi_input: IpiInput) -> str | None:
    """The name of the checkpoint that is both the input and, later, an output of a run.

    i-PI goes on from it and replaces it once there is a newer one; that is as it should be.
    """
    if ipi_input.root.find("./system/beads") is None:
        return None
    names = ipi_input.checkpoint_names
    return next((name for name in names if ipi_input.folder / name == ipi_input.path), None)


def check_plain_start(config: MixingConfig, config_path: Path) -> None:
    """Look at the outputs where ``i-pi`` was started by hand, before it opens any.

    Raises
    ------
    MixpiError
        As :func:`require_safe_outputs`.
    """
    ipi_input = _input_of_this_process(config_path)
    if ipi_input is None:  # a script of somebody's own
        inputs = {**inputs_of(config, config_path.parent), config_path: "the configuration"}
        require_safe_outputs(own_outputs(config, 1, config_path.name), inputs, Path())
        return
    inputs = inputs_of_run(ipi_input)
    ours = own_outputs(config, ipi_input.beads, config_path.name)
    require_safe_outputs(ours, inputs, ipi_input.folder)
    continued = continued_checkpoint(ipi_input)
    what = f"an output of {ipi_input.path.name}"
    theirs = [(name, what) for name in _clashes(ipi_input, inputs) if name != continued]
    require_safe_outputs(theirs, inputs, ipi_input.folder)


def _input_of_this_process(config_path: Path) -> IpiInput | None:
    for word in sys.argv[1:]:
        if os.path.isfile(word):
            try:
                found = read_ipi_input(word)
            except MixpiError:  # an option's argument, or an input in i-PI's other format
                continue
            if found.config_path.exists() and found.config_path.samefile(config_path):
                return found
    return None


def _clashes(ipi_input: IpiInput, inputs: dict[Path, str]) -> Iterator[str]:
    """Names of i-PI's outputs that may be inputs; the rest is looked at by ``mixpi check``."""
    for kind, name in ipi_input.outputs:
        yield name
        if kind == "trajectory":
            pattern = re.compile(re.escape(Path(name).name) + r"_\d+(\.\w+)?")
            for path in inputs:
                if pattern.fullmatch(path.name):
                    yield str(Path(name).with_name(path.name))


def _read_by_ipi(ipi_input: IpiInput) -> list[str]:
    nodes = ipi_input.root.iterfind(".//initialize/*")
    modes = ("ase", "xyz", "pdb", "chk", "binary", "json")
    return [(node.text or "").strip() for node in nodes if node.get("mode", "").strip() in modes]


def _identity(path: Path) -> object:
    """What a name stands for: the same for all links to a file."""
    try:
        status = path.stat()
    except OSError:
        return path.resolve()
    return status.st_dev, status.st_ino
