"""Whether the thermostat of the i-PI input can act where the configuration says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..ipi.input import IpiInput
from ..ipi.region_thermostat import coupling, require_local
from ..ipi.view import IpiView
from ..regions.growth import Regions


def check_thermostat(ipi_input: IpiInput, view: IpiView, regions: Regions) -> Iterator[str]:
    """Look at ``thermostat:``, if it is there.

    Parameters
    ----------
    ipi_input : IpiInput
        The input.
    view : IpiView
        What i-PI understood of it.
    regions : Regions
        Those of the structure.

    Yields
    ------
    str
        On how many atoms it acts.

    Raises
    ------
    MixpiError
        If it cannot, or acts on nothing.
    """
    given = ipi_input.config.thermostat
    if given is None:
        return
    require_local((motion.mode, motion.thermostat) for motion in view.motions)
    structure = ipi_input.config_path.parent / ipi_input.config.structure
    weights = coupling(given.acts_on, structure, lambda: regions.weights)()
    whole, part = np.count_nonzero(weights == 1.0), np.count_nonzero((weights > 0) & (weights < 1))
    where = given.acts_on if given.acts_on in ("cheap", "expensive") else "the atoms chosen"
    yield f"thermostat: on {whole} of {len(weights)} atoms in full, on {part} in part ({where})"
    if not whole + part:
        yield f"warning: the thermostat acts on no atom: at the start none is {where}"
