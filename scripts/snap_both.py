"""SNAP on both sides of ipi_inputs/si_snap_both: error against cost, and mixed steps.

python scripts/benchmark.py snap                 all of it
python scripts/snap_both.py errors | steps       one of the two

Errors are on the atoms of positive weight, against the full crystal by the same engine:
sqrt(Σ w² |ΔF|² / 3 Σ w²), the largest of three thermal snapshots of the cheap potential (300 K).
Their times are of the processor, medians in turns. Steps are runs of `mixpi run`, a core a driver,
in turns; speed-ups are what these measure against the same engine everywhere.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from compare_engines import in_turns
from mixpi.calibrate.buffers import force_error, snapshot_error
from mixpi.calibrate.reference import Clusters
from mixpi.calibrate.thermal import thermal_run
from mixpi.config import load_config
from mixpi.regions.periodic import PeriodicCell
from mixpi.regions.search import distance_to_nearest
from mixpi.run.progress import silent
from mixpi.structure import read_structure


CASE = Path(__file__).parent.parent / "ipi_inputs" / "si_snap_both"
UF3 = [
    "pair_style hybrid/overlay uf3 3 zbl 1.153 1.922",
    "pair_coeff * * uf3 si-uf3.uf3 Si",
    "pair_coeff 1 1 zbl 14 14",
]
BUFFERS = (5.0, 6.0, 7.0, 7.5, 8.0, 9.0, 10.0, 11.0)
SITES = (3.0, 4.0, 4.5, 5.0, 5.5)
SNAPSHOTS, TEMPERATURE = 3, 300.0
#: Blend → way → buffer and sites (Å): exact, and within 5e-3 eV/Å, by the errors above.
EXACT = {"whole, exact": (11.0, None), "partial, exact": (11.0, 5.5)}
WAYS = {
    4.0: {**EXACT, "whole, 5e-3": (7.5, None), "partial, 5e-3": (9.5, 4.0)},
    0.0: {**EXACT, "whole, 5e-3": (9.0, None), "partial, 5e-3": (10.5, 5.0)},
}


class Study:
    """Thermal snapshots, and what the quadratic SNAP says of them."""

    def __init__(self) -> None:
        self.config = load_config(CASE / "mixing.yaml")
        self.atoms = read_structure(CASE / "init.extxyz")
        # each mode of LAMMPS's lists in an instance of its own, as in two drivers
        self.engine = self.config.expensive.lammps_cluster.load(CASE)
        self.of_sites = self.config.expensive.lammps_cluster.load(CASE)
        self.cell = self.atoms.cell.array
        self.frames = thermal_run(
            self.config.cheap.lammps,
            CASE,
            self.atoms,
            temperature=TEMPERATURE,
            time_step=1.0,
            count=SNAPSHOTS,
            tell=silent,
        )
        self.exact = [self._all(x)[1] for x in self.frames]

    def _all(self, positions: np.ndarray):
        return self.engine.evaluate(self.atoms.numbers, positions, self.cell)

    def _part(self, clusters: Clusters, positions: np.ndarray, sites: float):
        """A cluster that is complete for the sites within a radius, and which these are."""
        buffer = sites + self.engine.cutoff
        cluster = clusters.carve(positions, buffer + 1e-6)
        own = cluster.positions(positions)
        depths = distance_to_nearest(PeriodicCell(self.cell), own, own[cluster.weights > 0], buffer)
        counted = (depths < sites) | (cluster.weights > 0)
        return cluster, (cluster.numbers, own, self.cell, counted)

    def errors(self, core: float, blend: float) -> None:
        """Error and time of clusters, evaluated whole and in part."""
        radii = {"core": core, "blend": blend, "profile": "linear"}
        clusters = Clusters(self.atoms, self.config.seed_indices, radii, self.engine)
        both = zip(self.frames, self.exact, strict=True)
        snapshots = [clusters.snapshot(x, forces) for x, forces in both]
        first, calls, rows = self.frames[0], {}, []
        for buffer in BUFFERS:
            found = [snapshot_error(clusters, snapshot, buffer).weighted for snapshot in snapshots]
            cluster = clusters.carve(first, buffer)
            structure = (cluster.numbers, cluster.positions(first), self.cell)
            name = f"buffer {buffer:g}"
            calls[name] = lambda s=structure: self.engine.evaluate(*s)
            rows.append((name, len(cluster), len(cluster), max(found)))
        for sites in SITES:
            found = []
            for snapshot in snapshots:
                cluster, given = self._part(clusters, snapshot.positions, sites)
                forces = self.of_sites.evaluate_sites(*given)[1][cluster.weights > 0]
                found.append(force_error(forces, snapshot.exact, snapshot.weights).weighted)
            cluster, given = self._part(clusters, first, sites)
            name = f"sites {sites:g}"
            calls[name] = lambda g=given: self.of_sites.evaluate_sites(*g)
            rows.append((name, len(cluster), int(given[-1].sum()), max(found)))
        calls["all"] = lambda: self._all(first)
        ms = in_turns(calls, repeats=5, first=1)
        print(f"core {core:g}, blend {blend:g} Å: {len(snapshots[0].weights)} weighted atoms; the "
              f"full crystal takes {ms['all']:.0f} ms")  # fmt: skip
        print(f"{'':<12}{'atoms':>7}{'computed':>10}{'eV/Å':>11}{'ms':>8}")
        for name, atoms_in, computed, worst in rows:
            print(f"{name:<12}{atoms_in:>7}{computed:>10}{worst:>11.1e}{ms[name]:>8.1f}")


def _run(
    cheap: str, core: float, blend: float, buffer: float, sites: float | None, length: int
) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / "case"
        shutil.copytree(CASE, case)
        config = yaml.safe_load((case / "mixing.yaml").read_text())
        config["regions"] |= {"core": core, "blend": blend, "buffer": buffer}
        config["output"]["trajectory"] = None
        config["cheap"]["lammps"]["launch"] = "taskset -c 0"
        if cheap == "uf3":
            config["cheap"]["lammps"]["potential"] = UF3
        expensive = config["expensive"]["lammps_cluster"]
        expensive["launch"] = "taskset -c 1"
        expensive["partial"] = {"sites": sites} if sites else None
        (case / "mixing.yaml").write_text(yaml.safe_dump(config))
        xml = (case / "input.xml").read_text()
        xml = re.sub(r"<total_steps>\d+", f"<total_steps>{length}", xml)
        (case / "input.xml").write_text(xml)
        done = subprocess.run(
            [sys.executable, "-m", "mixpi.cli", "run", "input.xml", "--quiet"],
            cwd=case,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        return json.loads((case / "mixpi.report.json").read_text())


def steps(core: float, blend: float, *, repeats: int = 3, length: int = 30) -> None:
    """Mixed steps, with either potential as the cheap side."""
    tables: dict[tuple[str, str], dict[str, list[float]]] = {}
    for _ in range(repeats):
        for cheap in ("snap", "uf3"):
            for way, (buffer, sites) in WAYS.get(blend, EXACT).items():
                report = _run(cheap, core, blend, buffer, sites, length)
                table = tables.setdefault((cheap, way), {})
                for key, value in {
                    "step": report["evaluation_ms"]["median"],
                    "cheap": report["stages_ms"]["cheap"],
                    "expensive": report["stages_ms"]["expensive"],
                    "overhead": report["overhead_ms"]["median"],
                    "speed-up": report["speed_up"],
                }.items():
                    table.setdefault(key, []).append(value)
    print(f"core {core:g}, blend {blend:g} Å; ms, medians of {repeats} runs in turns, all behind")
    for (cheap, way), table in tables.items():
        print(f"cheap {cheap}, {way}")
        for key, values in table.items():
            print(f"  {key:<10}{np.median(values):8.1f}   {np.round(values, 1)}")


def everything(blends: Sequence[float], *, core: float = 6.0, repeats: int = 3) -> None:
    """Errors, then steps, for each width of the blend zone (Å)."""
    study = Study()
    for blend in blends:
        study.errors(core, blend)
    for blend in blends:
        steps(core, blend, repeats=repeats)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["errors", "steps"])
    parser.add_argument("--core", type=float, default=6.0)
    parser.add_argument("--blend", type=float, nargs="+", default=[4.0, 0.0])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    study = Study() if arguments.part == "errors" else None
    for blend in arguments.blend:
        if study:
            study.errors(arguments.core, blend)
        else:
            steps(arguments.core, blend, repeats=arguments.repeats)


if __name__ == "__main__":
    main()
