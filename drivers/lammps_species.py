"""Whether the lines of a potential speak of the species that LAMMPS's atom types are.

LAMMPS knows types by number only: a potential whose names are in another order than the
types computes another substance, without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from ase.data import atomic_numbers, chemical_symbols

from ..errors import MixpiError
from .lammps_commands import ACCELERATED
from .lammps_potential import Line


#: What may stand for a type at the end of a pair_coeff line.
NAMES = frozenset((*chemical_symbols[1:], "NULL"))
#: They name the elements that they read from their library too.
_LIBRARY = ("meam", "eim")
#: Their last word is a keyword of the file.
_KEYWORD = ("table",)


def require_known(species: Sequence[str]) -> None:
    """Refuse a list of species that LAMMPS atom types cannot be.

    Raises
    ------
    MixpiError
        If one is no chemical symbol, or there twice.
    """
    unknown = [symbol for symbol in species if symbol not in chemical_symbols[1:]]
    if unknown:
        raise MixpiError(f"{' '.join(unknown)} in LAMMPS's species: no chemical symbol")
    twice = sorted({symbol for symbol in species if list(species).count(symbol) > 1})
    if twice:
        raise MixpiError(
            f"{' '.join(twice)} is there twice in LAMMPS's species {' '.join(species)}: each is "
            "one atom type"
        )


def named_species(lines: Sequence[Line]) -> list[str]:
    """The species that a potential names for its atom types, in their order.

    Parameters
    ----------
    lines : sequence of Line
        The potential.

    Returns
    -------
    list of str
        Those at the end of ``pair_coeff * *`` lines; of several lines, each may name other
        types and have NULL for the rest.

    Raises
    ------
    MixpiError
        If no line names them, or the lines contradict each other.
    """
    found: list[str] = []
    for line in lines:
        words = line.words[line.first :]
        if line.command != "pair_coeff" or [w.text for w in line.words[1:3]] != ["*", "*"]:
            continue
        names: list[str] = []
        for word in reversed(words):
            if word.text not in NAMES or word.file is not None:
                break
            names.insert(0, word.text)
        if _style(line) in _LIBRARY and len(names) == len(words) - 1:
            names = []  # without a file between them, which are the types' is not to be told
        if not names or _style(line) in _KEYWORD:
            continue
        if found and len(found) != len(names):
            raise MixpiError(
                f"the potential's pair_coeff lines name {len(found)} and {len(names)} atom types: "
                "say which they are (species: [...])"
            )
        found = found or ["NULL"] * len(names)
        for k, name in enumerate(names):
            if name != "NULL" and found[k] not in ("NULL", name):
                raise MixpiError(
                    f"the potential's pair_coeff lines name both {found[k]} and {name} for atom "
                    f"type {k + 1}: say which it is (species: [...])"
                )
            found[k] = name if name != "NULL" else found[k]
    if not found or "NULL" in found:
        raise MixpiError(
            "the pair_coeff lines do not name the species of all atom types: give them in the "
            "order of the types (species: [...])"
        )
    require_known(found)
    return found


def require_order(lines: Sequence[Line], species: Sequence[str]) -> None:
    """Refuse lines that take an atom type for another element than it is.

    Looked at are the names at the end of ``pair_coeff`` lines, whatever the style, if all
    are chemical symbols or NULL (others are labels of the file, of which only LAMMPS
    knows the meaning); the atomic numbers of ``zbl``, ``quip`` and in the files of
    ``eam``; ``labelmap``, and the ``emap`` of ``hdnnp``; the order of the elements in files
    where LAMMPS goes by it and not by the names.

    Parameters
    ----------
    lines : sequence of Line
        The potential.
    species : sequence of str
        Chemical symbols in the order of LAMMPS atom types.

    Raises
    ------
    MixpiError
        If there is a contradiction.
    """
    # of the numbers of a pair of types those given last count
    elements: dict[tuple, tuple[Line, int, int]] = {}
    for line in lines:
        if line.command == "pair_coeff" and len(line.words) > 3:
            one, two = (_types(word.text, species) for word in line.words[1:3])
            _check_names(line, one, two, list(species))
            for i, j in product(sorted(one), sorted(two)):
                elements[line.part, min(i, j), max(i, j)] = line, i, j
        elif line.command == "labelmap" and line.arguments[:1] == ["atom"]:
            words = line.arguments[1:]
            _check_numbered(line, list(zip(words[::2], words[1::2], strict=False)), list(species))
        elif line.command == "pair_style" and "emap" in line.arguments[:-1]:
            emap = line.arguments[line.arguments.index("emap") + 1]
            parts = [part.partition(":") for part in emap.split(",") if ":" in part]
            _check_numbered(line, [(number, name) for number, _, name in parts], list(species))
    for line, i, j in elements.values():
        _check_elements(line, i, j, list(species))


def _style(line: Line) -> str:
    """The pair style without the suffix of an accelerator."""
    return ACCELERATED.sub("", line.style)


def _check_elements(line: Line, i: int, j: int, species: list[str]) -> None:
    """Compare the atomic numbers that a line gives a pair of types, if its style does so."""
    if _style(line) == "zbl":
        given = line.arguments[:2]
    elif _style(line) == "eam" and i == j:
        given = _funcfl_number(line)
    else:
        return
    wanted = [atomic_numbers[species[i]], atomic_numbers[species[j]]]
    found = [int(float(number)) for number in given if _is_z(number)]
    if len(found) == len(given) == 1:
        found *= 2
    if len(found) == 2 and sorted(found) != sorted(wanted):
        raise MixpiError(
            f"'{line.text.strip()}': atomic numbers {' and '.join(map(str, found))} for atom types "
            f"{i + 1} ({species[i]}) and {j + 1} ({species[j]}), which are {wanted[0]} and "
            f"{wanted[1]}. {_the_types(species)}: write the line for them, or give the types the "
            "order of the potential (lammps: species)"
        )


def _check_names(line: Line, one: set[int], two: set[int], species: list[str]) -> None:
    style, words = _style(line), line.words[line.first :]
    if style in _KEYWORD:
        return
    if style == "quip":
        numbers = [word.text for word in words[-len(species) :] if _is_z(word.text)]
        _compare(line, [chemical_symbols[int(float(z))] for z in numbers], species)
        return
    if words and "$" in words[-1].text:
        raise MixpiError(
            f"'{line.text.strip()}': mixpi cannot tell what {words[-1].text} is, and whether the "
            "elements are in the order of LAMMPS's atom types: write them out"
        )
    names: list[str] = []
    for word in reversed(words):
        if word.text not in NAMES:
            break
        names.insert(0, word.text)
    before = words[len(words) - len(names) - 1] if len(names) < len(words) else None
    # a file may have the name of an element
    while len(names) > len(species) and words[len(words) - len(names)].file is not None:
        before = words[len(words) - len(names)]
        names.pop(0)
    if not names:
        return
    if len(names) > len(species) and style in _LIBRARY:
        names = names[-len(species) :]
    every = set(range(len(species)))
    if len(names) == len(species):
        _compare(line, names, species)
        _compare_with_file(line, names, species)
    elif one == two == every:
        # before the names of all types there is a file or nothing, before others a label
        if before is None or before.file is not None:
            raise MixpiError(
                f"'{line.text.strip()}': {len(names)} names ({' '.join(names)}) for "
                f"{len(species)} atom types; {_the_types(species)}: name each of them, or NULL"
            )
    elif len(names) == 1 and one == two and len(one) == 1:
        _compare(line, names, [species[k] for k in one], species)


def _compare(
    line: Line, names: Sequence[str], types: Sequence[str], species: list[str] | None = None
) -> None:
    """Refuse names that differ from the symbols of the types that they stand for."""
    species = list(types) if species is None else species
    wrong = [
        (name, symbol)
        for name, symbol in zip(names, types, strict=False)
        if name not in ("NULL", symbol)
    ]
    if not wrong:
        return
    name, symbol = wrong[0]
    raise MixpiError(
        f"'{line.text.strip()}' takes atoms of {symbol} for {name}; {_the_types(species)}. "
        + _way_out(names, species)
    )


def _compare_with_file(line: Line, names: Sequence[str], species: list[str]) -> None:
    """Refuse types in another order than the file's, of styles that need the file's.

    Seen in LAMMPS 2025: ``meam/spline`` ignores the names, ``snap`` with chemflag 1 takes
    the coefficients of triples of elements in the order of the types.
    """
    files = [word.file for word in line.words[line.first :] if word.file]
    named = [name for name in dict.fromkeys(names) if name != "NULL"]
    style = _style(line)
    if style == "meam/spline" and files:
        order = _meam_spline_elements(files[0])
    elif style == "snap" and len(files) > 1 and _is_chemical(files[1]):
        order = _snap_elements(files[0])
    else:
        return
    if order and named != order[: len(named)]:
        rest = [symbol for symbol in species if symbol not in order]
        raise MixpiError(
            f"'{line.text.strip()}': the elements in {files[0].name} are in the order "
            f"{' '.join(order)}, and pair_style {style} needs the atom types in that order, "
            f"whatever the names; {_the_types(species)}: give species: "
            f"[{', '.join([*order, *rest])}], and the names so"
        )


def _content(file: Path) -> list[list[str]]:
    """The words of each line that has any, without comments."""
    lines = (ln.partition("#")[0].split() for ln in file.read_text(errors="replace").splitlines())
    return [words for words in lines if words]


def _meam_spline_elements(file: Path) -> list[str]:
    """Of a file for several elements: ``meam/spline 2 Ti O``."""
    head = _content(file)[:1]
    return head[0][2:] if head and head[0][0] == "meam/spline" else []


def _is_chemical(file: Path) -> bool:
    """Whether a ``.snapparam`` has coefficients for each triple of elements."""
    return any(words[:2] == ["chemflag", "1"] for words in _content(file))


def _snap_elements(file: Path) -> list[str]:
    """Of a ``.snapcoeff``: one block each of a line with the element and the coefficients."""
    (head, *blocks) = _content(file) or [[]]
    if len(head) < 2 or not (head[0].isdigit() and head[1].isdigit()):
        return []  # LAMMPS will say so
    elements, coefficients = map(int, head[:2])
    return [block[0] for block in blocks[:: coefficients + 1]][:elements]


def _way_out(names: Sequence[str], species: list[str]) -> str:
    given = [name for name in names if name != "NULL"]
    if len(names) == len(species) and set(given) <= set(species) and len(set(given)) == len(given):
        order = " ".join(symbol if symbol in given else "NULL" for symbol in species)
        rest = iter(symbol for symbol in species if symbol not in given)
        types = ", ".join(next(rest) if name == "NULL" else name for name in names)
        return (
            f"Either write the names in that order: '... {order}' (and all numbers of types in the "
            f"potential so), or give the types the order of the potential: species: [{types}]"
        )
    return (
        "Name each type's own element, or NULL; to use the potential of another element on "
        "purpose, rename that element in a copy of its file"
    )


def _check_numbered(line: Line, pairs: Sequence[tuple[str, str]], species: list[str]) -> None:
    """Compare (number of a type, name) with the types."""
    for number, name in pairs:
        if number.isdigit() and 0 < int(number) <= len(species) and name in NAMES:
            _compare(line, [name], [species[int(number) - 1]], species)


def _funcfl_number(line: Line) -> list[str]:
    """Atomic number in a single-element EAM file: its second line begins with it."""
    file = next((word.file for word in line.words[line.first :] if word.file), None)
    head = file.read_text(errors="replace").splitlines()[1:2] if file else []
    return head[0].split()[:1] if head else []


def _types(text: str, species: Sequence[str]) -> set[int]:
    """Indices of the types that a word of a pair_coeff line stands for: 2, ``1*3``, ``*``."""
    n = len(species)
    if text in species:  # a label
        return {species.index(text)}
    begin, star, end = text.partition("*")
    if not all(part.isdigit() or (star and not part) for part in (begin, end if star else begin)):
        return set()
    first = int(begin or 1)
    last = int(end or n) if star else first
    return set(range(first - 1, min(last, n)))


def _is_z(text: str) -> bool:
    try:
        return float(text).is_integer() and 0 < float(text) < len(chemical_symbols)
    except ValueError:
        return False


def _the_types(species: Sequence[str]) -> str:
    return (
        f"LAMMPS's atom types are, in order, {' '.join(species)} (alphabetical unless 'lammps: "
        "species' says otherwise)"
    )
