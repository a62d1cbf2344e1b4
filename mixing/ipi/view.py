"""What i-PI understands of an input, asked of i-PI itself in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..errors import MixpiError
from ..files.user_files import require_file
from ..files.xml_files import LARGEST
from ..run.processes import PYTHON_OUTPUT, run_to_end


#: s of a processor, and bytes, for an input without atoms; a million atoms take a minute and
#: 3 GiB.
PROCESSOR, MEMORY = 30, 4 * 1024**3
#: s, and bytes, more for each byte of the files that it reads.
PROCESSOR_PER_BYTE, MEMORY_PER_BYTE = 1e-5, 200
#: s of waiting for each second of a processor: others may need it too.
PATIENCE = 20


@dataclass(frozen=True)
class Motion:
    """One integrator.

    Attributes
    ----------
    kind, mode : str
        i-PI's class, and its ensemble ("nve", "nvt").
    timestep : float or None
        fs.
    nmts : list of int
        Evaluations on each level of multiple time steps, outermost first.
    thermostat : str or None
        i-PI's class; "Thermostat" is none at all.
    tau : float or None
        fs.
    centroid_temperature : float or None
        K; to which a thermostat of generalized Langevin equations on normal modes takes the
        centroid, by its own matrix of covariances.
    fixed : list of int
        Degrees of freedom that do not move (3 × atom + axis).
    """

    kind: str
    mode: str | None
    timestep: float | None
    nmts: list[int]
    thermostat: str | None
    tau: float | None
    centroid_temperature: float | None
    fixed: list[int]


@dataclass(frozen=True)
class Force:
    """One force component: its force field, its weight, its weights on the MTS levels."""

    forcefield: str
    weight: float
    mts_weights: list[float]


@dataclass(frozen=True)
class IpiView:
    """A simulation as i-PI sees it.

    Attributes
    ----------
    systems, beads : int
        How many.
    step, total_steps, safe_stride : int
        As in the input.
    symbols : list of str, length n
        i-PI's labels.
    masses : ndarray, shape (n,)
        Da.
    positions : ndarray, shape (n, 3)
        The centroid, Å.
    spread : float
        Largest distance of a bead from it, Å.
    cell : ndarray, shape (3, 3)
        Rows are lattice vectors, Å.
    temperature, kinetic_temperature : float
        Of the ensemble (negative: not given) and of the first velocities, K.
    motions, forces : list
        What moves the atoms, and what acts on them.
    forcefields : list of str
        Names.
    active : dict
        Force field → the atoms that it is for; [-1] is all of them.
    files : list of str
        Files that i-PI writes, relative to its folder.
    strides : dict
        File, without the bead's number → steps between writing.
    frames : dict
        File that positions were read from → its number of frames.
    mixing : dict
        Each custom pes_path → whether its class is the mixing layer's.
    warnings : list of str
        i-PI's own.
    """

    systems: int
    beads: int
    step: int
    total_steps: int
    safe_stride: int
    symbols: list[str]
    masses: np.ndarray
    positions: np.ndarray
    spread: float
    cell: np.ndarray
    temperature: float
    kinetic_temperature: float
    motions: list[Motion]
    forces: list[Force]
    forcefields: list[str]
    active: dict[str, list[int]]
    files: list[str]
    strides: dict[str, int]
    frames: dict[str, int]
    mixing: dict[str, bool]
    warnings: list[str]


def ask_ipi(path: Path) -> IpiView:
    """Let i-PI parse and bind an input, without a trace in its folder.

    Parameters
    ----------
    path : Path
        The input, or a RESTART.

    Returns
    -------
    IpiView

    Raises
    ------
    MixpiError
        If i-PI refuses it, or would skip something in it in silence.
    """
    size = _size_of_files(path)
    processor = int(PROCESSOR + PROCESSOR_PER_BYTE * size)
    memory = int(MEMORY + MEMORY_PER_BYTE * size)
    # -P: a folder "mixpi" where the command was given is not the package
    argv = [sys.executable, "-P", "-B", "-m", f"{__package__}.probe"]
    argv += [path.name, str(processor), str(memory)]
    env = os.environ | PYTHON_OUTPUT | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    what = f"loading {path.name} into i-PI"
    done = run_to_end(argv, PATIENCE * processor, what, env=env, cwd=path.parent)
    if done.returncode == -getattr(signal, "SIGXCPU", 0):
        raise MixpiError(
            f"i-PI has not loaded {path.name} with {processor} s of a processor, which is plenty "
            "for files of this size: is one of its numbers (beads, lists of atoms) far too large?"
        )
    try:
        facts = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise MixpiError(f"i-PI cannot load {path.name}: {last[:500]}") from None
    if "complaints" in facts:
        found = "\n  ".join(facts["complaints"])
        raise MixpiError(f"{path.name} says what i-PI does not understand:\n  {found}")
    if "error" in facts:
        raise MixpiError(f"i-PI refuses {path.name}: {facts['error']}")
    for name in ("masses", "positions", "cell"):
        facts[name] = np.array(facts[name], dtype=float)
    facts["motions"] = [Motion(**motion) for motion in facts["motions"]]
    facts["forces"] = [Force(**force) for force in facts["forces"]]
    return IpiView(**{field.name: facts[field.name] for field in fields(IpiView)})


def _size_of_files(path: Path) -> int:
    """Bytes of all files beside the input that it may name, the input among them."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        text = stream.read(4 * 1024**2)  # a RESTART, which is longer, names none
    words = set(re.findall(r">([^<>]{1,4096})</file>", text))
    names = {path, *(path.parent / word.strip() for word in words)}
    what = f"a file that {path.name} names,"
    return sum(require_file(n, what, largest=LARGEST) for n in names if os.path.isfile(n))
