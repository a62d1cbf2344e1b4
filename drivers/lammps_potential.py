"""The LAMMPS lines of a potential: read as LAMMPS reads them, their files brought near.

LAMMPS cuts what it reads at ``#``, replaces ``$x`` and ends words at spaces, also within
the path of a file. Hence it never sees a path: each file is linked under a plain name
into the folder where LAMMPS runs.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import MixpiError
from ..files.user_files import MiB, read_text, require_file, special_kind
from .lammps_commands import (
    IMMEDIATE,
    VARIABLES,
    is_left_out,
    require_harmless,
    require_unambiguous,
)


#: As LAMMPS splits a line: quotes count at the start of a word only.
_WORD = re.compile(
    r'"""(?P<triple>.*?)"""|"(?P<double>[^"]*)"|\'(?P<single>[^\']*)\''
    rf"|(?P<bare>(?:{IMMEDIATE}|\S)+)",
    re.DOTALL,
)
_PLAIN = re.compile(r"[A-Za-z0-9._+-]+")
#: Names that mixpi itself gives in the folder where LAMMPS runs.
_OURS = re.compile(r"lammps\..*|log\..*|output\.log|.*\.dump")
#: What can only be a file: no number, no formula, and with an ending.
_FILE_NAME = re.compile(r"[^=;^()*$\"]*\.[A-Za-z][\w-]*")
#: Their arguments look like files: formulas, names of models.
_NO_FILES = ("lepton", "kim")
#: ``eam/alloy``, which may be the path of a file too.
_STYLE = re.compile(r"[a-z0-9]+(/[a-z0-9]+)+")
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w)")
_IMMEDIATE = re.compile(IMMEDIATE)
#: Bytes of a file of LAMMPS lines, characters of a line, files within files: what is more is no
#: potential.
LARGEST, LONGEST, DEEPEST = 1 * MiB, 4000, 20
#: Bytes of a file that LAMMPS reads, which takes it minutes for more.
LARGEST_DATA = 2048 * MiB
#: Stands for a number that only LAMMPS can compute.
SOME_NUMBER = "?"


@dataclass(frozen=True)
class Word:
    """One word of a line.

    Attributes
    ----------
    text : str
        Without quotes, variables replaced.
    begin, end : int
        Where it stands in the line.
    file : Path or None
        The file (or folder) that it names.
    """

    text: str
    begin: int
    end: int
    file: Path | None = None


@dataclass(frozen=True)
class Line:
    """One command.

    Attributes
    ----------
    text : str
        The command as written, without comment and continuation.
    words : tuple of Word
    style : str
        The pair_style, or its part that a pair_coeff of a hybrid is for; "" before any.
    first : int
        Index of the first word behind command, types, style and its number.
    """

    text: str
    words: tuple[Word, ...]
    style: str = ""
    first: int = 1

    @property
    def command(self) -> str:
        """The first word."""
        return self.words[0].text

    @property
    def part(self) -> tuple[str, ...]:
        """Which part of a hybrid style a pair_coeff is for: its name and number."""
        return tuple(word.text for word in self.words[3 : self.first])

    @property
    def has_formula(self) -> bool:
        """Whether it defines a potential or a variable by a formula."""
        if self.command == "pair_coeff":
            return self.style.startswith("lepton")
        return self.command == "variable" and self.arguments[1:2] == ["equal"]

    @property
    def arguments(self) -> list[str]:
        """What a pair_coeff says about its types, or any other command."""
        return [word.text for word in self.words[self.first :]]


def read_lines(potential: Sequence[str], folder: Path, others: Sequence[Path] = ()) -> list[Line]:
    """The commands of a potential, with those of ``include`` files in their place.

    Lines that only say how a run goes or what it prints are left out.

    Parameters
    ----------
    potential : sequence of str
        LAMMPS lines, as in the configuration; ``&`` continues one.
    folder : Path
        Where files are looked for first; of the lines in an included file it is the
        folder of that file.
    others : sequence of Path
        Folders where they are looked for then.

    Returns
    -------
    list of Line

    Raises
    ------
    MixpiError
        If a file is missing, or includes itself, or a line is no part of a potential.
    """
    reader = _Reader(others)
    found = reader.read("\n".join(potential), folder)
    lines = [line for line in found if not is_left_out(line)]
    for line in lines:
        require_harmless(line)
        _require_files(line, reader.searched)
    return lines


def linked(lines: Sequence[Line], target: Path) -> list[str]:
    """Bring the files into a folder, and name them there in the lines.

    Parameters
    ----------
    lines : sequence of Line
        Of :func:`read_lines`.
    target : Path
        The folder where LAMMPS runs. Files get links (copies, where there are none);
        nothing but earlier links is replaced.

    Returns
    -------
    list of str
        The lines for LAMMPS.
    """
    names: dict[Path, str] = {}
    taken = {word.text for line in lines for word in line.words}
    written = []
    for line in lines:
        text = line.text
        for word in reversed(line.words[1:]):
            if word.file is None:
                continue
            if word.file not in names:
                names[word.file] = _bring(word, word.file, target, names.values(), taken)
            name = names[word.file]
            if name != word.text:
                slash = "/" * word.text.endswith("/")
                text = f"{text[: word.begin]}{name}{slash}{text[word.end :]}"
        written.append(require_unambiguous(text, formula=line.has_formula))
    return written


class _Reader:
    """Follows includes and variables through the lines."""

    def __init__(self, others: Sequence[Path]) -> None:
        self._others = tuple(others)
        self._variables: dict[str, str] = {}
        self._style: list[str] = [""]
        self._open: list[Path] = []
        #: Where the files of the lines read so far may lie.
        self.searched: list[Path] = []

    def read(self, text: str, folder: Path) -> Iterator[Line]:
        for place in (folder, *self._others):
            if place not in self.searched:
                self.searched.append(place)
        for command in _commands(text):
            line = self._line(command, folder)
            if line is None:
                continue
            if line.command == "include" and len(line.words) == 2:
                yield from self._include(line.words[1], folder)
                continue
            if line.command == "variable":
                self._define([word.text for word in line.words[1:]])
            yield line

    def _include(self, word: Word, folder: Path) -> Iterator[Line]:
        if word.file is None:
            raise _missing(word.text, self.searched)
        path = Path(os.path.abspath(word.file))
        if path in self._open or len(self._open) > DEEPEST:
            raise MixpiError(f"potential file {path} includes itself")
        self._open.append(path)
        yield from self.read(read_text(path, "potential file", largest=LARGEST), path.parent)
        self._open.pop()

    def _line(self, command: str, folder: Path) -> Line | None:
        words, end = [], len(command)
        for found in _WORD.finditer(command):
            bare = found["bare"]
            if bare is None:
                text = found["triple"] or found["double"] or found["single"] or ""
            elif "#" in bare and not self._find(self._replace(bare), folder):
                # a comment; LAMMPS lets one begin within a word
                end = found.start() + bare.index("#")
                if bare[0] != "#":
                    words += self._words(bare[: bare.index("#")], found.start(), folder)
                break
            else:
                words += self._words(bare, found.start(), folder)
                continue
            words.append(Word(text, *found.span(), self._find(text, folder)))
        if not words:
            return None
        return self._with_style(command[:end].strip("\n"), words)

    def _words(self, bare: str, begin: int, folder: Path) -> list[Word]:
        """The word with its variables replaced, which may make it several."""
        texts = self._replace(bare).split()
        if len(texts) == 1:
            return [Word(texts[0], begin, begin + len(bare), self._find(texts[0], folder))]
        return [Word(text, begin, begin + len(bare)) for text in texts]

    def _with_style(self, text: str, words: list[Word]) -> Line:
        command = words[0].text
        # what is a type or a style is no file, though there may be one of that name
        first = {"pair_style": 2, "pair_coeff": 3}.get(command, 1)
        style = self._style[0]
        if command == "pair_style":
            self._style = [word.text for word in words[1:]] or [""]
            style = self._style[0]
        elif command == "pair_coeff" and style.startswith("hybrid") and len(words) > 3:
            style, first = words[3].text, 4
            # a style that is there twice is numbered
            if self._style.count(style) > 1 and len(words) > 4 and words[4].text.isdigit():
                first = 5
        several = command == "pair_style" and style.startswith("hybrid")
        words = [
            Word(word.text, word.begin, word.end)
            if k < first or (several and _STYLE.fullmatch(word.text))
            else word
            for k, word in enumerate(words)
        ]
        return Line(text, tuple(words), style, first)

    def _define(self, words: Sequence[str]) -> None:
        if words[1:] == ["delete"]:
            self._variables.pop(words[0], None)
        if len(words) < 3:
            return
        name, style, value = words[:3]
        if style == "index":
            self._variables.setdefault(name, value)
        elif style == "string":
            self._variables[name] = value
        elif style in VARIABLES:
            self._variables[name] = value if _is_number(value) else SOME_NUMBER

    def _replace(self, text: str) -> str:
        text = _IMMEDIATE.sub(SOME_NUMBER, text)
        return _VARIABLE.sub(lambda m: self._variables.get(m[1] or m[2], m[0]), text)

    def _find(self, name: str, folder: Path) -> Path | None:
        path = os.path.expanduser(name)
        for place in (folder, *self._others):
            if path and os.path.isfile(place / path):
                return Path(os.path.abspath(place / path))
            if path and (special := special_kind(place / path)):
                raise MixpiError(
                    f"potential file {name!r} is {special}: LAMMPS would wait for ever"
                )
        is_folder = name.endswith("/") or name.startswith(("./", "../", "/", "~"))
        if is_folder and path.strip("./") and os.path.isdir(folder / path):
            return Path(os.path.abspath(folder / path))
        return None


def _commands(text: str) -> Iterator[str]:
    """Lines put together as LAMMPS does: ``&`` at the end, or an open triple quote.

    A comment may follow the ``&``, which LAMMPS itself would not take.
    """
    pending = ""
    # not splitlines(), which ends lines where LAMMPS does not
    for line in text.replace("\r\n", "\n").split("\n"):
        pending += line
        if len(pending) > LONGEST:
            raise MixpiError(
                f"a line of the potential ('{pending[:40]}...') has more than {LONGEST} characters"
            )
        quoted = '"' in pending or "'" in pending
        command = pending if quoted else pending.split("#", 1)[0]
        if pending.count('"""') % 2:
            pending += "\n"
        elif pending.rstrip().endswith("&"):
            pending = pending.rstrip()[:-1]
        elif command.rstrip().endswith("&"):
            pending = command.rstrip()[:-1]
        else:
            yield pending
            pending = ""
    yield pending


def _require_files(line: Line, searched: Sequence[Path]) -> None:
    for word in line.words:
        if word.file is not None and os.path.isfile(word.file):
            require_file(Path(word.file), "potential file", largest=LARGEST_DATA)
    if line.command not in ("pair_style", "pair_coeff") or line.style in _NO_FILES:
        return
    for word in line.words[line.first :]:
        name = word.text
        if word.file is None and _FILE_NAME.fullmatch(name) and not _is_number(name):
            raise _missing(name, searched)


def _missing(name: str, searched: Sequence[Path]) -> MixpiError:
    places = "\n".join(f"  {os.path.abspath(place)}" for place in searched)
    return MixpiError(
        f"potential file {name!r} does not exist; looked for in\n{places}\n"
        "Names are relative to the file where they stand; a name with spaces needs quotes"
    )


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        float(text)
        return True
    return False


def _bring(word: Word, file: Path, target: Path, used: Iterable[str], taken: set[str]) -> str:
    """Make a file available under a plain name, which is returned."""
    used = set(used)
    plain = _PLAIN.fullmatch(word.text) and not _OURS.fullmatch(word.text)
    # unchanged where that can be: it may after all be a keyword that is a file's name too
    if plain and word.text not in used and _placed(file, target / word.text):
        return word.text
    base = re.sub(r"[^A-Za-z0-9._+-]", "_", file.name)
    number = 1
    while True:
        name = f"{number}-{base}"
        if name not in used | taken and _placed(file, target / name):
            return name
        number += 1


def _placed(source: Path, path: Path) -> bool:
    """Whether a path stands for a file now; what is not ours to replace stays."""
    if path.exists() and os.path.samefile(source, path):
        return True
    if path.is_symlink():
        path.unlink()  # of an earlier run
    if path.exists():
        return source.is_file() and path.is_file() and filecmp.cmp(source, path, shallow=False)
    try:
        path.symlink_to(source)
    except OSError:  # a file system without links
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, path)
    return True
