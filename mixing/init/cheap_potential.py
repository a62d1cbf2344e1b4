"""A potential for LAMMPS in the forms in which people have it → lines and files for a folder."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ase.data import chemical_symbols

from ..drivers.lammps import potential_folders
from ..drivers.lammps_potential import read_lines
from ..drivers.lammps_species import NAMES
from ..errors import MixpiError
from ..files.user_files import MiB, read_text
from ..files.yaml_files import parse_yaml


#: Bytes of a file of LAMMPS lines, or a report; what the lines name may be larger.
LARGEST = 64 * MiB


@dataclass(frozen=True)
class CheapPotential:
    """A potential that can be copied into a folder.

    Attributes
    ----------
    lines : list of str
        pair_style, pair_coeff and what belongs to them; files by their names in the
        folder.
    species : list of str or None
        Chemical symbols in the order of LAMMPS's atom types, if they are known.
    files : dict of str to Path
        Name in the folder → the file to copy.
    notes : list of str
        What deserves to be said about it.
    """

    lines: list[str]
    species: list[str] | None
    files: dict[str, Path]
    notes: list[str]


@dataclass(frozen=True)
class _Source:
    """Lines with the folder that names in them are relative to."""

    lines: list[str]
    folder: Path
    species: list[str] | None = None
    notes: tuple[str, ...] = ()
    is_lines: bool = False


def read_potential(
    given: str | Sequence[str], *, species: Sequence[str] | None = None, taken: Iterable[str] = ()
) -> CheapPotential:
    """Read a cheap potential, with the files that it names.

    Parameters
    ----------
    given : str or sequence of str
        Each a file or a line. Files: the report of ``mixpi distil`` (``.json`` or
        ``.md``), a YAML file with ``cheap: lammps:`` or of ``mixpi distil``, or any
        file of LAMMPS lines, such as those that LAMMPS input ``include``. Lines:
        ``pair_style ...``, ``pair_coeff ...``. What they name is looked for beside the
        file with the lines, in the current folder, among LAMMPS's own potentials.
    species : sequence of str, optional
        Chemical symbols in the order of LAMMPS's atom types (default: what the file
        says, or the names at the end of ``pair_coeff * *``).
    taken : iterable of str
        Names that files in the folder must not have.

    Returns
    -------
    CheapPotential

    Raises
    ------
    MixpiError
        If a file is missing or is not understood, or a line is no part of a
        potential.
    """
    items = [given] if isinstance(given, str) else list(given)
    sources: list[_Source] = []
    for source in (_read(item) for item in items if item.strip()):
        if sources and source.is_lines and sources[-1].is_lines:
            sources[-1].lines.extend(source.lines)  # one line each: they belong together
        else:
            sources.append(source)
    files: dict[str, Path] = {}
    names = _Names(taken, files)
    lines = [line for source in sources for line in _localised(source, names)]
    if not any(line.split()[0] == "pair_style" for line in lines):
        raise MixpiError(
            f"potential: no pair_style line in {' '.join(map(repr, items)) or 'nothing'}: give a "
            "report of mixpi distil, a file with LAMMPS lines, or the lines themselves"
        )
    said = [source.species for source in sources if source.species]
    known = list(species) if species else (said[0] if said else _species_named_in(lines))
    wrong = [symbol for symbol in known or () if symbol not in chemical_symbols]
    if wrong:
        raise MixpiError(f"potential: species: {wrong[0]!r} is no chemical symbol")
    return CheapPotential(lines, known, files, [note for s in sources for note in s.notes])


def local_name(path: Path, taken: Iterable[str]) -> str:
    """A plain name for a copy of a file: no spaces or the like, a suffix, not taken."""
    name = re.sub(r"[^A-Za-z0-9._+-]", "_", path.name).lstrip(".-") or "file"
    stem, dot, suffix = name.partition(".")
    suffix = dot + suffix or ".potential"
    number, found = 1, stem + suffix
    while found in taken:
        number += 1
        found = f"{stem}-{number}{suffix}"
    return found


class _Names:
    """Names in the folder, one for each file."""

    def __init__(self, taken: Iterable[str], files: dict[str, Path]) -> None:
        self._taken, self._files = set(taken), files

    def of(self, path: Path) -> str:
        path = path.resolve()
        for name, original in self._files.items():
            if original == path:
                return name
        name = local_name(path, self._taken | set(self._files))
        self._files[name] = path
        return name


def _read(item: str) -> _Source:
    """A file by its kind, or lines."""
    places = (Path("."), *potential_folders())
    try:
        path = next((place / item for place in places if (place / item).is_file()), None)
    except (OSError, ValueError):  # several lines are too long for a name
        path = None
    if path is None:
        if len(item.split()) < 2 or item.endswith((".json", ".md", ".yaml", ".yml")):
            raise MixpiError(f"potential: {item} is neither a file nor a LAMMPS line")
        return _Source([item], Path("."), is_lines=True)
    text = read_text(path, "potential", largest=LARGEST)
    if path.suffix == ".json":
        return _from_report(path, text)
    if path.suffix == ".md":
        blocks = re.findall(r"```ya?ml\n(.*?)```", text, flags=re.S)
        for block in blocks:
            if "lammps:" in block:
                return _from_yaml(path, block)
        raise MixpiError(f"potential: {item} holds no YAML block with 'cheap: lammps:'")
    if path.suffix in (".yaml", ".yml"):
        return _from_yaml(path, text)
    return _Source(text.splitlines(), path.parent)


def _from_report(path: Path, text: str) -> _Source:
    try:
        report = json.loads(text)
        lines, species = list(report["lammps"]), list(report["species"])
    except (ValueError, TypeError, KeyError):
        raise MixpiError(
            f"potential: {path} is no report of mixpi distil ('lammps' and 'species' in JSON)"
        ) from None
    notes = []
    if report.get("usable") is False:
        notes.append(f"warning: {path} says that this potential should not be used")
    return _Source(lines, path.parent, species, tuple(notes))


def _from_yaml(path: Path, text: str) -> _Source:
    data = parse_yaml(text, f"potential: {path}")
    data = data if isinstance(data, dict) else {}
    if "basis" in data and "name" in data:
        report = path.parent / str(data.get("output") or ".") / f"{data['name']}.json"
        if not report.is_file():
            raise MixpiError(
                f"potential: {path} is an input of mixpi distil, and its report {report} is not "
                f"there: run 'mixpi distil {shlex.quote(str(path))}' first"
            )
        return _from_report(report, report.read_text())
    for key in ("cheap", "lammps"):
        data = data[key] if isinstance(data.get(key), dict) else data
    lines = data.get("potential")
    if not isinstance(lines, list) or not lines:
        raise MixpiError(
            f"potential: {path} has no 'cheap: lammps: potential:' with LAMMPS lines in it"
        )
    left = sorted({"executable", "launch", "arguments"} & set(data))
    notes = [f"warning: {', '.join(left)} of {path} not carried over"] if left else []
    return _Source([str(line) for line in lines], path.parent, data.get("species"), tuple(notes))


def _localised(source: _Source, names: _Names) -> list[str]:
    """The lines with files by their local names, and included files in their place."""
    found: list[str] = []
    lines = read_lines(source.lines, source.folder, [Path("."), *potential_folders()])
    # names of elements and of pair styles, though there may be files called so
    spoken = NAMES | {
        word.text
        for line in lines
        if line.command == "pair_style"
        for word in line.words
        if "." not in word.text
    }
    for line in lines:
        words = [word.text for word in line.words]
        if words == ["units", "metal"]:
            continue  # mixpi's own input says so
        if words[0] == "units":
            raise MixpiError(
                f"potential: the line '{line.text.strip()}' does not fit: mixpi computes in metal "
                "units"
            )
        text = line.text
        for word in reversed(line.words[1:]):
            if word.file is not None and word.text not in spoken:
                if word.file.is_dir():
                    raise MixpiError(
                        f"potential: {word.text} of the line '{line.text.strip()}' is a folder: "
                        "only files are copied"
                    )
                text = f"{text[: word.begin]}{names.of(word.file)}{text[word.end :]}"
        found.append(" ".join(text.split()))
    return found


def _species_named_in(lines: list[str]) -> list[str] | None:
    """The elements at the end of ``pair_coeff * *`` lines; NULL where another line has one."""
    named: list[str] = []
    for line in lines:
        words = line.split()
        if words[:3] != ["pair_coeff", "*", "*"]:
            continue
        tail: list[str] = []
        while words[-1] in NAMES:
            tail.insert(0, words.pop())
        if not tail:
            continue
        named = named or ["NULL"] * len(tail)
        if len(tail) != len(named):
            return None
        named = [old if new == "NULL" else new for old, new in zip(named, tail, strict=True)]
    sound = named and "NULL" not in named and len(set(named)) == len(named)
    return named if sound else None
