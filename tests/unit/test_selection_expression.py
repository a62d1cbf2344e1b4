"""Conditions on atoms, against Python's own evaluation atom by atom."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st
from mixpi.errors import MixpiError
from mixpi.regions.expression import Condition
from mixpi.regions.seeds import select_seeds


RNG = np.random.default_rng(3)
ATOMS = Atoms(
    RNG.choice(["W", "He", "H", "Y"], 60), RNG.uniform(-20, 60, (60, 3)), cell=[40] * 3, pbc=True
)


def one_by_one(text: str) -> list[bool]:
    """The condition in Python, which has the same words."""
    names = {"abs": abs, "sqrt": np.sqrt, "min": min, "max": max}
    names |= {symbol: symbol for symbol in ("W", "He", "H", "Y")}
    return [
        bool(eval(text, names | {"x": x, "y": y, "z": z, "species": symbol, "index": k}))
        for k, ((x, y, z), symbol) in enumerate(zip(ATOMS.positions, ATOMS.symbols, strict=True))
    ]


@pytest.mark.parametrize(
    "text",
    [
        "z > 12 and species == He",
        "abs(y - 30) < 8 or species in (He, H)",
        "species in [He, Y] and y < 20",
        "species != W and not x >= 0",
        "W == species",
        "species not in {W, He}",
        "sqrt((x - 3)**2 + (y + 2.5)**2) < 25",
        "-10 < x <= 30",
        "0 < x < y < z",
        "min(x, y) > max(z, -5) / 2",
        "index >= 30 and index != 42",
        "not (x > 0 and y > 0) or z > 1e1",
        "+x - -y * 2 > 0",
    ],
)
def test_it_means_what_python_means(text):
    found = Condition(text).holds(ATOMS.positions, list(ATOMS.symbols))
    assert found.dtype == bool and found.tolist() == one_by_one(text)
    assert 0 < found.sum() < len(ATOMS)
    assert select_seeds(f"where {text}", ATOMS).indices == np.flatnonzero(found).tolist()


def numbers(depth):
    leaf = st.one_of(
        st.sampled_from(["x", "y", "z", "index"]),
        st.integers(0, 50).map(str),
        st.floats(0.125, 40).map(repr),
    )
    if depth == 0:
        return leaf
    below = numbers(depth - 1)
    return st.one_of(
        leaf,
        st.tuples(below, st.sampled_from(["+", "-", "*"]), below).map(lambda p: f"({' '.join(p)})"),
        below.map(lambda a: f"abs({a})"),
        st.tuples(st.sampled_from(["min", "max"]), below, below).map(
            lambda p: f"{p[0]}({p[1]}, {p[2]})"
        ),
    )


def conditions(depth):
    atom = st.tuples(
        st.sampled_from(["x", "y", "z", "index"]),
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        numbers(2),
    ).map(" ".join)
    species = st.sampled_from(["species == He", "species in (H, W)", "species != Y"])
    if depth == 0:
        return st.one_of(atom, species)
    below = conditions(depth - 1)
    return st.one_of(
        atom,
        st.tuples(below, st.sampled_from(["and", "or"]), below).map(lambda p: f"({' '.join(p)})"),
        below.map(lambda a: f"not {a}"),
    )


@given(conditions(3))
def test_any_condition_means_what_python_means(text):
    found = Condition(text).holds(ATOMS.positions, list(ATOMS.symbols))
    assert found.tolist() == one_by_one(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a condition is missing after 'where'"),
        ("z >", "is no condition"),
        ("z", "'z' in 'z' is no condition: compare it"),
        ("1 < 2", "says nothing about atoms"),
        ("q > 2", "'q' in 'q > 2' is not understood; there are x, y, z"),
        ("X > 2", "'X' in 'X > 2'"),
        ("He > 2", "'He' in 'He > 2' is compared as in 'species == He'"),
        ("species == Xx", "'Xx' in 'species == Xx' is no chemical symbol"),
        ("species == Fe", "'Fe' in 'species == Fe' is in no atom: the structure has H He W Y"),
        ("species in (He, Fe)", "'Fe' in .* is in no atom"),
        ("species > He", "is not how species are compared"),
        ("species == (He, H)", "is not one species"),
        ("species in ()", "is not one species"),
        ("species + 1 > 2", "'species' in 'species [+] 1 > 2' is not understood"),
        ("x in (1, 2)", "is not how species are compared"),
        ("x is y", "is no species: 'in' is for these"),
        ("x < 2 and 1", "'1' in .* is no condition"),
        ("not x", "'x' in 'not x' is no condition"),
        ("sin(x) > 0", "is no function here; there are abs, sqrt, min, max"),
        ("abs(x, y) > 0", "is not how abs is called"),
        ("max(x) > 0", "is not how max is called"),
        ("abs(x=1) > 0", "is not how abs is called"),
        ("sqrt(x) > 0", "has no value for some atom"),
        ("1 / (x - x) > 0", "has no value for some atom"),
        ("x > 1e400", "too large"),
        ("x > 9**9**9**9", "has no value for some atom"),
        ("x > True", "'True' in .* is not understood"),
        ("x > 'a'", "is not understood"),
        ("__import__('os').system('true') > 0", "is not understood"),
        ("().__class__ == 1", "is not understood"),
        ("[k for k in x] == 1", "is not understood"),
        ("(lambda: x)() > 0", "is not understood"),
        ("x > 0; y > 0", "is no condition"),
        ("x := 3", "is no condition"),
        ("x > 0\x00", "nested too deeply, or has a NUL|is no condition"),
        ("-" * 1900 + "x > 0", "nested too deeply|is no condition"),
        ("x > 0 " + "and x > 0 " * 400, "at most 2,000"),
    ],
)
def test_what_is_wrong_is_said(text, message):
    with pytest.raises(MixpiError, match=message):
        Condition(text).holds(ATOMS.positions, list(ATOMS.symbols))
    with pytest.raises(MixpiError, match="seeds: "):
        select_seeds(f"where {text}", ATOMS)


def test_no_atom_and_all_atoms_match():
    with pytest.raises(MixpiError, match="no atom matches 'where x > 1000'"):
        select_seeds("where x > 1000", ATOMS)
    with pytest.raises(MixpiError, match="all 60 atoms match 'where x < 1000'"):
        select_seeds("where x < 1000", ATOMS)
