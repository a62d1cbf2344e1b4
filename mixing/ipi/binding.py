"""Changes of i-PI's simulation that are made before it does anything.

A potential is made while i-PI reads its input; its simulation comes later, by whatever program it
is run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipi.engine.simulation import Simulation


_ipi_bind = Simulation.bind
#: Potentials of this process, and what is to be done to the simulation that they belong to.
_waiting: list[tuple[object, Callable[[Simulation], None]]] = []


def before_binding(pes: object, change: Callable[[Simulation], None]) -> None:
    """Change the simulation that i-PI is reading, before its parts are bound to each other.

    Parameters
    ----------
    pes : object
        The potential, by which its simulation is known.
    change : callable
        Gets the simulation.
    """
    _waiting.append((pes, change))
    Simulation.bind = _bind


def _bind(simulation: Simulation, *arguments: Any, **keywords: Any) -> None:
    drivers = [getattr(forcefield, "driver", None) for forcefield in simulation.fflist.values()]
    for pes, change in _waiting:
        if any(driver is pes for driver in drivers):
            change(simulation)
    _ipi_bind(simulation, *arguments, **keywords)
