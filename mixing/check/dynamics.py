"""Whether i-PI's dynamics can do what the configuration makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import Atoms

from ..errors import MixpiError
from ..ipi.input import IpiInput
from ..ipi.time_step import require_plain
from ..ipi.view import IpiView
from ..regions.expression import Condition


def check_dynamics(ipi_input: IpiInput, view: IpiView, atoms: Atoms) -> Iterator[str]:
    """Look at ``time_step:`` and ``end:``, if they are there.

    Parameters
    ----------
    ipi_input : IpiInput
        The input.
    view : IpiView
        What i-PI understood of it.
    atoms : Atoms
        The structure.

    Yields
    ------
    str
        What they do.

    Raises
    ------
    MixpiError
        If they cannot, or the run would end at once.
    """
    config = ipi_input.config
    if given := config.time_step:
        require_plain(((motion.mode, motion.nmts) for motion in view.motions), view.beads)
        yield (
            f"time step: {given.displacement:g} Å of the fastest atom, {given.longest:g} fs at most"
        )
    if config.end is None:
        return
    ends = [f"after {config.end.time:g} fs"] if config.end.time else []
    if config.end.where:
        try:
            condition = Condition(config.end.where)
            there = np.flatnonzero(condition.holds(atoms.positions, list(atoms.symbols)))
        except MixpiError as error:
            raise MixpiError(f"end: where: {error}") from None
        if len(there):
            raise MixpiError(
                f"end: where: atom {there[0]} (from 0) meets '{condition.text}' already in "
                f"{config.structure}: the run would end after its first step"
            )
        ends.append(f"when an atom meets '{condition.text}'")
    yield f"end: {', or '.join(ends)}, or after {ipi_input.total_steps} steps"
