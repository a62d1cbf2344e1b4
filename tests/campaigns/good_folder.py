"""A folder in which everything is in order, to be spoilt."""

from __future__ import annotations

import copy
import random
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from conftest import MODELS, PES, ROOT, command_driver, ipi_xml, silicon


POTENTIAL = [
    "pair_style hybrid/overlay uf3 3 zbl 1.153 1.922",
    "pair_coeff * * uf3 si-uf3.uf3 Si",
    "pair_coeff 1 1 zbl 14 14",
]


@dataclass
class Good:
    """The parts of a folder, before they are written.

    Attributes
    ----------
    config : dict
        mixing.yaml.
    xml : str
        input.xml.
    files : dict
        Name → text or bytes of further files.
    """

    config: dict[str, Any]
    xml: str
    files: dict[str, str | bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        folder.mkdir()
        atoms = silicon()
        atoms.write(folder / "init.extxyz")
        atoms.write(folder / "start.extxyz")
        (folder / "mixing_pes.py").write_text(PES)
        (folder / "input.xml").write_text(self.xml, encoding="utf-8")
        (folder / "mixing.yaml").write_text(yaml.safe_dump(self.config))
        sections = [s for s in self.config.values() if isinstance(s, dict)]
        if any("lammps" in section for section in sections):
            shutil.copy(ROOT / "ipi_inputs" / "potentials" / "si-uf3.uf3", folder)
        if any("mace" in section for section in sections):
            shutil.copy(MODELS / "si-tiny.model", folder)
        for name, content in self.files.items():
            content = content.encode("utf-8") if isinstance(content, str) else content
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)


def good(*, engines: bool) -> Good:
    """A sound folder: 64 silicon atoms, LAMMPS and MACE or toy drivers.

    i-PI reads ``start.extxyz``, the configuration names ``init.extxyz``: the same atoms.
    """
    tag = uuid.uuid4().hex[:10]
    config = {
        "structure": "init.extxyz",
        "seeds": [0, 5],
        "regions": {"core": 2.5, "blend": 2.0, "buffer": 3.0, "profile": "cubic"},
        "remove_net_force": True,
        "cheap": {"command": command_driver("zero"), "count": 1, "max_restarts": 2},
        "expensive": {"command": command_driver("toy"), "count": 2},
        "output": {"trajectory": "mix.extxyz", "stride": 10, "forces": False, "steps": "mix.steps"},
    }
    if engines:
        config["cheap"] = {"lammps": {"potential": list(POTENTIAL), "species": ["Si"]}}
        config["expensive"] = {"mace": {"model": "si-tiny.model", "threads": 1, "device": "cpu"}}
    for pool in ("cheap", "expensive"):
        config[pool]["socket"] = {"address": f"mixpi-c-{tag}-{pool}", "reply_deadline": 60.0}
    nvt = (
        "<dynamics mode='nvt'><timestep units='femtosecond'>1</timestep>"
        "<thermostat mode='langevin'><tau units='femtosecond'>100</tau></thermostat></dynamics>"
    )
    xml = ipi_xml(steps=5, dynamics=nvt).replace(">init.extxyz<", ">start.extxyz<")
    return Good(config, xml)


def leaves(config: dict, path: tuple = ()) -> list[tuple]:
    """The paths of all keys of a nested mapping."""
    found = []
    for key, value in config.items():
        found.append((*path, key))
        if isinstance(value, dict):
            found += leaves(value, (*path, key))
    return found


def put(config: dict, path: tuple | str, value: Any) -> dict:
    """A copy with one value set; ``...`` removes the key."""
    config = copy.deepcopy(config)
    *parents, last = path.split(".") if isinstance(path, str) else path
    node = config
    for name in parents:
        node = node.setdefault(name, {})
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return config


def misspelt(word: str, rng: random.Random) -> str:
    """A word with a letter doubled, lost or replaced."""
    at = rng.randrange(len(word))
    return rng.choice([word[:at] + word[at] + word[at:], word[:at] + "q" + word[at + 1 :]])
