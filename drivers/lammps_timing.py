"""How long LAMMPS takes for a step of a system, on so many MPI ranks."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ase import Atoms

from ..errors import MixpiError
from ..run.processes import run_to_end
from .lammps import LammpsSetup, failure


#: s that each measurement computes, and how often each is made, in turns: the shortest counts.
SECONDS, ROUNDS = 1, 2
#: s; for LAMMPS to start, and for each atom that it computes once.
PATIENCE, PATIENCE_PER_ATOM = 120.0, 5e-3
#: More ranks must save so much of a step, and of several that do the fewest are taken that
#: are within this of the shortest.
WORTH = 0.1
_LOOP = re.compile(r"Loop time of (\S+) on (\d+) procs for (\d+) steps")


def time_step(
    setup: LammpsSetup,
    atoms: Atoms,
    argv: Sequence[str],
    ranks: int,
    environment: Mapping[str, str],
) -> float:
    """Ms for a step of LAMMPS by itself.

    Parameters
    ----------
    setup : LammpsSetup
        Potential and species.
    atoms : Atoms
        The system.
    argv : sequence of str
        Command line of LAMMPS.
    ranks : int
        That it starts.
    environment : mapping
        Of the processes.

    Raises
    ------
    MixpiError
        If LAMMPS fails, or runs on another number of ranks.
    """
    commands = [
        "run 1 post no",
        f"timer timeout 00:00:{SECONDS:02d} every 1",
        "run 1000000 post no",
    ]
    with tempfile.TemporaryDirectory() as folder:
        setup.write(atoms, Path(folder), commands)
        patience = PATIENCE + PATIENCE_PER_ATOM * len(atoms)
        done = run_to_end(argv, patience, "LAMMPS", env=environment, cwd=folder)
    if done.returncode:
        raise failure(done.stdout + done.stderr)
    found = _LOOP.findall(done.stdout)
    if not found:
        raise MixpiError("LAMMPS does not say how long it took")
    seconds, there, steps = found[-1]
    if int(there) != ranks:
        raise MixpiError(
            f"{ranks} ranks were started, and LAMMPS runs on {there}, several times: mpirun "
            "belongs to another MPI than this LAMMPS, or LAMMPS was built without"
        )
    return 1e3 * float(seconds) / int(steps)


def ranks_to_try(free: int) -> list[int]:
    """Numbers of ranks that are worth measuring on so many cores: powers of two, and all."""
    free = max(1, free)
    return sorted({2**k for k in range(free.bit_length())} | {free})


def best_ranks(ms: Mapping[int, float]) -> int:
    """The fewest ranks than which more gain nothing to speak of.

    Parameters
    ----------
    ms : mapping
        Ranks → ms a step.
    """
    shortest = min(ms.values())
    return min(ranks for ranks, taken in ms.items() if taken * (1 - WORTH) <= shortest)


def in_words(ms: Mapping[int, float]) -> str:
    """What was measured, for a message."""
    first, *others = sorted(ms.items())
    unit = "rank" if first[0] == 1 else "ranks"
    words = [f"{first[1]:.3g} ms a step on {first[0]} {unit}"]
    return ", ".join([*words, *(f"{taken:.3g} on {ranks}" for ranks, taken in others)])


def shortest_of(rounds: Iterable[Mapping[int, float]]) -> dict[int, float]:
    """The shortest time of each number of ranks."""
    found: dict[int, float] = {}
    for ms in rounds:
        for ranks, taken in ms.items():
            found[ranks] = min(taken, found.get(ranks, taken))
    return found
