"""What the loads of a configuration are, before a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..blend.external_forces import LoadConfig, chosen_atoms, external_forces, require_felt
from ..ipi.input import IpiInput
from ..ipi.view import IpiView
from ..structure import read_frames


def check_loads(ipi_input: IpiInput, view: IpiView) -> Iterator[str]:
    """Look at ``loads:``, if there are any.

    Parameters
    ----------
    ipi_input : IpiInput
        The input.
    view : IpiView
        What i-PI understood of it.

    Yields
    ------
    str
        A line for each, and what they add up to.

    Raises
    ------
    MixpiError
        If one is for no atom, or no layer adds them.
    """
    loads = ipi_input.config.loads
    if not loads:
        return
    require_felt(loads, (layer.part for layer in ipi_input.layers))
    path = ipi_input.config_path.parent / ipi_input.config.structure
    atoms = read_frames(path)[0]
    for load, chosen in chosen_atoms(loads, atoms):
        yield _described(load, load.on_each(atoms.cell.array, len(chosen)), len(chosen))
    together = external_forces(loads, path)
    if together.is_balanced or any(motion.fixed for motion in view.motions):
        return
    yield (
        f"warning: the loads add up to a force of {_vector(together.total)} eV/Å, and no atom is "
        "held (<fixatoms>): it accelerates the whole, or, where i-PI holds the centre of mass "
        "(<fixcom>, its default), pulls all atoms back by their masses"
    )


def _described(load: LoadConfig, on_each: np.ndarray, count: int) -> str:
    said = "" if load.traction is None else f"{_vector(load.traction)} MPa on face {load.face}: "
    return (
        f"loads: on {count} atom(s) {said}{_vector(on_each)} eV/Å each, "
        f"{_vector(count * on_each)} together"
    )


def _vector(values: Sequence[float] | np.ndarray) -> str:
    return f"({', '.join(f'{x:.4g}' for x in values)})"
