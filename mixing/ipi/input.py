"""What mixpi must know of an i-PI input or RESTART: its mixing layer, its length."""

from __future__ import annotations

import difflib
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from ipi.utils.io.inputs.io_xml import read_dict
from ipi.utils.units import unit_to_internal, unit_to_user

from ..blend.levels import PARTS
from ..config import MixingConfig, load_config, without_quotes
from ..errors import MixpiError
from ..files.xml_files import parse_xml


#: What the mixing layer takes in <parameters>; "verbosity" is i-PI's own, in a RESTART.
PARAMETERS = ("config", "part", "verbose", "verbosity")
#: Characters.
LONGEST_PARAMETERS = 10_000
#: Digits of a whole number; those of a 64-bit integer, which is what arrays and counters hold.
LONGEST_NUMBER = 18
#: i-PI's kinds of outputs, and their names without a ``filename``.
OUTPUTS = {"properties": "out", "trajectory": "traj", "checkpoint": "restart"}
#: Modes of <dynamics> that change the cell.
BAROSTAT_MODES = {"npt", "nst", "scnpt"}
#: Modes of <dynamics> that need forces only, all beads at a time.
DYNAMICS_MODES = {"nve", "nvt", "nvt-cc"}
#: Modes of <motion> that need forces only.
MOTION_MODES = {"dynamics", "multi", "replay"}


@dataclass(frozen=True)
class MixingLayer:
    """A mixing layer of an i-PI input.

    Attributes
    ----------
    part : str
        What it computes (:data:`mixpi.blend.levels.PARTS`).
    name : str
        Of the force field, as ``<force>`` refers to it.
    pes_path : Path
        The file that its ``<ffdirect>`` names.
    batch_size : int
        Geometries that i-PI hands over together.
    threaded : bool
        Whether it hands over what is left of a batch after a while.
    """

    part: str
    name: str
    pes_path: Path
    batch_size: int
    threaded: bool = False


@dataclass(frozen=True)
class IpiInput:
    """An i-PI input with a mixing layer in it, or two: cheap forces and the correction.

    Attributes
    ----------
    path : Path
        The XML file; i-PI runs in its folder.
    root : Element
        The parsed file.
    layers : tuple of MixingLayer
        In the order of the file.
    config_path : Path
        The configuration that they name.
    config : MixingConfig
        The same, validated.
    """

    path: Path
    root: ElementTree.Element
    layers: tuple[MixingLayer, ...]
    config_path: Path
    config: MixingConfig

    @property
    def main(self) -> MixingLayer:
        """The layer that mixes: all forces, or the correction."""
        return next(layer for layer in self.layers if layer.part != "cheap")

    @property
    def part(self) -> str:
        """What that one computes."""
        return self.main.part

    @property
    def name(self) -> str:
        """Its name as a force field."""
        return self.main.name

    @property
    def pes_path(self) -> Path:
        """The file that its ``<ffdirect>`` names."""
        return self.main.pes_path

    @property
    def batch_size(self) -> int:
        """Geometries that i-PI hands over to it together."""
        return self.main.batch_size

    @property
    def pools(self) -> tuple[str, ...]:
        """The driver pools that the layers ask, cheapest first."""
        return self.config.pools(layer.part for layer in self.layers)

    @property
    def folder(self) -> Path:
        """Where i-PI runs."""
        return self.path.parent

    @property
    def total_steps(self) -> int:
        """Steps of the whole simulation."""
        return self._number("total_steps", 1000)

    @property
    def first_step(self) -> int:
        """Step that this run starts from; not 0 for a RESTART."""
        return self._number("step", 0)

    @property
    def beads(self) -> int:
        """Beads that the layer that mixes gets together: the contracted number, if it is one."""
        return self.beads_of(self.main)

    def beads_of(self, layer: MixingLayer) -> int:
        """Beads that a layer gets together."""
        for force in self.root.iter("force"):
            nbeads = force.get("nbeads")
            if force.get("forcefield", "").strip() == layer.name and nbeads:
                contracted = self._whole("nbeads='...' of <force>", nbeads)
                if contracted > 0:  # 0, i-PI's default, means all beads
                    return contracted
        return self.all_beads

    @property
    def all_beads(self) -> int:
        """Beads of the ring polymer."""
        node = self.root.find(".//initialize")
        if node is None:
            node = self.root.find(".//beads")
        if node is None:
            return 1
        return self._whole(f"nbeads='...' of <{node.tag}>", node.get("nbeads", "1"))

    @property
    def systems(self) -> int:
        """Number of <system> blocks, and of instances of templates."""
        instances = self.root.findall(".//system_template/instance")
        return len(self.root.findall("./system")) + len(instances)

    @property
    def motion_modes(self) -> list[str]:
        """Modes of all motions, of one that has parts its own before theirs."""
        return [node.get("mode", "dynamics").strip() for node in self.root.iter("motion")]

    @property
    def unsupported_motion(self) -> str | None:
        """The kind of motion that needs more than forces, if there is one."""
        for mode in self.motion_modes:
            if mode not in MOTION_MODES:
                return f"motion mode='{mode}'"
        for dynamics in self.root.iter("dynamics"):
            mode = dynamics.get("mode", "nve").strip()
            if mode not in DYNAMICS_MODES | BAROSTAT_MODES:
                return f"dynamics mode='{mode}'"
        return None

    @property
    def barostat(self) -> str | None:
        """The dynamics mode that would change the cell, if there is one."""
        for dynamics in self.root.iter("dynamics"):
            mode = dynamics.get("mode", "nve").strip()
            if mode in BAROSTAT_MODES:
                return mode
        return None

    @property
    def properties_files(self) -> list[Path]:
        """Where i-PI writes properties."""
        system = self.root.find("./system")
        own = system.get("prefix", "").strip() if system is not None else ""
        names = [name for kind, name in self.outputs if kind == "properties"]
        return [self.folder / (f"{own}_{name}" if own else name) for name in names]

    @property
    def checkpoint_names(self) -> list[str]:
        """Where i-PI writes its state now and then; it may add a number."""
        return [name for kind, name in self.outputs if kind == "checkpoint"]

    @property
    def outputs(self) -> list[tuple[str, str]]:
        """Kind (tag) and name of each output, without what i-PI adds: system, bead, ending."""
        found = []
        for output in self.root.iter("output"):
            prefix = output.get("prefix", "i-pi").strip()
            for node in output:
                if node.tag in OUTPUTS:
                    name = (node.get("filename") or OUTPUTS[node.tag]).strip()
                    found.append((node.tag, f"{prefix}.{name}" if prefix else name))
        return found

    def _number(self, tag: str, default: int) -> int:
        node = self.root.find(tag)
        return default if node is None else self._whole(f"<{tag}>", node.text or "")

    def _whole(self, what: str, text: str) -> int:
        return _whole_number(self.path, what, text)


def read_ipi_input(path: str | Path) -> IpiInput:
    """Read an i-PI input and the configuration of the mixing layer that it names.

    Parameters
    ----------
    path : path-like
        The XML file, or a RESTART.

    Returns
    -------
    IpiInput

    Raises
    ------
    MixpiError
        If the file is not readable XML, names no mixing layer or more than one, or
        the configuration is wrong.
    """
    path = Path(path)
    # links to shared inputs stay links: i-PI runs, and writes, beside the link
    path = path.parent.resolve() / path.name
    root = parse_xml(path, "the i-PI input")
    nodes = []
    for node in root.iter("ffdirect"):
        if (node.findtext("pes") or "").strip() == "custom":
            parameters = _parameters(path, node)
            if "config" in parameters:
                nodes.append((node, {name: str(value) for name, value in parameters.items()}))
    layers = tuple(_layer(path, *one) for one in nodes)
    _require_one_simulation(path, layers)
    names = dict.fromkeys(without_quotes(parameters["config"]) for _, parameters in nodes)
    if len(names) > 1:
        raise MixpiError(
            f"{path}: the mixing layers name {' and '.join(names)}: all of a simulation must name "
            "one configuration"
        )
    config_path = path.parent / next(iter(names))
    return IpiInput(
        path=path,
        root=root,
        layers=layers,
        config_path=config_path,
        config=load_config(config_path),
    )


def _layer(path: Path, node: ElementTree.Element, parameters: dict[str, str]) -> MixingLayer:
    part = without_quotes(parameters.get("part", "force"))
    if part not in PARTS:
        close = difflib.get_close_matches(part, PARTS, n=1)
        raise MixpiError(
            f"{path}: 'part: {part}' in <parameters>: a mixing layer computes one of "
            f"{', '.join(PARTS)}" + (f"; did you mean '{close[0]}'?" if close else "")
        )
    return MixingLayer(
        part=part,
        name=node.get("name", "").strip(),
        pes_path=path.parent / (node.findtext("pes_path") or "").strip(),
        batch_size=_whole_number(path, "<batch_size>", node.findtext("batch_size") or "1"),
        threaded=node.get("threaded", "").strip().lower() == "true",
    )


def _require_one_simulation(path: Path, layers: tuple[MixingLayer, ...]) -> None:
    """One layer for all forces, or one for the correction, with or without one for the cheap."""
    parts = sorted(layer.part for layer in layers)
    if parts in (["force"], ["delta"], ["cheap", "delta"]):
        return
    how = (
        "<ffdirect name='mix'><pes>custom</pes><pes_path>mixing_pes.py</pes_path>"
        "<parameters>{config: mixing.yaml}</parameters></ffdirect>, and <force forcefield='mix'/>"
    )
    if not layers:
        raise MixpiError(f"{path} names no mixing layer: it needs exactly one {how}")
    if parts == ["cheap"]:
        raise MixpiError(
            f"{path} has a mixing layer for the cheap forces (part: cheap) and none for the "
            "correction: add one with {config: mixing.yaml, part: delta}, or leave 'part' out"
        )
    raise MixpiError(
        f"{path} names more than one mixing layer ({', '.join(parts)}): it needs exactly one "
        f"{how}; or two, one with {{config: mixing.yaml, part: cheap}} and one with "
        "{config: mixing.yaml, part: delta}"
    )


def _parameters(path: Path, node: ElementTree.Element) -> dict:
    """``<parameters>`` of a custom force field, read as i-PI reads them."""
    text = " ".join((node.findtext("parameters") or "{}").split())
    if len(text) > LONGEST_PARAMETERS:
        raise MixpiError(f"{path}: <parameters> of {len(text)} characters: a file's name is enough")
    try:
        found = read_dict(text)
    except (ValueError, RecursionError):
        raise MixpiError(
            f"{path}: <parameters>{text[:200]}</parameters> is no dictionary to i-PI: write "
            "<parameters>{config: mixing.yaml}</parameters>"
        ) from None
    for name in found:
        close = difflib.get_close_matches(name, PARAMETERS, n=1)
        # a custom potential that is not ours has names of its own
        if name not in PARAMETERS and (close or "config" in found):
            raise MixpiError(
                f"{path}: unknown parameter '{name}' in <parameters>{text}</parameters>, which "
                "i-PI would skip in silence"
                + (f": did you mean '{close[0]}'?" if close else ": only 'config' is needed")
            )
    return found


def _whole_number(path: Path, what: str, text: str) -> int:
    text = text.strip()
    try:
        number = int(text) if len(text) <= LONGEST_NUMBER else None
    except ValueError:
        number = None
    if number is None:
        shown = text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"
        raise MixpiError(f"{path}: {what} must be a whole number, not {shown!r}")
    return number


def in_units(node: ElementTree.Element, family: str, unit: str) -> float | None:
    """The number in a tag of i-PI's, in another unit of its family; None if there is none."""
    try:
        value = float(node.text or "")
        internal = unit_to_internal(family, node.get("units", "atomic_unit").strip(), value)
    except (TypeError, ValueError, KeyError):
        return None
    return float(unit_to_user(family, unit, internal))
