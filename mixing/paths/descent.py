"""FIRE, one step after the other, with a state on the disk: what is begun can go on.

The minimiser is ASE's (Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006)). It uses forces only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from ase.optimize import FIRE

from ..errors import MixpiError
from ..files.replacing import replace_file


#: s between states on the disk, while nothing else asks for one.
SAVE_EVERY = 10.0
#: Of FIRE: what it remembers from step to step.
_MEMORY = ("dt", "a", "Nsteps")


class Descent:
    """A minimisation.

    Parameters
    ----------
    moving : Atoms or NEB
        What ASE's optimisers move.
    state : Path
        File that it can go on from.
    about : dict
        What a state must have been made with, to be one of this: plain values.

    Attributes
    ----------
    step : int
        Steps done, those of earlier parts included.
    """

    def __init__(self, moving: Any, state: Path, about: dict) -> None:
        self._moving, self._state, self._about = moving, state, about
        self._fire = FIRE(moving, logfile=None)
        self.step = 0
        self._saved = time.monotonic()

    def resume(self) -> bool:
        """Go on from the state, if there is one; whether there was.

        Raises
        ------
        MixpiError
            If it is no state, or one of something else.
        """
        if not self._state.exists():
            return False
        try:
            with self._state.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
                about = json.loads(str(found["about"]))
                positions, velocity = found["positions"], found["velocity"]
                memory = [float(x) for x in found["memory"]]
                step = int(found["step"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise MixpiError(
                f"{self._state} is no state to go on from ({error}): remove it"
            ) from None
        own = json.loads(json.dumps(self._about))
        if about != own or positions.shape != np.shape(self._moving.get_positions()):
            differs = [name for name in own if about.get(name) != own[name]] or ["the structure"]
            raise MixpiError(
                f"{self._state} is a state of another simulation ({', '.join(differs)}): remove "
                "it, or give back what it was made with"
            )
        self._moving.set_positions(positions)
        self._fire.vel = velocity if velocity.size else None
        for name, value in zip(_MEMORY, memory, strict=True):
            setattr(self._fire, name, type(getattr(self._fire, name))(value))
        self.step = step
        return True

    def save(self) -> None:
        """Write the state."""
        velocity = self._fire.vel
        arrays = {
            "about": json.dumps(self._about),
            "positions": self._moving.get_positions(),
            "velocity": np.zeros(0) if velocity is None else velocity,
            "memory": [float(getattr(self._fire, name)) for name in _MEMORY],
            "step": self.step,
        }

        def write(part: Path) -> None:
            with part.open("wb") as stream:
                np.savez(stream, **arrays)

        replace_file(self._state, write)
        self._saved = time.monotonic()

    def kept(self, error: MixpiError) -> MixpiError:
        """The same error once the state is written, with word of it.

        It may be the state itself that is in vain, as of atoms that have come too close.
        """
        self.save()
        error.args = (
            f"{error}\n(step {self.step} is kept in {self._state.name}: the same command goes on "
            "from there, with --afresh it begins anew)",
        )
        return error

    def walk(self, *, fmax: float, steps: int, force: Callable[[], float]) -> Iterator[float]:
        """Step until the largest force is small enough.

        Parameters
        ----------
        fmax : float
            eV/Å.
        steps : int
            No more than so many, earlier parts included.
        force : callable
            The largest force (eV/Å) as it is now.

        Yields
        ------
        float
            The largest force (eV/Å) before each step, and at the end.
        """
        while True:
            largest = force()
            yield largest
            if largest <= fmax or self.step >= steps:
                self.save()
                return
            self._fire.step()
            self.step += 1
            if time.monotonic() - self._saved > SAVE_EVERY:
                self.save()
