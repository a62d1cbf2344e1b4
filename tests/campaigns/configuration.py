"""Broken folders: whatever is in them, ``mixpi check`` answers in words, soon, and runs nothing.

Every attempt is a good folder with one thing spoilt. Where it is known what the answer must
be, it is compared: what would fail or compute something else must be refused, what changes nothing
must be accepted. See the modules ``spoilt_*`` for what is tried.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from conftest import silicon

from . import spoilt_files, spoilt_structures, spoilt_xml, spoilt_yaml
from .campaign import Attempt, Campaign, Result
from .checked import MARK, check, judge
from .good_folder import Good, good, leaves, misspelt, put


#: The files of every folder.
TEXTS = ("input.xml", "mixing.yaml", "init.extxyz", "start.extxyz", "mixing_pes.py")
#: One kind of spoiling: draws what is done, and how that is tried in a folder.
Kind = Callable[[random.Random], tuple[str, Callable[[Path], Result]]]


def _tried(
    folder: Good,
    place: Path,
    accept: bool | None,
    *,
    after: Callable[[Path], None] | None = None,
    fast: bool = True,
    through: str = "fork",
    says: str = "",
    arguments: tuple[str, ...] = (),
) -> Result:
    folder.write(place / "case")
    if after is not None:
        after(place / "case")
    words = (*(["--fast"] if fast else []), *(arguments or ("input.xml",)))
    return judge(check(place, *words, through=through), accept=accept, says=says)


def _yaml_keys(rng: random.Random):
    folder = good(engines=rng.random() < 0.3)
    path = rng.choice(leaves(folder.config))
    name, how = ".".join(path), rng.choice(["removed", "misspelt", "of another type"])
    if how == "removed":
        folder.config = put(folder.config, path, ...)
        accept = False if name in spoilt_yaml.REQUIRED else None
    elif how == "misspelt":
        *parents, last = path
        value = folder.config
        for key in path:
            value = value[key]
        new = misspelt(last, rng)
        folder.config = put(put(folder.config, path, ...), (*parents, new), value)
        accept = False
    else:
        value = rng.choice(spoilt_yaml.STRANGE_VALUES)
        folder.config = put(folder.config, path, value)
        how, accept = f"{str(value)[:40]!r}", None
    return f"{name} {how}", lambda place: _tried(folder, place, accept)


def _yaml_values(rng: random.Random):
    path, value, accept = rng.choice(spoilt_yaml.VALUES)
    folder = good(engines=path.split(".")[1:2] in (["lammps"], ["mace"]))
    folder.config = put(folder.config, path, value)
    shown = str(value)[:60]
    return f"{path}: {shown}", lambda place: _tried(folder, place, accept)


def _yaml_text(rng: random.Random):
    name = rng.choice(list(spoilt_yaml.YAML_TEXTS))
    change, accept = spoilt_yaml.YAML_TEXTS[name]
    folder = good(engines=False)

    def spoil(case: Path) -> None:
        path = case / "mixing.yaml"
        path.write_bytes(change(path.read_text()))

    return name, lambda place: _tried(folder, place, accept, after=spoil)


def _xml_tags(rng: random.Random):
    folder = good(engines=False)
    tags = sorted(set(re.findall(r"<(\w+)", folder.xml)))
    tag, how = rng.choice(tags), rng.choice(["misspelt", "removed", "twice", "attribute"])
    pattern = re.compile(rf"<{tag}\b[^>]*/>|<{tag}\b.*?</{tag}>", re.DOTALL)
    accept: bool | None = None
    if how == "misspelt":
        new = misspelt(tag, rng)
        folder.xml = re.sub(rf"(</?){tag}\b", rf"\g<1>{new}", folder.xml)
        accept = False
    elif how == "removed":
        folder.xml = pattern.sub("", folder.xml, count=1)
        accept = False if tag in spoilt_xml.REQUIRED_TAGS else None
    elif how == "twice":
        folder.xml = pattern.sub(lambda m: m[0] + m[0], folder.xml, count=1)
        accept = False if tag in spoilt_xml.NOT_TWICE else None
    else:
        attribute = rng.choice(sorted(set(re.findall(r" (\w+)='", folder.xml))))
        tag, how = attribute, "misspelt, an attribute"
        # not in the XML declaration or the like: there is none
        folder.xml = re.sub(rf" {attribute}='", f" {misspelt(attribute, rng)}='", folder.xml)
        accept = False
    return f"{tag} {how}", lambda place: _tried(folder, place, accept)


def _xml_values(rng: random.Random):
    old, new, accept = rng.choice(spoilt_xml.XML_VALUES)
    folder = good(engines=False)
    assert old in folder.xml, old
    folder.xml = folder.xml.replace(old, new)
    return f"{old[:40]} → {new[:60]}", lambda place: _tried(folder, place, accept)


def _xml_text(rng: random.Random):
    name = rng.choice(list(spoilt_xml.XML_TEXTS))
    change, accept = spoilt_xml.XML_TEXTS[name]
    folder = good(engines=False)

    def spoil(case: Path) -> None:
        path = case / "input.xml"
        path.write_bytes(change(path.read_text()))

    return name, lambda place: _tried(folder, place, accept, after=spoil)


def _bytes_of_a_file(rng: random.Random):
    folder = good(engines=True)
    name = rng.choice(TEXTS)
    how = rng.choice(["cut", "flipped", "noise", "a block of zeros"])
    where, bits, noise = rng.random(), rng.randrange(1, 256), rng.randbytes(64)

    def spoil(case: Path) -> None:
        data = bytearray((case / name).read_bytes())
        at = int(where * len(data))
        if how == "cut":
            data = data[:at]
        elif how == "flipped":
            data[at] ^= bits
        else:
            data[at : at + 64] = noise if how == "noise" else bytes(64)
        (case / name).write_bytes(data)

    return f"{name} {how} at {where:.3f}", lambda place: _tried(folder, place, None, after=spoil)


def _structure(rng: random.Random):
    """The structure of the configuration against that of i-PI."""
    name = rng.choice(list(spoilt_structures.STRUCTURES))
    change, accept = spoilt_structures.STRUCTURES[name]
    both = rng.random() < 0.3 and name not in spoilt_structures.SAME_FOR_BOTH
    seed = rng.randrange(1000)

    def spoil(case: Path) -> None:
        atoms = silicon()
        with np.errstate(all="ignore"):
            changed = change(atoms, np.random.default_rng(seed))
        atoms = changed if isinstance(changed, Atoms) else atoms
        atoms.write(case / "init.extxyz")
        if both:
            atoms.write(case / "start.extxyz")

    # the same change in both files is another system, which may be in order
    verdict = accept if not both or (accept is False and name in spoilt_structures.NEVER) else None
    what = f"{name}{' in both files' if both else ''}"
    return what, lambda place: _tried(good(engines=False), place, verdict, after=spoil)


def _potential(rng: random.Random):
    name = rng.choice(list(spoilt_files.POTENTIALS))
    lines, accept = spoilt_files.POTENTIALS[name]
    folder, included = good(engines=True), rng.random() < 0.3
    before = folder.config["cheap"]["lammps"]["potential"]
    lines = [*before, *lines] if rng.random() < 0.5 or accept else [*lines, *before]
    if included:
        folder.files["their.in"] = "\n".join(lines)
        lines = ["include their.in"]
    folder.config = put(folder.config, "cheap.lammps.potential", lines)
    # what is accepted is given to LAMMPS; the model is not what this is about
    folder.config = put(folder.config, "expensive", good(engines=False).config["expensive"])
    what = f"{name}{', included' if included else ''}"
    return what, lambda place: _tried(folder, place, accept, fast=False)


def _kind_of_file(rng: random.Random):
    folder = good(engines=True)
    name = rng.choice([*TEXTS, "si-tiny.model", "si-uf3.uf3"])
    how = rng.choice(list(spoilt_files.KINDS_OF_FILE))
    if how == "unreadable" and os.geteuid() == 0:
        how = "a pipe"  # root may read everything

    def spoil(case: Path) -> None:
        (case / name).unlink()
        spoilt_files.KINDS_OF_FILE[how](case / name)

    # a potential or a model that is an ordinary file is looked into by its program
    full = name in ("si-tiny.model", "si-uf3.uf3") and how in spoilt_files.ORDINARY
    return f"{name} is {how}", lambda place: _tried(
        folder, place, False, after=spoil, fast=not full
    )


def _model(rng: random.Random):
    """What is refused by its hash is not loaded; what is loaded in any case may be refused."""
    folder = good(engines=True)
    folder.config = put(folder.config, "cheap", good(engines=False).config["cheap"])
    how = rng.choice(list(spoilt_files.BROKEN_MODELS))
    change, accept, hashed = spoilt_files.BROKEN_MODELS[how]
    where = rng.random()
    digest = spoilt_files.hash_of_the_model()
    if hashed:
        folder.config = put(folder.config, "expensive.mace.sha256", digest)

    def spoil(case: Path) -> None:
        path = case / "si-tiny.model"
        path.write_bytes(change(path.read_bytes(), where))

    fast = hashed and accept is False and rng.random() < 0.5
    what = f"{how} at {where:.2f}{', with a hash' if hashed else ''}"
    return what, lambda place: _tried(folder, place, accept, after=spoil, fast=fast)


def _commands(rng: random.Random):
    command, accept = rng.choice(spoilt_files.COMMANDS)
    folder = good(engines=False)
    pool = rng.choice(["cheap", "expensive"])
    folder.config = put(folder.config, f"{pool}.command", command)
    return f"{pool}: {command[:60]!r}", lambda place: _tried(folder, place, accept)


def _shadows(rng: random.Random):
    """Files named like modules or programs, where they are looked for by careless Pythons."""
    folder = good(engines=True)
    names = rng.sample(spoilt_files.SHADOWS, 4)
    for name in names:
        folder.files[name] = spoilt_files.leaves_a_mark()
    programs = rng.random() < 0.5

    def spoil(case: Path) -> None:
        if programs:
            for name in ("lmp", "i-pi", "mixpi", "python", "mpirun"):
                if (case / name).is_dir():
                    continue
                (case / name).write_text(f"#!/bin/sh\ntouch {MARK}\n")
                (case / name).chmod(0o755)

    what = f"{', '.join(names)}{', programs' if programs else ''}"
    return what, lambda place: _tried(
        folder, place, True, after=spoil, fast=False, through="program"
    )


def _good(rng: random.Random):
    """Nothing is spoilt: a check that refused everything would pass all else."""
    engines = rng.random() < 0.5
    beads = rng.choice([1, 4])
    folder = good(engines=engines)
    if beads > 1:
        folder.xml = folder.xml.replace("nbeads='1'", f"nbeads='{beads}'").replace(
            "</ffdirect>", f"<batch_size>{beads}</batch_size></ffdirect>"
        )
    what = f"{'engines' if engines else 'toys'}, {beads} beads"
    return what, lambda place: _tried(
        folder, place, True, fast=not engines, through=rng.choice(["fork", "program"])
    )


def _arguments(rng: random.Random):
    """What is given on the command line instead of an input."""
    name = rng.choice(spoilt_files.ARGUMENTS)
    folder = good(engines=False)

    def spoil(case: Path) -> None:
        os.mkfifo(case / "pipe")
        (case / "folder").mkdir()
        (case / "loop").symlink_to("loop")

    return f"{name[:60]!r}", lambda place: _tried(
        folder, place, False, after=spoil, arguments=(name,), through="program"
    )


KINDS: dict[str, Kind] = {
    "keys of the YAML": _yaml_keys,
    "values of the YAML": _yaml_values,
    "text of the YAML": _yaml_text,
    "tags of the XML": _xml_tags,
    "values of the XML": _xml_values,
    "text of the XML": _xml_text,
    "bytes of a file": _bytes_of_a_file,
    "structure": _structure,
    "potential": _potential,
    "kind of a file": _kind_of_file,
    "model": _model,
    "commands": _commands,
    "files named like modules": _shadows,
    "arguments": _arguments,
    "in order": _good,
}


def _attempts(rng: random.Random) -> Iterator[Attempt]:
    while True:
        for kind, draw in KINDS.items():
            what, run = draw(rng)
            yield Attempt(kind, what, run)


CAMPAIGN = Campaign("configuration", _attempts)
