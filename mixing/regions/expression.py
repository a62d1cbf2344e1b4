"""Conditions on atoms, such as ``z > 12 and species == He`` → which atoms meet them.

Python's own parser reads the text; what it may consist of is listed here, and everything else is
refused. So a condition can be taken from a file of somebody else.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from ase.data import atomic_numbers

from ..errors import MixpiError


#: What the parts of a condition may be.
HELP = (
    "x, y, z (Å, as in the file), index (from 0), species, numbers, + - * / **, < <= > >= == !=, "
    "in, and, or, not, abs, sqrt, min, max; as in 'z > 12 and species == He' or "
    "'abs(y - 30) < 8 or species in (He, H)'"
)
#: Characters; a condition that people read is shorter.
LONGEST = 2000

_ARITHMETIC: Mapping[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARISONS: Mapping[type, Callable] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: Mapping[str, tuple[Callable, int]] = {
    "abs": (np.abs, 1),
    "sqrt": (np.sqrt, 1),
    "min": (np.minimum, 2),
    "max": (np.maximum, 2),
}


class _Species(tuple[str, ...]):
    """One or more chemical symbols."""


class Condition:
    """A condition on atoms.

    Parameters
    ----------
    text : str
        As the user wrote it; :data:`HELP` says of what it may consist.

    Raises
    ------
    MixpiError
        If it is none: what is not understood, and what there is.
    """

    def __init__(self, text: str) -> None:
        self.text = " ".join(text.split())
        if not self.text:
            raise MixpiError(f"a condition is missing after 'where'; it can have {HELP}")
        if len(self.text) > LONGEST:
            raise MixpiError(f"a condition of {len(self.text):,} characters: at most {LONGEST:,}")
        try:
            self._tree = ast.parse(self.text, mode="eval").body
            with np.errstate(all="ignore"):  # says what is not understood before there are atoms
                _Evaluation(self, np.zeros((0, 3)), [], None).condition(self._tree)
        except SyntaxError as error:
            column = max(1, error.offset or 1)
            raise MixpiError(
                f"'{self.text}' is no condition, from '{self.text[column - 1 :][:20]}' on: it can "
                f"have {HELP}"
            ) from None
        except (RecursionError, MemoryError, ValueError):
            raise MixpiError(f"'{self.text[:60]}' is nested too deeply, or has a NUL") from None

    def holds(self, positions: np.ndarray, symbols: Sequence[str]) -> np.ndarray:
        """Which atoms meet the condition.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
            Å.
        symbols : sequence of str
            Chemical symbols.

        Returns
        -------
        ndarray of bool, shape (n,)

        Raises
        ------
        MixpiError
            If it names a species that no atom has, or has no value for an atom (a division by
            zero, the root of a negative number).
        """
        evaluation = _Evaluation(self, positions, symbols, sorted(set(symbols)))
        try:
            with np.errstate(divide="raise", over="raise", invalid="raise"):
                found = evaluation.condition(self._tree)
        except FloatingPointError as error:
            raise MixpiError(f"'{self.text}' has no value for some atom: {error}") from None
        return np.array(found)


class _Evaluation:
    """One walk through the parts of a condition.

    Parameters
    ----------
    whole : Condition
    positions : ndarray, shape (n, 3)
        Å.
    symbols : sequence of str, length n
    present : sequence of str or None
        The species that there are; None if that is not known yet.
    """

    def __init__(
        self,
        whole: Condition,
        positions: np.ndarray,
        symbols: Sequence[str],
        present: Sequence[str] | None,
    ) -> None:
        x, y, z = np.asarray(positions, dtype=float).T
        self._numbers = {"x": x, "y": y, "z": z, "index": np.arange(len(x), dtype=float)}
        self._symbols = np.array(symbols, dtype="U3")
        self._whole, self._present = whole, present

    def condition(self, node: ast.expr) -> np.ndarray:
        """A part that is true or false for each atom, shape (n,)."""
        if isinstance(node, ast.BoolOp):
            combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return combine.reduce([self.condition(part) for part in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.condition(node.operand)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            pairs = zip(sides, node.ops, sides[1:], strict=False)
            return np.logical_and.reduce([self._compared(*pair) for pair in pairs])
        raise self._error(node, "is no condition: compare it with something")

    def _compared(self, left: ast.expr, how: ast.cmpop, right: ast.expr) -> np.ndarray:
        compare = _COMPARISONS.get(type(how))
        if self._speaks_of_species(left) or self._speaks_of_species(right):
            return self._compared_species(left, how, right)
        if compare is None:
            raise self._error(right, "is no species: 'in' is for these, 'species in (He, H)'")
        one, other = self._number(left), self._number(right)
        if not np.ndim(one) and not np.ndim(other):
            raise self._error(left, "is compared with a number, which says nothing about atoms")
        return compare(one, other)

    def _compared_species(self, left: ast.expr, how: ast.cmpop, right: ast.expr) -> np.ndarray:
        if isinstance(how, ast.Eq | ast.NotEq) and _is_name(right, "species"):
            left, right = right, left
        one = isinstance(how, ast.Eq | ast.NotEq)
        if not _is_name(left, "species") or not (one or isinstance(how, ast.In | ast.NotIn)):
            raise self._error(
                left, "is not how species are compared: 'species == He', 'species in (He, H)'"
            )
        nodes = right.elts if isinstance(right, ast.Tuple | ast.List | ast.Set) else [right]
        if (one and nodes != [right]) or not nodes:
            raise self._error(right, "is not one species: several are 'species in (He, H)'")
        found = np.isin(self._symbols, [self._symbol(node) for node in nodes])
        return ~found if isinstance(how, ast.NotEq | ast.NotIn) else found

    def _speaks_of_species(self, node: ast.expr) -> bool:
        return _is_name(node, "species") or isinstance(node, ast.Tuple | ast.List | ast.Set)

    def _symbol(self, node: ast.expr) -> str:
        name = node.id if isinstance(node, ast.Name) else getattr(node, "value", None)
        if not isinstance(name, str) or name not in atomic_numbers or name == "X":
            raise self._error(node, "is no chemical symbol")
        if self._present is not None and name not in self._present:
            raise self._error(node, f"is in no atom: the structure has {' '.join(self._present)}")
        return name

    def _number(self, node: ast.expr) -> np.ndarray:
        """A part that is a number, one for all atoms or for each."""
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return np.array(self._finite(node))
        if isinstance(node, ast.Name) and node.id in self._numbers:
            return self._numbers[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            value = self._number(node.operand)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](self._number(node.left), self._number(node.right))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self._called(node, node.func.id)
        if isinstance(node, ast.Name) and node.id in atomic_numbers:
            raise self._error(node, f"is compared as in 'species == {node.id}'")
        raise self._error(node, f"is not understood; there are {HELP}")

    def _called(self, node: ast.Call, name: str) -> np.ndarray:
        if name not in _FUNCTIONS:
            raise self._error(node, f"is no function here; there are {', '.join(_FUNCTIONS)}")
        function, count = _FUNCTIONS[name]
        if len(node.args) != count or node.keywords:
            raise self._error(node, f"is not how {name} is called: with {count} number(s)")
        return function(*(self._number(argument) for argument in node.args))

    def _finite(self, node: ast.Constant) -> float:
        try:
            value = float(node.value)  # type: ignore[arg-type]
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self._error(node, "is too large")
        return value

    def _error(self, node: ast.AST, what: str) -> MixpiError:
        part = ast.get_source_segment(self._whole.text, node) or self._whole.text
        return MixpiError(f"'{part[:60]}' in '{self._whole.text}' {what}")


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
