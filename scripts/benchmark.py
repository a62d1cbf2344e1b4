"""The figures of docs/benchmarks.md: regions, clusters, overhead.

python scripts/benchmark.py regions      time of build_regions, and of other neighbour searches
python scripts/benchmark.py cluster      a cluster in its periodic cell against an unwrapped one
python scripts/benchmark.py overhead     8,000 atoms with LAMMPS and MACE: overhead and speed-up
python scripts/benchmark.py steps        a mixed step of each example, also with partial evaluation
python scripts/benchmark.py snap         SNAP on both sides: error against cost, and mixed steps
python scripts/benchmark.py large        200,000 atoms with drivers that cost nothing
python scripts/benchmark.py beads        overhead against the number of beads and of drivers
python scripts/benchmark.py net_force    drift of the energy estimate, net force removed or not
python scripts/benchmark.py classify     one classification of all atoms and some, LAMMPS and ours

Compared things are measured in turns and the medians are printed: absolute times on
a shared machine mean little.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import yaml
from ase import Atoms, units
from ase.build import bulk
from ase.io import read
from mixpi import build_regions
from mixpi.analysis.report import make_report
from mixpi.config import load_config
from mixpi.drivers import lammps
from mixpi.drivers.mace import MaceEngine
from mixpi.drivers.mace_driver import MaceDriver
from mixpi.ipi.input import read_ipi_input
from mixpi.structure import read_structure


ROOT = Path(__file__).parent.parent
CASE = ROOT / "ipi_inputs" / "si_vacancy_md_8000"
MODEL = ROOT / "ipi_inputs" / "models" / "si-small.model"


def in_turns(
    functions: dict, *, repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median ms of each function, called in turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = clock()
            function()
            times[name].append(1e3 * (clock() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def rattled_silicon(cells: tuple[int, int, int], seed: int = 0) -> Atoms:
    atoms = bulk("Si", "diamond", a=5.467, cubic=True) * cells
    atoms.positions += np.random.default_rng(seed).normal(0, 0.06, atoms.positions.shape)
    return atoms


def regions() -> None:
    """build_regions, and what the libraries would cost that find neighbours of all atoms."""
    import vesin
    from matscipy.neighbours import neighbour_list
    from scipy.spatial import cKDTree

    radii = {"core": 4.0, "blend": 4.0, "buffer": 6.0}
    atoms = rattled_silicon((25, 25, 40))
    x, cell, n = atoms.positions, atoms.cell.array, len(atoms)
    rng = np.random.default_rng(1)
    choices = {
        "1 seed": [n // 2],
        "100 scattered seeds": rng.choice(n, 100, replace=False),
        "1,000 scattered seeds": rng.choice(n, 1_000, replace=False),
        "10,000 scattered seeds": rng.choice(n, 10_000, replace=False),
        "a line of seeds": np.flatnonzero(np.linalg.norm(x[:, :2] - 60.0, axis=1) < 5.0),
        "a plane of seeds": np.flatnonzero(np.abs(x[:, 2] - 100.0) < 3.0),
        "all atoms": np.arange(n),
    }
    print(f"{n} atoms, {radii}; ms, medians in turns")
    functions = {
        f"{name} ({len(seeds)})": lambda s=seeds: build_regions(x, cell, s, **radii)
        for name, seeds in choices.items()
    }
    for name, ms in in_turns(functions, repeats=7).items():
        print(f"{name:<32} {ms:9.2f}")

    print(f"one seed, {radii}; ms, medians in turns")
    for cells in ((10, 10, 10), (25, 25, 40), (50, 50, 50)):
        atoms = rattled_silicon(cells)
        x, cell = atoms.positions, atoms.cell.array
        wrapped = atoms.get_positions(wrap=True)
        lengths = atoms.cell.lengths()
        middle = len(atoms) // 2
        functions = {
            "build_regions": lambda x=x, c=cell, m=middle: build_regions(x, c, [m], **radii),
            "cKDTree, build + 1 query": lambda w=wrapped, le=lengths, m=middle: cKDTree(
                np.mod(w, le), boxsize=le
            ).query_ball_point(w[m], 14.0),
        }
        if len(atoms) <= 200_000:
            functions["vesin, all pairs 4 Å"] = lambda x=x, c=cell: vesin.NeighborList(
                cutoff=4.0, full_list=True
            ).compute(x, c, True, "i")
            functions["matscipy, all pairs 4 Å"] = lambda a=atoms: neighbour_list("i", a, 4.0)
        for name, ms in in_turns(functions, repeats=7).items():
            print(f"{len(atoms):>9} atoms  {name:<26} {ms:9.2f}")


def cluster() -> None:
    """MACE on the same cluster: periodic in the whole cell, and alone in the vacuum."""
    atoms = read_structure(CASE / "init.extxyz")
    atoms.positions += np.random.default_rng(0).normal(0, 0.06, atoms.positions.shape)
    config = load_config(CASE / "mixing.yaml")
    r = build_regions(atoms.positions, atoms.cell, config.seed_indices, **config.regions.radii)
    part = atoms[r.cluster]
    centre = part.positions.mean(axis=0)
    alone = part.copy()
    alone.set_cell(np.eye(3) * (np.ptp(part.positions, axis=0).max() + 20.0))
    alone.positions += alone.cell.sum(axis=0) / 2 - centre
    engine = MaceEngine(MODEL, threads=1)
    forces = {}

    def evaluate(name, system):
        _, forces[name], _ = engine.evaluate(system.numbers, system.positions, system.cell.array)

    functions = {
        "periodic cell kept": lambda: evaluate("kept", part),
        "unwrapped into vacuum": lambda: evaluate("alone", alone),
    }
    in_turns(functions, repeats=3)
    for name, ms in in_turns(functions, repeats=15).items():
        print(f"{len(part)} atoms  {name:<24} {ms:8.1f} ms")
    print(
        f"largest difference of forces: {np.abs(forces['kept'] - forces['alone']).max():.1e} eV/Å"
    )


def _mixed_run(case: Path, *, reference: bool = False) -> dict:
    flags = ["--quiet"] + ["--no-reference"] * (not reference)
    done = subprocess.run(
        [sys.executable, "-m", "mixpi.cli", "run", "input.xml", *flags],
        cwd=case,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    if reference:
        return json.loads((case / "mixpi.report.json").read_text())
    return make_report(read_ipi_input(case / "input.xml"))


def _lammps_alone(case: Path, atoms: Atoms, pin: list[str]) -> float:
    """Ms for a step of LAMMPS by itself."""
    config = load_config(case / "mixing.yaml")
    folder = case / "alone"
    commands = ["timestep 0.001", "fix 1 all nve", "run 20", "run 60"]
    config.cheap.lammps.setup(case).write(atoms, folder, commands)
    done = subprocess.run(
        [*pin, *lammps.command()],
        cwd=folder,
        env=lammps.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return 1e3 * float(re.findall(r"Loop time of (\S+)", done.stdout)[-1]) / 60


CLUSTER_ALONE = """
import sys, time, numpy as np
from ase.io import read
from pathlib import Path
from mixpi.drivers.mace_driver import MaceDriver
engine = MaceDriver(model=sys.argv[1], threads=1).load(Path("."))
part, times = read(sys.argv[2]), []
for _ in range(12):
    start = time.perf_counter()
    engine.evaluate(part.numbers, part.positions, part.cell.array)
    times.append(time.perf_counter() - start)
print(1e3 * np.median(times[3:]))
"""


#: A core for each driver.
PINS = {"cheap": ["taskset", "-c", "0"], "expensive": ["taskset", "-c", "1"]}


@contextlib.contextmanager
def _pinned_case(
    name: str, *, steps: int | None = None, part: tuple[float, float, float] | None = None
) -> Iterator[tuple[Path, dict]]:
    """A copy of an example without a trajectory, a core for each driver; and its configuration.

    ``part`` are the radii (Å) of site energies and features, and the buffer.
    """
    with tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / "case"
        shutil.copytree(ROOT / "ipi_inputs" / name, case)
        config = yaml.safe_load((case / "mixing.yaml").read_text())
        config["expensive"]["mace"]["launch"] = " ".join(PINS["expensive"])
        config["cheap"]["lammps"]["launch"] = " ".join(PINS["cheap"])
        config["output"]["trajectory"] = None
        if part:
            sites, features, config["regions"]["buffer"] = part
            config["expensive"]["mace"]["partial"] = {"sites": sites, "features": features}
        (case / "mixing.yaml").write_text(yaml.safe_dump(config))
        if steps:
            text = (case / "input.xml").read_text()
            text = re.sub(r"<total_steps>\d+", f"<total_steps>{steps}", text)
            (case / "input.xml").write_text(text)
        yield case, config


def overhead() -> None:
    """A run of the 8,000-atom case, each driver on a core, and each driver alone."""
    with _pinned_case(CASE.name) as (case, config):
        atoms = read_structure(case / "init.extxyz")
        table: dict[str, list[float]] = {}

        def note(name: str, value: float) -> None:
            table.setdefault(name, []).append(value)

        for _ in range(3):
            report = _mixed_run(case)
            note("step", report["evaluation_ms"]["median"])
            note("overhead (step - slower driver)", report["overhead_ms"]["median"])
            note("  i-PI", report["stages_ms"]["ipi"])
            note("  regions and cluster", report["stages_ms"]["regions"])
            note("  handing out", report["stages_ms"]["send"])
            note("  blending", report["stages_ms"]["blending"])
            note("cheap reply after", report["stages_ms"]["cheap"])
            note("expensive reply after", report["stages_ms"]["expensive"])
            note("T_cheap, alone", _lammps_alone(case, atoms, PINS["cheap"]))
            last = read(case / "md.pos_0.extxyz", -1)
            r = build_regions(last.positions, last.cell, config["seeds"], **config["regions"])
            last[r.cluster].write(case / "cluster.extxyz")
            alone = subprocess.run(
                [*PINS["expensive"], sys.executable, "-c", CLUSTER_ALONE, str(MODEL),
                 str(case / "cluster.extxyz")],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            note("T_cluster, alone", float(alone.stdout.split()[-1]))
        engine = MaceDriver(model=str(MODEL), threads=1).load(Path("."))
        full = engine.time_one_call(atoms)
        print(
            f"{len(atoms)} atoms, cluster of {int(sum(r.counts))}; ms, medians of 3 runs in turns"
        )
        medians = {name: float(np.median(values)) for name, values in table.items()}
        for name, ms in medians.items():
            print(f"{name:<34}{ms:9.2f}   {np.round(table[name], 2)}")
        bound = max(medians["T_cheap, alone"], medians["T_cluster, alone"])
        print(f"step / max(T_cheap, T_cluster) = {medians['step'] / bound:.3f}")
        print(f"all-expensive step: {full:.2f} s; speed-up {1e3 * full / medians['step']:.1f}x")


#: Case → radii (Å) of site energies and features, and a buffer that is wide enough for these.
PARTIAL = {
    "si_vacancy_md_8000": (4.5, 3.0, 9.5),
    "w_he_md": (6.0, 5.0, 11.5),
    "fe_dumbbell_md": (5.0, 4.0, 10.0),
}


def steps() -> None:
    """A mixed step of each example, a core for each driver, against the same engine everywhere.

    Whole clusters and partial evaluation in turns, three runs of 60 steps each.
    """
    for name, part in PARTIAL.items():
        rows: dict[str, dict[str, list[float]]] = {}
        for _ in range(3):
            for way, radii in (("whole cluster", None), ("partial", part)):
                with _pinned_case(name, steps=60, part=radii) as (case, _):
                    report = _mixed_run(case, reference=True)
                table = rows.setdefault(way, {})
                for key, value in {
                    "step": report["evaluation_ms"]["median"],
                    "cheap": report["stages_ms"]["cheap"],
                    "expensive": report["stages_ms"]["expensive"],
                    "overhead": report["overhead_ms"]["median"],
                    "speed-up": report["speed_up"],
                }.items():
                    table.setdefault(key, []).append(value)
        print(f"{name}; ms, medians of 3 runs in turns, all runs behind", flush=True)
        for way, table in rows.items():
            for key, values in table.items():
                print(
                    f"  {way:<14}{key:<10}{np.median(values):8.1f}   {np.round(values, 1)}",
                    flush=True,
                )


def snap() -> None:
    """SNAP on both sides, as in the benchmark of ML-MIX; see snap_both.py."""
    import snap_both

    snap_both.everything([4.0, 0.0])


def large() -> None:
    """200,000 atoms, drivers that return zeros: what is left is i-PI, sockets and mixing."""
    with tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / "case"
        shutil.copytree(CASE, case)
        atoms = rattled_silicon((25, 25, 40))
        atoms.write(case / "init.extxyz", columns=["symbols", "positions"])
        config = yaml.safe_load((case / "mixing.yaml").read_text())
        config["seeds"] = [len(atoms) // 2]
        driver = {"command": f"{sys.executable} -m mixpi.cli driver zero --address {{address}}"}
        config |= {"cheap": driver, "expensive": driver, "output": {"trajectory": None}}
        (case / "mixing.yaml").write_text(yaml.safe_dump(config))
        text = (case / "input.xml").read_text()
        text = re.sub(r"<trajectory.*?</trajectory>|<checkpoint[^>]*/>", "", text, flags=re.S)
        text = re.sub(r"safe_stride='\d+'", "safe_stride='1000'", text)
        (case / "input.xml").write_text(text)
        for _ in range(3):
            report = _mixed_run(case)
            stages = {name: round(ms, 2) for name, ms in report["stages_ms"].items()}
            print(f"{len(atoms)} atoms: overhead {report['overhead_ms']['median']:.1f} ms, "
                  f"step {report['evaluation_ms']['median']:.1f} ms, stages {stages}")  # fmt: skip


BEADS, DRIVERS = (1, 4, 8, 16, 32), (1, 2)


def beads() -> None:
    """Beads of 64 atoms on toy drivers that cost next to nothing: what is left is overhead."""
    print("ms an evaluation of all beads (median of 3 runs of 10 steps, in turns)")
    times: dict[tuple[int, int], list[float]] = {}
    for _ in range(3):
        for key in ((beads, drivers) for beads in BEADS for drivers in DRIVERS):
            with tempfile.TemporaryDirectory() as folder:
                case = Path(folder) / "case"
                _toy_case(case, *key)
                times.setdefault(key, []).append(_mixed_run(case)["evaluation_ms"]["median"])
    print("beads  " + "".join(f"{n:>9} driver(s) a pool" for n in DRIVERS))
    for number in BEADS:
        print(f"{number:>5}  " + "".join(f"{np.median(times[number, n]):>26.1f}" for n in DRIVERS))


def _toy_case(case: Path, beads: int, drivers: int) -> None:
    shutil.copytree(CASE, case)
    rattled_silicon((2, 2, 2)).write(case / "init.extxyz", columns=["symbols", "positions"])
    config = yaml.safe_load((case / "mixing.yaml").read_text())
    command = f"{sys.executable} -m mixpi.cli driver toy --address {{address}}"
    driver = {"command": command, "count": drivers}
    config |= {"cheap": driver, "expensive": driver, "output": {"trajectory": None}, "seeds": [0]}
    config["regions"] = {"core": 2.5, "blend": 2.0, "buffer": 3.0}
    (case / "mixing.yaml").write_text(yaml.safe_dump(config))
    text = (case / "input.xml").read_text()
    text = re.sub(r"<trajectory.*?</trajectory>|<checkpoint[^>]*/>", "", text, flags=re.S)
    text = re.sub(r"<total_steps>\d+", "<total_steps>10", text)
    text = re.sub(r"nbeads='1'", f"nbeads='{beads}'", text)
    batch = f"<batch_size>{beads}</batch_size></ffdirect>"
    (case / "input.xml").write_text(text.replace("</ffdirect>", batch))


def _verlet(atoms: Atoms, forces, *, steps: int, step: float) -> list[float]:
    """Total energies (eV) along NVE; ``forces()`` gives energy and forces."""
    energy, force = forces()
    totals = [energy + atoms.get_kinetic_energy()]
    for _ in range(steps):
        atoms.set_momenta(atoms.get_momenta() + 0.5 * step * force)
        atoms.positions += step * atoms.get_velocities()
        energy, force = forces()
        atoms.set_momenta(atoms.get_momenta() + 0.5 * step * force)
        totals.append(energy + atoms.get_kinetic_energy())
    return totals


def net_force() -> None:
    """NVE of hydrogen in nickel: who bears the removal of the net force, is its work counted?

    Both potentials are ASE's EMT; a narrow buffer makes the cluster's forces differ.
    """
    from ase.calculators.emt import EMT
    from mixpi.blend.mixer import Mixer, WorkOfCorrection

    atoms = bulk("Ni", cubic=True, a=3.52) * (4, 4, 4)
    atoms += Atoms("H", [(np.array([0.5, 0.0, 0.0]) + 1) * 3.52])
    masses, light = atoms.get_masses(), len(atoms) - 1
    equal = np.ones(len(atoms))
    variants = {
        "left in": (False, equal, True),
        "removed equally, work not counted": (True, equal, False),
        "removed equally, work counted": (True, equal, True),
        "removed by mass, work counted": (True, masses, True),
    }
    print("150 fs of NVE at 300 K, three starts each; energy estimate, meV")
    print(f"{'':<36}{'mean of the last 50 fs − first 50':<36}{'force on H (meV/Å, rms)':>24}")
    for name, (remove, shares, counted) in variants.items():
        drifts, pushes = [], []
        for seed in range(3):
            system = atoms.copy()
            rng = np.random.default_rng(seed)
            momenta = rng.normal(0.0, np.sqrt(masses[:, None] * units.kB * 600.0), (len(atoms), 3))
            system.set_momenta(momenta - np.outer(masses / masses.sum(), momenta.sum(axis=0)))
            mixer = Mixer(system.numbers, [light], core=3.0, blend=2.0, buffer=2.0,
                          remove_net_force=remove, masses=shares)  # fmt: skip
            work = WorkOfCorrection(shares)

            def forces(system=system, mixer=mixer, work=work, shares=shares, counted=counted,
                       pushes=pushes):  # fmt: skip
                plan = mixer.plan([system.positions], [system.cell.array])
                whole = Atoms(system.numbers, system.positions, cell=system.cell, pbc=True)
                part = whole[plan.cluster.indices]
                whole.calc, part.calc = EMT(), EMT()
                mixed = mixer.combine(plan, whole.get_forces(), part.get_forces())
                pushes.append(mixed.removed * shares[light] / shares.sum())
                seen = mixed if counted else replace(mixed, removed=np.zeros(3))
                [done] = work.add([system.positions.copy()], system.cell.array, plan, [seen])
                return whole.get_potential_energy() - done, mixed.forces

            totals = 1e3 * np.array(_verlet(system, forces, steps=300, step=0.5 * units.fs))
            drifts.append(totals[-100:].mean() - totals[:100].mean())
        push = 1e3 * np.sqrt(np.mean(np.square(pushes)))
        print(f"{name:<36}{np.array2string(np.array(drifts), precision=2):<36}{push:>24.3f}")


def classify() -> None:
    """Values of atoms that have moved since the last time; opening is done once in a run."""
    from mixpi.drivers.lammps_compute import LammpsCompute
    from mixpi.regions.classifiers import Classifier, CoordinationNumber

    def in_new_places(classifier: Classifier, atoms: Atoms) -> Callable[[], np.ndarray]:
        rng, x = np.random.default_rng(0), atoms.positions
        places = cycle([x + rng.normal(0, 0.1, x.shape) for _ in range(5)])
        return lambda: classifier.values(next(places), atoms.cell.array)

    for cells in ((16, 16, 16), (40, 50, 50)):
        atoms = bulk("W", cubic=True) * cells
        line = np.hypot(*(atoms.positions - atoms.positions.mean(axis=0))[:, :2].T) < 15.0
        opened, functions = {}, {}
        for command in ("coord/atom cutoff 2.0", "cna/atom 3.838", "centro/atom bcc"):
            for name, among in ((command, None), (f"{command}, among", line)):
                start = time.process_time()
                compute = LammpsCompute(command, atoms, among=among)
                opened[name] = f"opened in {time.process_time() - start:.2f} s; {compute.note}"
                functions[name] = in_new_places(compute, atoms)
        functions["coordination: 3.0"] = in_new_places(CoordinationNumber(3.0), atoms)
        print(f"{len(atoms)} atoms; ms of the processor (one thread), medians in turns")
        print(f"among: {line.sum()} atoms within 15 Å of a line")
        for name, ms in in_turns(functions, repeats=9, clock=time.process_time).items():
            print(f"{name:<30} {ms:9.1f}   {opened.get(name, '')}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    functions = (regions, cluster, overhead, steps, snap, large, beads, net_force, classify)
    parts = {f.__name__: f for f in functions}
    parser.add_argument("part", choices=parts)
    parts[parser.parse_args().part]()


if __name__ == "__main__":
    main()
