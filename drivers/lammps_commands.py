"""Which LAMMPS commands a potential may consist of.

LAMMPS's input language runs programs (``shell``, ``python``, ``plugin``), fetches and writes
files (``geturl``, ``print``, ``dump``, ``write_*``, ``log``), jumps, and changes the system. A
potential comes from somewhere else and needs none of it. So what is known to be harmless is let
through, in a form that LAMMPS cannot read otherwise than mixpi has; everything else is refused.
What only says how a run goes and what it prints, as such files often do, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import MixpiError


if TYPE_CHECKING:
    from .lammps_potential import Line


#: Commands that set how a potential computes, and touch neither files nor the system.
ALLOWED = frozenset(
    (
        *("pair_style", "pair_coeff", "pair_modify", "special_bonds", "variable", "labelmap"),
        *("mass", "neighbor", "neigh_modify", "comm_modify", "comm_style", "kspace_style"),
        *("kspace_modify", "dielectric", "newton", "suffix", "package", "units", "include"),
    )
)
#: Commands of a run that say nothing about the potential: LAMMPS does not get them.
LEFT_OUT = frozenset(
    (
        *("atom_modify", "echo", "min_modify", "min_style", "print", "processors", "run_style"),
        *("thermo", "thermo_modify", "thermo_style", "timer", "timestep"),
    )
)
#: Kinds of a variable whose value stands in the line, or comes from such ones.
VARIABLES = ("index", "string", "equal", "internal", "format")
#: Words of a pair_style or pair_coeff by which code is run that is no part of LAMMPS.
CODE = {
    "python": "runs Python code",
    "mliappy": "loads a pickle or a torch model, which is code",
    "unified": "loads a pickle or a torch model, which is code",
}
#: What stands behind a style that an accelerator computes.
ACCELERATED = re.compile(r"/(kk(/host|/device)?|gpu|omp|opt|intel)$")
#: Potentials of QUIP that ask other programs for forces.
_QUIP_PROGRAMS = re.compile(r"(?i)(file|socket|callback)pot|command\s*=")
#: Files that readers of LAMMPS may unpack by a shell's command, and names with which that is safe.
PACKED = re.compile(r"\.(gz|bz2|zst|xz|lzma|lz4)$")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*")
#: Flags of the program that say how it computes or prints; most others name files.
_FLAGS = (
    *("-k", "-kokkos", "-sf", "-suffix", "-pk", "-package"),
    *("-nb", "-nonbuf", "-nc", "-nocite", "-e", "-echo"),
)
#: Flags that may name a file, and the words after them that do not.
_FLAGS_WITH = {
    **dict.fromkeys(("-sc", "-screen", "-l", "-log"), ("none",)),
    **dict.fromkeys(("-c", "-cite"), ("none", "screen", "log", "both")),
    **dict.fromkeys(("-ro", "-reorder"), ("nth",)),
}


def _balanced(characters: str) -> str:
    """A pattern for text in which brackets are closed, up to five within one another."""
    inside = f"[{characters}]*+"
    text = inside
    for _ in range(5):
        text = rf"{inside}(?:\({text}\){inside})*+"
    return text


#: A formula in a line, ``$(...)``, in whose place LAMMPS puts its value.
IMMEDIATE = rf"\$\({_balanced('^()')}\)"
#: How LAMMPS prints a number.
_FORMAT = "% ?-?[0-9]{0,2}([.][0-9]{0,2})?[efgEFG]"
_ARITHMETIC = _balanced(r"A-Za-z0-9_.+*/^,=<>!%&|\[\] -")
_PLAIN_IMMEDIATE = rf"\$\({_ARITHMETIC}(?::{_FORMAT})?\)"
_DOLLAR = re.compile(rf"\$\{{\w+\}}|\$[A-Za-z]|{_PLAIN_IMMEDIATE}")


def _word(characters: str) -> re.Pattern:
    """One word of a line. LAMMPS replaces nothing in quotes: a ``$`` there has no meaning."""
    return re.compile(
        rf"(?P<bare>(?:{_PLAIN_IMMEDIATE}|[${characters}])++)"
        rf"|\"[ {characters}]*\"|'[ {characters}]*'"
    )


#: What a line may hold beside letters and digits. No quote within a word, no comment, no
#: continuation, no semicolon: LAMMPS's reader cuts there, or the shell that it may start.
_PLAIN = r"A-Za-z0-9_./+*:,=()<>!^%@~?\[\]{}-"
_WORD, _WORD_OF_FORMULA = _word(_PLAIN), _word(";|&" + _PLAIN)
_VALUE = re.compile(r"[A-Za-z0-9_./+*:,=() -]*")


def _shown(text: str) -> str:
    """A line for a message, which may have anything in it."""
    text = "".join(c if c.isprintable() else "?" for c in text[:120])
    return text if len(text) < 120 else f"{text[:117]}..."


def is_left_out(line: Line) -> bool:
    """Whether a line only says how a run goes or what it prints, and names no file.

    Parameters
    ----------
    line : Line
        A line with its variables replaced.

    Returns
    -------
    bool
    """
    words = {word.text for word in line.words[1:]}
    return line.command in LEFT_OUT and not words & {"file", "append"}


def require_harmless(line: Line) -> None:
    """Refuse a command that is no part of a potential, or could hide one.

    Parameters
    ----------
    line : Line
        A line with its variables replaced.

    Raises
    ------
    MixpiError
        What it could do, and the way out.
    """
    text, command = " ".join(line.text.split()), line.command
    shown = _shown(text)
    # the word as written: a variable could hold any command
    if command not in ALLOWED or not re.match(rf"[\"']?{command}\b", text):
        raise MixpiError(
            f"the line '{shown}' is no part of a potential: leave it out. mixpi passes on only "
            "commands that are known to run no programs and to write no files "
            f"({', '.join(sorted(ALLOWED))}); a LAMMPS that needs more is started by a 'command:' "
            "of your own"
        )
    words = [word.text for word in line.words[1:]]
    if command == "include":
        raise MixpiError(f"'{shown}': include takes the name of one file")
    _require_safe_names(shown, line)
    if command in ("pair_style", "pair_coeff"):
        _require_no_code(shown, line.style, words)
    elif command == "variable":
        _require_plain_variable(shown, words)
    elif command == "labelmap" and words[:1] not in (["atom"], ["clear"]):
        raise MixpiError(f"'{shown}': of labelmap only 'labelmap atom' belongs to a potential")


def _require_safe_names(shown: str, line: Line) -> None:
    """Refuse names of packed files that a shell would take for more than a name."""
    for word in line.words[1:]:
        # files get plain names, but may keep a '-' in front
        as_written = word.file is None or word.text.startswith("-")
        if as_written and PACKED.search(word.text) and not _SAFE_NAME.fullmatch(word.text):
            raise MixpiError(
                f"'{shown}': LAMMPS may give the name of a packed file to a shell, so "
                f"{word.text[:60]!r} is not passed on: unpack the file, or give it a plain name"
            )


def _require_no_code(shown: str, style: str, words: Sequence[str]) -> None:
    named = [ACCELERATED.sub("", word) for word in (style, *words)]
    for word, name in zip(words, named[1:], strict=True):
        if name in CODE and (name == "python" or "mliap" in named):
            raise MixpiError(
                f"'{shown}': {name} {CODE[name]}, and 'mixpi check' is to be safe on files of "
                "others. Start such a LAMMPS by a 'command:' of your own"
            )
        if style.startswith("quip") and _QUIP_PROGRAMS.search(word):
            raise MixpiError(f"'{shown}': {word[:60]!r} lets QUIP start other programs")


def _require_plain_variable(shown: str, words: Sequence[str]) -> None:
    if words[1:] == ["delete"]:
        return
    if len(words) < 3 or words[1] not in VARIABLES:
        raise MixpiError(
            f"'{shown}': a variable of a potential has a value written in its line "
            f"({', '.join(VARIABLES)}); other kinds read files or the environment, or run code"
        )
    if words[1] == "equal":
        return
    if words[1] == "format" and not (len(words) == 4 and re.fullmatch(_FORMAT, words[3])):
        raise MixpiError(f"'{shown}': a format is that of one number, such as %.4f")
    for value in words[2:3] if words[1] == "format" else words[2:]:
        if not _VALUE.fullmatch(value):
            raise MixpiError(
                f"'{shown}': the value {value[:60]!r} has characters at which LAMMPS would cut or "
                "replace it"
            )


def require_unambiguous(text: str, *, formula: bool = False) -> str:
    """A line for LAMMPS, in the one form that it can only read as mixpi has.

    Parameters
    ----------
    text : str
        A line without comment and continuation; files in it have plain names.
    formula : bool
        Whether words are formulas, which may hold ``;``, ``&`` and ``|``.

    Returns
    -------
    str
        Its words, with a space between them.

    Raises
    ------
    MixpiError
        If it has characters that LAMMPS may understand in another way.
    """
    text = " ".join(re.split(r"[ \t\r\n]+", text.strip()))
    pattern = _WORD_OF_FORMULA if formula else _WORD
    position = 0
    while position < len(text):
        found = pattern.match(text, position)
        end = found.end() if found else position
        if not found or text[end : end + 1] not in ("", " ") or not _is_plain(found):
            raise MixpiError(
                f"'{_shown(text)}': {text[position : position + 20]!r} is no number, name or file "
                "as LAMMPS potentials have them: quotes enclose whole words, '$' begins a variable "
                "(${name}) or a formula outside of quotes, and no other special characters are "
                "passed on"
            )
        position = end + 1
    return text


def _is_plain(word: re.Match) -> bool:
    bare = word["bare"] or ""
    # a & at the end of a line continues it
    return "$" not in _DOLLAR.sub("", bare) and not bare.endswith("&")


def require_harmless_flags(words: Sequence[str], key: str) -> None:
    """Refuse flags of LAMMPS's command line that name files or set variables.

    Parameters
    ----------
    words : sequence of str
        The flags with their values.
    key : str
        Where they stand in the configuration.

    Raises
    ------
    MixpiError
        If there is one.
    """
    for word, following in zip(words, [*words[1:], ""], strict=False):
        flag = word[1:] if word.startswith("--") else word
        known = flag in _FLAGS or following in _FLAGS_WITH.get(flag, ())
        if re.match(r"-+[A-Za-z]", word) and not known:
            raise MixpiError(
                f"{key}: {word[:60]!r} is not passed on to LAMMPS, only flags that say how it "
                f"computes or prints are ({' '.join(_FLAGS)}, -screen none, -log none, -cite none, "
                "-reorder nth). A variable is a line of the potential: 'variable NAME index VALUE'"
            )
