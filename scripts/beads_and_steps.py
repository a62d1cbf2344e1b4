"""What beads and multiple time steps cost, with the correction on fewer of both.

python scripts/beads_and_steps.py table     He in 128 W: P = 1, 8, 32; every form
python scripts/beads_and_steps.py product   7,999 Si, P = 32: against the cheap potential alone

Evaluations are those that the drivers have counted themselves (``mixpi.load.json``). Forms are
measured in turns, and medians over steps and turns are printed: absolute times on a shared
machine mean little.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from mixpi.analysis.report import make_report
from mixpi.drivers.mace_driver import MaceDriver
from mixpi.ipi.input import read_ipi_input
from mixpi.output.records import CHEAP_LAYER, read_steps
from mixpi.structure import read_structure


INPUTS = Path(__file__).parent.parent / "ipi_inputs"
#: fs; of the fastest level.
INNER = 0.5
XML = """<simulation verbosity='low' safe_stride='100000'>
  <total_steps>{steps}</total_steps>
  <output prefix='md'><properties stride='1' filename='out'>
    [ step, time{{femtosecond}}, conserved{{electronvolt}}, temperature{{kelvin}} ]
  </properties></output>
  <prng><seed>1</seed></prng>
  {fields}
  <system>
    <initialize nbeads='{beads}'>
      <file mode='ase' units='ase'>init.extxyz</file>
      <velocities mode='thermal' units='kelvin'>300</velocities>
    </initialize>
    <forces>{forces}</forces>
    <motion mode='dynamics'><dynamics mode='nvt'>
      <timestep units='femtosecond'>{step}</timestep><nmts>{nmts}</nmts>
      <thermostat mode='pile_l'><tau units='femtosecond'>100</tau></thermostat>
    </dynamics></motion>
    <ensemble><temperature units='kelvin'>300</temperature></ensemble>
  </system>
</simulation>
"""


@dataclass(frozen=True)
class Form:
    """How often what is computed.

    Attributes
    ----------
    beads : int
        P.
    contracted : int
        Beads of the correction; 0 for force mode, where there is none of its own.
    every : int
        Inner time steps from one correction to the next.
    """

    beads: int
    contracted: int = 0
    every: int = 1

    @property
    def name(self) -> str:
        """In words."""
        if not self.contracted:
            return "force mode"
        parts = []
        if self.contracted < self.beads:
            parts.append(f"contracted to {self.contracted}")
        if self.every > 1:
            parts.append(f"every {self.every} steps")
        return "delta, " + " and ".join(parts or ["all beads, every step"])

    def xml(self, steps: int) -> str:
        """The input of so many outer steps."""
        levels = {"nmts": [1, self.every], "step": INNER * self.every, "steps": steps}
        if not self.contracted:
            levels["nmts"] = [self.every]
            fields, forces = _layer("force", self.beads), _force("force", "[1]")
        else:
            fields = _layer("cheap", self.beads) + _layer("delta", self.contracted)
            fewer = f" nbeads='{self.contracted}'" if self.contracted < self.beads else ""
            forces = _force("cheap", "[0, 1]") + _force("delta", "[1, 0]", fewer)
        return XML.format(fields=fields, forces=forces, beads=self.beads, **levels)


def _layer(part: str, batch: int) -> str:
    batched = f"<batch_size>{batch}</batch_size>" if batch > 1 else ""
    return (
        f"<ffdirect name='{part}'><pes>custom</pes><pes_path>mixing_pes.py</pes_path>"
        f"<parameters>{{config: mixing.yaml, part: {part}}}</parameters>{batched}</ffdirect>"
    )


def _force(part: str, weights: str, fewer: str = "") -> str:
    return f"<force forcefield='{part}'{fewer}><mts_weights>{weights}</mts_weights></force>"


@dataclass(frozen=True)
class Measured:
    """A run.

    Attributes
    ----------
    counts : dict of str to float
        Pool → evaluations in an outer step, counted by its drivers.
    ms : float
        Median time of an outer step.
    over_cheap : float
        The same over what i-PI and the cheap forces took of it, median over the steps: what the
        correction adds, from times that are seconds apart. NaN in force mode.
    """

    counts: dict[str, float]
    ms: float
    over_cheap: float


def measure(source: Path, form: Form, steps: int, **changes) -> Measured:
    """Run a form of a case in a folder of its own; ``changes`` are keys of its configuration."""
    with tempfile.TemporaryDirectory() as parent:
        case = Path(parent) / "case"
        shutil.copytree(source, case)
        config = yaml.safe_load((case / "mixing.yaml").read_text()) | changes
        config["output"] = {"trajectory": None}
        (case / "mixing.yaml").write_text(yaml.safe_dump(config))
        (case / "input.xml").write_text(form.xml(steps))
        command = [sys.executable, "-m", "mixpi.cli", "run", "input.xml", "--quiet"]
        done = subprocess.run(
            [*command, "--no-reference"], cwd=case, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        report = make_report(read_ipi_input(case / "input.xml"))
        counts: dict[str, float] = {}
        for name, load in json.loads((case / "mixpi.load.json").read_text())["drivers"].items():
            pool = name.rpartition("-")[0]
            counts[pool] = counts.get(pool, 0.0) + load["evaluations"] / steps
        rows = {k: v[1:] for k, v in read_steps(case / "mix.steps").items()}
    return Measured(counts, report["step_ms"]["median"], over_cheap(rows))


def over_cheap(rows: dict[str, np.ndarray]) -> float:
    """Time of a step over that of its cheap forces and of i-PI."""
    if CHEAP_LAYER not in rows or "expensive" not in rows:
        return float("nan")
    cheap = rows["ipi"] + rows[CHEAP_LAYER]
    slower = np.maximum(rows["expensive"], rows["cheap_cluster"])
    added = rows["regions"] + rows["blending"] + rows["output"] + slower
    return float(np.median(1.0 + added / cheap))


def forms(beads: int) -> list[Form]:
    """Force mode first."""
    fewer = [number for number in (1, 2, 4) if number < beads]
    return [
        Form(beads),
        *(Form(beads, number) for number in fewer),
        *(Form(beads, beads, every) for every in (2, 4, 8)),
        *(Form(beads, number, 4) for number in fewer),
    ]


def table(steps: int, turns: int, numbers: Sequence[int]) -> None:
    """Every form on helium in tungsten."""
    found: dict[Form, list[Measured]] = {}
    for _ in range(turns):
        for beads in numbers:
            for form in forms(beads):
                found.setdefault(form, []).append(measure(INPUTS / "he_in_w_pimd", form, steps))
    pools = ("expensive", "cheap", "cheap_cluster")
    print(f"medians of {turns} runs in turns, {steps} outer steps each")
    print("| beads | form | evaluations an inner step: expensive | cheap | cheap on the cluster "
          "| ms an inner step | steps a second | speed-up |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for form, runs in found.items():
        ms = np.array([run.ms / form.every for run in runs])
        base = np.array([run.ms for run in found[Form(form.beads)]])
        counts = [f"{runs[0].counts.get(pool, 0.0) / form.every:.3g}" for pool in pools]
        print(f"| {form.beads} | {form.name} | {' | '.join(counts)} | {np.median(ms):.1f} "
              f"| {1e3 / np.median(ms):.1f} | {np.median(base / ms):.1f} |")  # fmt: skip


def product(steps: int, turns: int) -> None:
    """The largest example: a path integral at the price of its cheap potential?"""
    source, beads = INPUTS / "si_vacancy_md_8000", 32
    chosen = {
        "cheap alone": (Form(beads, every=4), {"seeds": "none"}),
        "contracted to 1, every 4 steps": (Form(beads, 1, 4), {}),
        "contracted to 4, every 4 steps": (Form(beads, 4, 4), {}),
    }
    found: dict[str, list[Measured]] = {}
    expensive: list[float] = []
    atoms = read_structure(source / "init.extxyz")
    engine = MaceDriver(model="si-small.model", threads=1).load(source)
    for _ in range(turns):
        for name, (form, changes) in chosen.items():
            found.setdefault(name, []).append(measure(source, form, steps, **changes))
        begun = time.perf_counter()
        engine.evaluate(atoms.numbers, atoms.positions, atoms.cell.array)
        expensive.append(1e3 * (time.perf_counter() - begun))
    base = np.array([run.ms for run in found["cheap alone"]])
    print(f"{len(atoms)} atoms, {beads} beads, steps of {4 * INNER:g} fs with 4 inner ones; ms")
    for name, runs in found.items():
        ms, counts = np.array([run.ms for run in runs]), runs[0].counts
        factor = 4 * beads * np.array(expensive) / ms
        print(f"{name:<32}{np.median(ms):9.0f}  {np.round(ms)}  to cheap alone: "
              f"{np.median(ms / base):.3f} {np.round(ms / base, 3)}, within its own steps "
              f"{np.round([run.over_cheap for run in runs], 3)}  all-expensive / this: "
              f"{np.median(factor):.1f}  {counts}")  # fmt: skip
    print(f"all-expensive, one evaluation: {np.median(expensive):.0f} {np.round(expensive)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("table", "product"))
    parser.add_argument("--steps", type=int, default=8, help="outer steps of a run")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--beads", type=int, nargs="+", default=(1, 8, 32), help="of the table")
    given = parser.parse_args()
    if given.part == "table":
        table(given.steps, given.turns, given.beads)
    else:
        product(given.steps, given.turns)


if __name__ == "__main__":
    main()
