"""Does a model give, here and now, what it should: one structure, evaluated at each start.

What it should give is what mace-torch gives on the CPU in double precision. A GPU, single
precision, a library's fast kernels or a damaged installation have been seen to give something
else, now and then only; so the structure is evaluated twice. The answer is found once for a model
and kept in ``MIXPI_CACHE``; what symmetrix reads has it beside the converted model.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import MixpiError
from ..files.replacing import replace_text
from .cache import cache_folder
from .engine import Answers


#: Changes with the structure.
FORMAT = 1

#: Of the forces, against the largest (or 1 eV/Å); and of the energy, in eV an atom.
#: Measured over six models: 7e-8 and 1e-10 in double precision (symmetrix), 1e-7 and 2e-7 with
#: cuEquivariance; 1.4e-5 and 2e-5 in single precision.
TOLERANCE = {"float64": 1e-6, "float32": 1e-4}

#: Roundings of the energy itself: that of isolated atoms may be thousands of eV.
ROUNDINGS = 16

#: A fault that comes and goes is seen more probably.
TIMES = 2


class Structure(NamedTuple):
    """As an engine evaluates it.

    Attributes
    ----------
    numbers : ndarray of int, shape (m,)
        Atomic numbers.
    positions : ndarray, shape (m, 3)
        Å.
    cell : ndarray, shape (3, 3)
        Rows are lattice vectors, Å.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray


@dataclass(frozen=True)
class Answer:
    """What a model gives for its :func:`known_structure`.

    Attributes
    ----------
    energy : float
        eV.
    forces : list of list of float
        A row of three for each atom, eV/Å.
    """

    energy: float
    forces: list[list[float]]


def known_structure(species: Sequence[int]) -> Structure:
    """A small disordered structure.

    Each species meets the others at distances from 1.5 Å to the cutoff; of a model of many
    species, the first and last few.

    Parameters
    ----------
    species : sequence of int
        Atomic numbers that the model knows.
    """
    numbers = np.array(species)
    if len(numbers) > 6:
        numbers = np.concatenate([numbers[:3], numbers[-3:]])
    sites = np.stack(np.meshgrid(*3 * [np.arange(3)], indexing="ij"), axis=-1).reshape(-1, 3)
    generator = np.random.default_rng(0)
    positions = 2.4 * sites + generator.uniform(-0.4, 0.4, size=sites.shape)
    cell = np.diag([7.2, 7.4, 7.9]) + generator.uniform(-0.3, 0.3, size=(3, 3))
    return Structure(numbers[generator.permutation(len(sites)) % len(numbers)], positions, cell)


def answer_of(engine: Answers, species: Sequence[int]) -> Answer:
    """What an engine gives now."""
    energy, forces, _ = engine.evaluate(*known_structure(species))
    return Answer(float(energy), np.asarray(forces, dtype=float).tolist())


def kept_answer(sha256: str | None, head: str, find: Callable[[], Answer]) -> Answer:
    """The answer of a model, found if it is not kept.

    Parameters
    ----------
    sha256 : str or None
        Of the model file; without it nothing is kept.
    head : str
        Of the model.
    find : callable
        Evaluates it by mace-torch on the CPU in double precision.

    Returns
    -------
    Answer
    """
    if sha256 is None:
        return find()
    file = _file(sha256, head)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads(file.read_text())
        kept = Answer(float(told["energy"]), told["forces"])
        if _seal(kept) == told["sha256"]:
            return kept
    found = find()
    with contextlib.suppress(OSError):  # found again at the next start
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_text(file, json.dumps({**asdict(found), "sha256": _seal(found)}))
    return found


def _file(sha256: str, head: str) -> Path:
    what = json.dumps([sha256, head, importlib.metadata.version("mace-torch"), FORMAT])
    return cache_folder() / "answers" / f"{hashlib.sha256(what.encode()).hexdigest()[:24]}.json"


def _seal(answer: Answer) -> str:
    return hashlib.sha256(json.dumps(asdict(answer), sort_keys=True).encode()).hexdigest()


def require_answer(
    evaluate: Callable[..., tuple[Any, ...]],
    species: Sequence[int],
    answer: Answer,
    dtype: str,
    *,
    who: str,
    otherwise: str,
) -> None:
    """Refuse an engine that does not give the answer of its model, each time that it is asked.

    Parameters
    ----------
    evaluate : callable
        Given numbers, positions (Å) and cell (Å), returns energy (eV) and forces (eV/Å) first.
    species : sequence of int
        Atomic numbers that the model knows.
    answer : Answer
        What it should give.
    dtype : {"float64", "float32"}
        What it computes in, which decides on the tolerance.
    who : str
        Computes, for the message.
    otherwise : str
        What to do instead.

    Raises
    ------
    MixpiError
        With the differences, or the words of what failed.
    """
    structure = known_structure(species)
    wanted = np.array(answer.forces)
    scale = max(1.0, float(np.abs(wanted).max()))
    allowed = TOLERANCE[dtype] * scale
    rounding = ROUNDINGS * float(np.finfo(dtype).eps) * abs(answer.energy) / len(wanted)
    allowed_energy = TOLERANCE[dtype] + rounding
    for _ in range(TIMES):
        try:
            energy, forces, *_ = evaluate(*structure)
        except MixpiError:
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise MixpiError(
                f"{who} cannot evaluate a small known structure ({type(error).__name__}: "
                f"{reason}): {otherwise}"
            ) from None
        off = abs(float(energy) - answer.energy) / len(wanted)
        pulled = float(np.abs(np.asarray(forces) - wanted).max())
        # NaN is not within anything
        if not (off <= allowed_energy and pulled <= allowed):
            raise MixpiError(
                f"{who} gives other values for a small known structure than mace-torch on the CPU "
                f"in float64: forces differ by up to {pulled:.2g} eV/Å (of {scale:.2g}, allowed "
                f"{allowed:.2g}), the energy by {off:.2g} eV an atom (allowed "
                f"{allowed_energy:.2g}): {otherwise}"
            )
