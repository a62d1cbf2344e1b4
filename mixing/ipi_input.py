"""What mixpi must know of an i-PI input or RESTART: its mixing layer, its length."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from .config import MixingConfig, load_config
from .errors import MixpiError


#: Modes of <dynamics> that change the cell.
BAROSTAT_MODES = {"npt", "nst", "scnpt"}


@dataclass(frozen=True)
class IpiInput:
    """An i-PI input with a mixing layer in it.

    Attributes
    ----------
    path : Path
        The XML file; i-PI runs in its folder.
    root : Element
        The parsed file.
    pes_path, config_path : Path
        The two files that the mixing layer's ``<ffdirect>`` names.
    config : MixingConfig
        The latter, validated.
    """

    path: Path
    root: ElementTree.Element
    pes_path: Path
    config_path: Path
    config: MixingConfig
    batch_size: int

    @property
    def folder(self) -> Path:
        """Where i-PI runs."""
        return self.path.parent

    @property
    def total_steps(self) -> int:
        """Steps of the whole simulation."""
        return int(self._text("total_steps", "1000"))

    @property
    def first_step(self) -> int:
        """Step that this run starts from; not 0 for a RESTART."""
        return int(self._text("step", "0"))

    @property
    def beads(self) -> int:
        """Beads (or images) that are evaluated together."""
        node = self.root.find(".//initialize")
        if node is None:
            node = self.root.find(".//beads")
        return int(node.get("nbeads", "1")) if node is not None else 1

    @property
    def systems(self) -> int:
        """Number of <system> blocks and templates."""
        return len(self.root.findall(".//system"))

    @property
    def barostat(self) -> str | None:
        """The dynamics mode that would change the cell, if there is one."""
        for dynamics in self.root.iter("dynamics"):
            mode = dynamics.get("mode", "nve").strip()
            if mode in BAROSTAT_MODES:
                return mode
        return None

    @property
    def structure_file(self) -> tuple[Path, str] | None:
        """The file that positions are read from, and its format; None for a RESTART."""
        for node in self.root.iterfind(".//initialize/file"):
            name = (node.text or "").strip()
            mode = node.get("mode", "").strip()
            if mode in ("ase", "xyz", "pdb"):
                return self.folder / name, mode
        return None

    @property
    def properties_file(self) -> Path | None:
        """Where i-PI writes its properties, None if it does not."""
        node = self.root.find(".//output")
        properties = node.find("properties") if node is not None else None
        if properties is None:
            return None
        prefix = node.get("prefix", "i-pi").strip()
        return self.folder / f"{prefix}.{properties.get('filename', 'out').strip()}"

    def _text(self, tag: str, default: str) -> str:
        node = self.root.find(tag)
        return (node.text or default).strip() if node is not None else default


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
    path = Path(path).resolve()
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise MixpiError(f"cannot read the i-PI input {path}: {error.strerror}") from None
    except ElementTree.ParseError as error:
        raise MixpiError(f"{path} is not valid XML: {error}") from None
    layers = []
    for node in root.iter("ffdirect"):
        parameters = node.findtext("parameters") or ""
        found = re.search(r"config\s*:\s*([^,}]+)", parameters)
        if (node.findtext("pes") or "").strip() == "custom" and found:
            layers.append((node, found.group(1).strip()))
    if len(layers) != 1:
        raise MixpiError(
            f"{path} names {'more than one' if layers else 'no'} mixing layer: it needs exactly "
            "one <ffdirect name='mix'><pes>custom</pes><pes_path>mixing_pes.py</pes_path>"
            "<parameters>{config: mixing.yaml}</parameters></ffdirect>, and "
            "<force forcefield='mix'/>"
        )
    node, config_name = layers[0]
    config_path = path.parent / config_name
    return IpiInput(
        path=path,
        root=root,
        pes_path=path.parent / (node.findtext("pes_path") or "").strip(),
        config_path=config_path,
        config=load_config(config_path),
        batch_size=int((node.findtext("batch_size") or "1").strip()),
    )
