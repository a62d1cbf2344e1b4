"""On how many MPI ranks the cheap LAMMPS is fastest: measured, and recommended."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ase import Atoms

from ..config import MixingConfig
from ..drivers.lammps_driver import LammpsDriver
from ..drivers.lammps_timing import (
    ROUNDS,
    best_ranks,
    in_words,
    ranks_to_try,
    shortest_of,
    time_step,
)
from ..drivers.programs import MPI_LAUNCHERS, find_program, split_words
from ..errors import MixpiError
from ..ipi.input import IpiInput
from .room import cores_here


#: ms; steps of one rank that are shorter are not worth dividing: the mixing itself takes as long.
SHORT = 5.0


def free_cores(config: MixingConfig, here: int) -> int:
    """Cores for each cheap driver: those that neither the expensive ones nor i-PI ask for.

    Ranks that wait keep their cores busy, so i-PI needs one of its own.

    Parameters
    ----------
    config : MixingConfig
        Which drivers there are.
    here : int
        Cores of this machine.

    Returns
    -------
    int
        At least 1.
    """
    expensive = config.expensive
    taken = (expensive.driver.cores or 0) * expensive.count if config.mixes else 0
    return max(1, (here - taken - 1) // config.cheap.count)


def measure_ranks(ipi_input: IpiInput, atoms: Atoms) -> Iterator[str]:
    """Time the cheap LAMMPS on the cores that are free, and say which ``launch:`` is best.

    Nothing is measured where only one rank makes sense, a step is short, or a launcher, an
    accelerator or threads decide otherwise.

    Parameters
    ----------
    ipi_input : IpiInput
        The simulation.
    atoms : Atoms
        Its structure.

    Yields
    ------
    str
        What was found.
    """
    config, home = ipi_input.config, ipi_input.config_path.parent
    driver = config.cheap.driver
    if not isinstance(driver, LammpsDriver) or config.cheap.external or not _plain(driver):
        return
    configured, free = driver.cores or 1, free_cores(config, cores_here())
    mpirun = driver.launch.split()[0] if driver.launch else "mpirun"
    numbers = sorted({*ranks_to_try(free), configured})
    if numbers == [1] or find_program(mpirun, home) is None:
        return

    def once(ranks: int) -> float:
        launch = f"{mpirun} -n {ranks}" if ranks > 1 else ""
        one = driver.model_copy(update={"launch": launch})
        return time_step(one.setup(home), atoms, one.program(home), ranks, one.environment())

    try:
        if configured == 1 and once(1) < SHORT:
            return
        ms = shortest_of({ranks: once(ranks) for ranks in numbers} for _ in range(ROUNDS))
    except MixpiError as error:
        word = "warning" if configured > 1 else "note"
        yield f"{word}: cheap: MPI ranks were not compared: {error}"
        return
    fitting = {ranks: taken for ranks, taken in ms.items() if ranks <= free or ranks == configured}
    best = best_ranks(fitting)
    cores = f"{free} {'core' if free == 1 else 'cores'} free for it"
    found = f"cheap: LAMMPS takes {in_words(ms)} ({cores}, a core for i-PI left out)"
    if best == configured:
        yield f"{found}; the launch that is configured is best"
        return
    wanted = f"'launch: {mpirun} -n {best}'" if best > 1 else "no 'launch:'"
    gain = ms[configured] / ms[best]
    yield f"note: {found}; {wanted} in lammps: makes it {gain:.1f} times as fast"


def _plain(driver: LammpsDriver) -> bool:
    """Whether nothing but the number of ranks says how it runs."""
    words = split_words(driver.launch, "cheap: lammps: launch")
    if words:
        launcher = os.path.basename(words[0]) in MPI_LAUNCHERS and len(words) == 3
        if not launcher or driver.cores is None:
            return False
    accelerated = {"-k", "-kokkos", "-pk", "-package"}
    return not accelerated & set(split_words(driver.arguments, "cheap: lammps: arguments"))
