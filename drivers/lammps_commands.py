"""Which LAMMPS commands a potential may consist of.

LAMMPS's input language runs programs (``shell``, ``python``, ``plugin``), fetches and writes
files (``geturl``, ``print``, ``dump``, ``write_*``, ``log``), jumps, and changes the system. A
potential comes from somewhere else and needs none of it. So what is known to be harmless is let
through, in a form that LAMMPS cannot read otherwise than mixpi has; everything else is refused.
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
#: Kinds of a variable whose value stands in the line.
VARIABLES = ("index", "string", "equal", "internal")
#: Words of a pair_style or pair_coeff by which code is run that is no part of LAMMPS.
CODE = {
    "python": "runs Python code",
    "mliappy": "loads a pickle or a torch model, which is code",
    "unified": "loads a pickle or a torch model, which is code",
}
#: Potentials of QUIP that ask other programs for forces.
_QUIP_PROGRAMS = re.compile(r"(?i)(file|socket|callback)pot|command\s*=")
#: Flags of the program that say how it computes; all others name files or set variables.
_FLAGS = (
    *("-k", "-kokkos", "-sf", "-suffix", "-pk", "-package"),
    *("-nb", "-nonbuf", "-nc", "-nocite", "-e", "-echo"),
)
#: What a line may hold beside letters and digits. No quote within a word, no comment, no
#: continuation, no semicolon: LAMMPS's reader cuts there, or the shell that it may start.
_PLAIN = r"A-Za-z0-9_./+*:,=()<>!^%@~?\[\]{}$-"
_TOKEN = re.compile(rf"(?P<bare>[{_PLAIN}]+)|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'")
_QUOTED = re.compile(rf"[ {_PLAIN}]*")
_FORMULA = re.compile(rf"[ ;|&{_PLAIN}]*")
_VALUE = re.compile(r"[A-Za-z0-9_./+*:,=() -]*")
_DOLLAR = re.compile(r"\$\{(\w+)\}|\$([A-Za-z])|\$\(([^():$]|\([^():$]*\))*\)")


def _shown(text: str) -> str:
    """A line for a message, which may have anything in it."""
    text = "".join(c if c.isprintable() else "?" for c in text[:120])
    return text if len(text) < 120 else f"{text[:117]}..."


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
            f"the line '{shown}' is no part of a potential: {command[:60]!r} is a command that can "
            "run programs, write files or change the system. mixpi passes on pair_style, "
            f"pair_coeff and other settings only ({', '.join(sorted(ALLOWED))}); a LAMMPS that "
            "needs more is started by a 'command:' of your own"
        )
    words = [word.text for word in line.words[1:]]
    if command == "include":
        raise MixpiError(f"'{shown}': include takes the name of one file")
    if command in ("pair_style", "pair_coeff"):
        _require_no_code(shown, line.style, words)
    elif command == "variable":
        _require_plain_variable(shown, words)
    elif command == "labelmap" and words[:1] not in (["atom"], ["clear"]):
        raise MixpiError(f"'{shown}': of labelmap only 'labelmap atom' belongs to a potential")


def _require_no_code(shown: str, style: str, words: Sequence[str]) -> None:
    for word in words:
        name = word.split("/")[0]
        if name in CODE and (name == "python" or "mliap" in (style.split("/")[0], *words)):
            raise MixpiError(
                f"'{shown}': {name} {CODE[name]}, and 'mixpi check' is to be safe on files of "
                "others. Start such a LAMMPS by a 'command:' of your own"
            )
        if style.startswith("quip") and _QUIP_PROGRAMS.search(word):
            raise MixpiError(f"'{shown}': {word[:60]!r} lets QUIP start other programs")


def _require_plain_variable(shown: str, words: Sequence[str]) -> None:
    if len(words) < 3 or words[1] not in VARIABLES:
        raise MixpiError(
            f"'{shown}': a variable of a potential has a value written in its line "
            f"({', '.join(VARIABLES)}); other kinds read files or the environment, or run code"
        )
    if words[1] == "equal":
        return
    for value in words[2:]:
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
        Whether quoted words are formulas, which may hold ``;`` and the like.

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
    inside = _FORMULA if formula else _QUOTED
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        end = found.end() if found else position
        if not found or text[end : end + 1] not in ("", " ") or not _is_plain(found, inside):
            raise MixpiError(
                f"'{_shown(text)}': {text[position : position + 20]!r} is no number, name or file "
                "as LAMMPS potentials have them: quotes enclose whole words, '$' begins a variable "
                "(${name}) or a formula, and no other special characters are passed on"
            )
        position = end + 1
    return text


def _is_plain(token: re.Match, inside: re.Pattern) -> bool:
    if token.lastgroup == "bare":
        return "$" not in _DOLLAR.sub("", token["bare"])
    return inside.fullmatch(token[token.lastgroup]) is not None


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
        is_flag = re.match(r"-+[A-Za-z]", word)
        silent = word in ("-sc", "-screen") and following == "none"
        if is_flag and word not in _FLAGS and not silent:
            raise MixpiError(
                f"{key}: {word[:60]!r} is not passed on to LAMMPS, only flags that say how it "
                f"computes are ({' '.join(_FLAGS)}, -screen none). A variable is a line of "
                "the potential: 'variable NAME index VALUE'"
            )
