"""How seldom may the correction be computed? Silicon vacancy, 511 atoms, inner step 1 fs.

python scripts/outer_steps.py nve WORK [--fs 3000]     conserved quantity, runs of any length
python scripts/outer_steps.py bond WORK [--fs 3000]    a stretched bond, 300 K
python scripts/outer_steps.py table WORK               what was found

``nve``: two starts for each outer step, without a thermostat: slope and scatter of i-PI's
conserved quantity, temperature of the core. ``bond``: Langevin dynamics in which two atoms of the
core are held 0.3 Å too far apart: temperature of the core, and the mean force along the bond.
Runs that are done are not run again. ``table`` gives standard errors from the autocorrelation,
and that of the correction itself, from the runs with the shortest outer step.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from ase import Atoms, units
from ase.io import read
from mixpi.analysis.statistics import Estimate, inefficiency, mean, slope
from mixpi.files.ase_files import read_atoms
from mixpi.output.records import read_steps


CASE = Path(__file__).parent.parent / "ipi_inputs" / "si_vacancy_md"
#: fs.
OUTER, INNER, SKIP = (1, 2, 4, 8, 16, 32), 1.0, 500.0
#: fs between frames, for temperatures, and between those for the correction's autocorrelation.
STRIDE, FINE = 16, 2
#: Å; of the bond.
STRETCH = 0.3
#: Labels of regions in frames.
CORE, BLEND = 3, 2
XML = """<simulation verbosity='low' safe_stride='50'>
  <total_steps>{steps}</total_steps>
  <output prefix='md'>
    <properties stride='1' filename='out'>
      [ step, time{{femtosecond}}, conserved{{electronvolt}}, temperature{{kelvin}} ]
    </properties>
    <trajectory filename='pos' stride='{stride}' format='ase' cell_units='ase'>
      positions </trajectory>
    <trajectory filename='for' stride='{force_stride}' format='ase' cell_units='ase'>
      forces </trajectory>
    <checkpoint filename='checkpoint' stride='200' overwrite='True'/>
  </output>
  <prng><seed>{seed}</seed></prng>
  <ffdirect name='cheap'><pes>custom</pes><pes_path>mixing_pes.py</pes_path>
    <parameters>{{config: mixing.yaml, part: cheap}}</parameters></ffdirect>
  <ffdirect name='delta'><pes>custom</pes><pes_path>mixing_pes.py</pes_path>
    <parameters>{{config: mixing.yaml, part: delta}}</parameters></ffdirect>
  <system>
    <initialize nbeads='1'>
      <file mode='ase' units='ase'>init.extxyz</file>
      <velocities mode='thermal' units='kelvin'>600</velocities>
    </initialize>
    <forces>
      <force forcefield='cheap'><mts_weights>[0, 1]</mts_weights></force>
      <force forcefield='delta'><mts_weights>[1, 0]</mts_weights></force>
    </forces>
    <motion mode='dynamics'>{fixed}
      <dynamics mode='{mode}'>
        <timestep units='femtosecond'>{outer}</timestep>
        <nmts>[1, {inner_steps}]</nmts>{thermostat}
      </dynamics>
    </motion>
    <ensemble><temperature units='kelvin'>300</temperature></ensemble>
  </system>
</simulation>
"""
LANGEVIN = "<thermostat mode='langevin'><tau units='femtosecond'>100</tau></thermostat>"


def stretched(atoms: Atoms, seed: int) -> int:
    """Move the nearest neighbour of an atom outwards, and say which it is."""
    distances = atoms.get_distances(seed, range(len(atoms)), mic=True)
    other = int(np.argsort(distances)[1])
    bond = atoms.get_distance(seed, other, mic=True, vector=True)
    atoms.positions[other] += STRETCH * bond / np.linalg.norm(bond)
    return other


def prepare(folder: Path, kind: str, outer: int, seed: int, fs: float) -> None:
    """Write a folder to run in."""
    shutil.copytree(CASE, folder)
    config = yaml.safe_load((folder / "mixing.yaml").read_text())
    fine = kind == "nve" and outer == OUTER[0] and seed == 1
    config["output"] = {
        "trajectory": "mix.extxyz",
        "stride": max(1, (FINE if fine else STRIDE) // outer),
        "forces": fine,
        "velocities": True,
    }
    (folder / "mixing.yaml").write_text(yaml.safe_dump(config))
    fixed = ""
    if kind == "bond":
        atoms = read(folder / "init.extxyz")
        pair = [config["seeds"][0], stretched(atoms, config["seeds"][0])]
        atoms.write(folder / "init.extxyz", columns=["symbols", "positions"])
        (folder / "bond.json").write_text(json.dumps(pair))
        fixed = f"<fixcom>False</fixcom><fixatoms>{pair}</fixatoms>"
    (folder / "input.xml").write_text(
        XML.format(
            steps=round(fs / outer), stride=round(fs), seed=100 + seed, fixed=fixed,
            force_stride=max(1, STRIDE // outer) if kind == "bond" else round(fs),
            mode="nvt" if kind == "bond" else "nve",
            thermostat=LANGEVIN if kind == "bond" else "",
            outer=float(outer), inner_steps=round(outer / INNER),
        )
    )  # fmt: skip


def run(kind: str, work: Path, fs: float, steps: Sequence[int]) -> None:
    """All runs of a kind that are not there yet."""
    for seed in (1, 2):
        for outer in steps:
            folder = work / f"{kind}_{outer}_{seed}"
            if not folder.exists():
                prepare(folder, kind, outer, seed, fs)
            if (folder / "done").exists():
                continue
            name = "RESTART" if (folder / "RESTART").exists() else "input.xml"
            command = [sys.executable, "-m", "mixpi.cli", "run", name, "--no-reference", "--quiet"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr)
            (folder / "done").touch()
            print(folder.name, flush=True)


def core_temperatures(folder: Path, skip: float) -> np.ndarray:
    """K, of each frame; atoms that are held do not count."""
    held = json.loads((folder / "bond.json").read_text()) if (folder / "bond.json").exists() else []
    found = []
    for atoms in read_atoms(folder / "mix.extxyz", ":"):
        if atoms.info["time"] <= skip:
            continue
        core = np.flatnonzero(atoms.arrays["mix_region"] == CORE)
        core = core[~np.isin(core, held)]
        # Å/fs, as mixpi writes them
        v = atoms.arrays["velocities"][core] / units.fs
        kinetic = 0.5 * (atoms.get_masses()[core, None] * v**2).sum()
        found.append(2.0 * kinetic / (3 * len(core) * units.kB))
    return np.array(found)


def bond_forces(folder: Path, skip: float, spacing: float) -> np.ndarray:
    """eV/Å along the bond, of each frame (fs apart): what pulls the two atoms together."""
    one, other = json.loads((folder / "bond.json").read_text())
    found = []
    start = read(folder / "init.extxyz")
    along = start.get_distance(one, other, mic=True, vector=True)
    along /= np.linalg.norm(along)
    frames = read_atoms(folder / "md.for_0.extxyz", ":")
    for number, atoms in enumerate(frames):
        if number * spacing > skip:
            forces = atoms.arrays.get("forces")
            forces = atoms.get_forces() if forces is None else forces
            found.append(0.5 * float((forces[one] - forces[other]) @ along))
    return np.array(found)


def together(estimates: list[Estimate]) -> Estimate:
    """The mean of independent ones, weighted by their errors."""
    weights = np.array([one.error for one in estimates]) ** -2.0
    values = np.array([one.value for one in estimates])
    return Estimate(
        float(weights @ values / weights.sum()),
        float(weights.sum() ** -0.5),
        sum(one.independent for one in estimates),
    )


def table(work: Path) -> None:
    """A line an outer step."""
    print("| outer step (fs) | conserved: slope (µeV/atom/ps) | scatter (µeV/atom) | core, NVE (K) "
          "| all, NVE (K) | core, stretched bond (K) | force along the bond (eV/Å) |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for outer in OUTER:
        slopes, scatter, core, everywhere = [], [], [], []
        for folder in sorted(work.glob(f"nve_{outer}_*")):
            if not (folder / "done").exists():
                continue
            data = np.loadtxt(folder / "md.out")
            data = data[data[:, 1] > SKIP]
            time, energy = data[:, 1] / 1e3, 1e6 * data[:, 2] / 511
            slopes.append(slope(time, energy))
            rest = energy - np.polyval(np.polyfit(time, energy, 1), time)
            scatter.append(rest.std())
            core.append(mean(core_temperatures(folder, SKIP)))
            everywhere.append(mean(data[:, 3]))
        bonds, cores = [], []
        for folder in sorted(work.glob(f"bond_{outer}_*")):
            if (folder / "done").exists():
                bonds.append(mean(bond_forces(folder, SKIP, max(STRIDE, outer))))
                cores.append(mean(core_temperatures(folder, SKIP)))

        def text(found: list[Estimate], digits: int) -> str:
            if not found:
                return "-"
            one = together(found)
            return f"{one.value:.{digits}f} ± {one.error:.{digits}f}"

        spread = f"{np.mean(scatter):.1f}" if scatter else "-"
        print(f"| {outer} | {text(slopes, 1)} | {spread} | {text(core, 0)} | {text(everywhere, 1)} "
              f"| {text(cores, 0)} | {text(bonds, 3)} |")  # fmt: skip
    correlation(work / f"nve_{OUTER[0]}_1")


def correlation(folder: Path) -> None:
    """Autocorrelation of the correction's fluctuations, in the core and in the blend."""
    frames = [a for a in read_atoms(folder / "mix.extxyz", ":") if a.info["time"] > SKIP]
    labels = np.array([a.arrays["mix_region"] for a in frames])
    forces = np.array([a.arrays["correction_forces"] for a in frames])
    net = np.median(
        [np.abs(f[~np.isin(k, (BLEND, CORE))]).max() for f, k in zip(forces, labels, strict=True)]
    )
    print(f"largest correction outside of core and blend (net force), median: {net:.4f} eV/Å")
    steps = read_steps(folder / "mix.steps")
    print(f"core {steps['core'].mean():.1f}, blend {steps['blend'].mean():.1f} atoms")
    for name, label in (("core", CORE), ("blend", BLEND)):
        always = np.flatnonzero((labels == label).all(axis=0))
        x = forces[:, always].reshape(len(forces), -1)
        constant = np.sqrt((x.mean(axis=0) ** 2).mean())
        x = x - x.mean(axis=0)
        size = 2 * len(x)
        power = np.abs(np.fft.rfft(x, size, axis=0)) ** 2
        c = np.fft.irfft(power, size, axis=0)[: len(x)].sum(axis=1)
        c /= np.arange(len(x), 0, -1) * c[0] / len(x)
        below = int(np.argmax(c < np.exp(-1.0)))
        before = c[below - 1]
        at = FINE * (below - 1 + (before - np.exp(-1.0)) / (before - c[below]))
        zero = FINE * int(np.argmax(c < 0.0))
        g = np.mean([inefficiency(column) for column in x.T])
        print(f"correction, {name} ({len(always)} atoms): constant {constant:.3f}, fluctuates by "
              f"{x.std():.3f} eV/Å; falls to 1/e in {at:.1f} fs, to zero in {zero} fs; "
              f"curvature time {curvature_time(c):.1f} fs; "
              f"integrated {0.5 * FINE * g:.0f} fs")  # fmt: skip


def curvature_time(c: np.ndarray) -> float:
    """fs; √(−1 / C''(0)): of a harmonic force of angular frequency ω it is 1 / ω."""
    return float(FINE / np.sqrt(2.0 * (1.0 - c[1])))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("nve", "bond", "table"))
    parser.add_argument("work", type=Path)
    parser.add_argument("--fs", type=float, default=3000.0, help="length of a run")
    parser.add_argument("--outer", type=int, nargs="+", default=OUTER, help="fs; steps to run")
    given = parser.parse_args()
    if given.part == "table":
        table(given.work)
    else:
        run(given.part, given.work, given.fs, given.outer)


if __name__ == "__main__":
    main()
