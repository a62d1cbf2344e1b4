"""Error against cost of partial evaluation, and of clusters carved out, for the examples.

python scripts/partial_evaluation.py [CASE ...] [--engine symmetrix|mace] [--snapshots 4]
    [--buffers 6 7 8] [--radii 4/3 5/3] [--output partial_evaluation]

Writes a table (.md), all figures (.json) and a picture (.png). The snapshots are thermal, of the
cheap potential; forces are compared with those of the full cell by the same engine, on the
atoms of positive weight; errors are what `mixpi calibrate` calls weighted, sqrt(Σ w² |ΔF|² /
3 Σ w²), the largest of the snapshots. Node evaluations are layers times atoms: what the time
grows with. Times are those of the processor, medians in turns on the first snapshot.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from compare_engines import in_turns
from mixpi.calibrate.buffers import force_error
from mixpi.calibrate.reference import Clusters, Snapshot
from mixpi.calibrate.thermal import thermal_run
from mixpi.config import load_config
from mixpi.drivers.mace import MaceEngine
from mixpi.drivers.partial import choose
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from mixpi.regions.periodic import PeriodicCell
from mixpi.run.progress import silent
from mixpi.structure import read_structure


ROOT = Path(__file__).parent.parent
#: K, as their inputs have it.
TEMPERATURES = {
    "si_vacancy_md_8000": 300,
    "si_vacancy_md": 300,
    "w_he_md": 600,
    "fe_dumbbell_md": 800,
}
#: Of the pictures: ms, node evaluations.
TICKS = [10, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000]
ENGINES = {"symmetrix": SymmetrixEngine, "mace": MaceEngine}


@dataclass(frozen=True)
class Row:
    """One way to evaluate: its error and its cost.

    ``buffer`` is Å of a carved cluster; ``sites`` and ``features`` are Å of partial evaluation.
    """

    case: str
    way: str
    buffer: float | None
    sites: float | None
    features: float | None
    error: float
    errors: list[float]
    atoms: int
    nodes: int
    ms: float

    @property
    def what(self) -> str:
        if self.way == "carved":
            return f"buffer {self.buffer:g}"
        return f"{self.sites:g} / {self.features:g}"


class Study:
    """Snapshots of an example, and what different evaluations give on them."""

    def __init__(self, case: str, engine: str, snapshots: int) -> None:
        folder = ROOT / "ipi_inputs" / case
        config = load_config(folder / "mixing.yaml")
        atoms = read_structure(folder / "init.extxyz")
        self.case, self.numbers, self.cell = case, atoms.numbers, atoms.cell.array
        frames = thermal_run(
            config.cheap.lammps,
            folder,
            atoms,
            temperature=TEMPERATURES[case],
            time_step=1.0,
            count=snapshots + 1,
            tell=silent,
        )
        self.engine = ENGINES[engine](folder / config.expensive.mace.model)
        radii = config.regions.model_dump(include={"core", "blend", "profile"})
        self.clusters = Clusters(atoms, config.seed_indices, radii, self.engine)
        self.periodic = PeriodicCell(self.cell)
        # means are those of another snapshot than the errors
        self.means = self.engine.mean_features(self.numbers, frames[-1], self.cell)
        self.snapshots: list[Snapshot] = []
        for frame in frames[:-1]:
            _, exact, _ = self.engine.evaluate(self.numbers, frame, self.cell)
            self.snapshots.append(self.clusters.snapshot(frame, exact))
        self.calls: dict[str, object] = {}
        self.found: list[dict] = []

    def carved(self, buffer: float) -> None:
        """A cluster with a buffer (Å), as `mixpi run` evaluates it."""

        def call(snapshot: Snapshot):
            cluster = self.clusters.carve(snapshot.positions, buffer)
            return cluster, self.clusters.forces(snapshot.positions, cluster)

        cluster = self.clusters.carve(self.snapshots[0].positions, buffer)
        positions = cluster.positions(self.snapshots[0].positions)
        self._add(
            call,
            lambda: self.engine.evaluate(cluster.numbers, positions, self.cell),
            way="carved",
            buffer=buffer,
            atoms=len(cluster),
            nodes=2 * len(cluster),
        )

    def partial(self, sites: float, features: float, *, filled: bool) -> None:
        """Site energies and features within radii (Å) of a cluster that is complete for them."""
        radii = {"sites": sites, "features": features}
        reach = max(sites, features) + self.engine.cutoff
        fill = self.means if filled else None

        def given(snapshot: Snapshot):
            cluster = self.clusters.carve(snapshot.positions, reach + 1e-6)
            positions = cluster.positions(snapshot.positions)
            distance = self.periodic.nearest(positions, positions[cluster.weights > 0], 2 * reach)
            distance[cluster.weights > 0] = 0.0
            return cluster, (cluster.numbers, positions, self.cell), distance

        def call(snapshot: Snapshot):
            cluster, structure, distance = given(snapshot)
            found = self.engine.evaluate_partial(*structure, distance=distance, fill=fill, **radii)
            return cluster, found[1]

        cluster, structure, distance = given(self.snapshots[0])
        part = choose(*structure[1:], self.engine.cutoff, distance=distance, **radii)
        self._add(
            call,
            lambda: self.engine.evaluate_partial(*structure, distance=distance, fill=fill, **radii),
            way="filled" if filled else "dropped",
            atoms=len(cluster),
            nodes=part.sites + part.features,
            **radii,
        )

    def _add(self, call, timed, **facts) -> None:
        errors = []
        for snapshot in self.snapshots:
            cluster, forces = call(snapshot)
            mine = forces[cluster.weights > 0]
            errors.append(force_error(mine, snapshot.exact, snapshot.weights).weighted)
        self.calls[str(len(self.found))] = timed
        self.found.append({"errors": errors, "error": max(errors), **facts})

    def rows(self, repeats: int) -> list[Row]:
        ms = in_turns(self.calls, repeats=repeats, first=1)
        blank = {"buffer": None, "sites": None, "features": None}
        return [
            Row(self.case, **{**blank, **facts}, ms=ms[str(number)])
            for number, facts in enumerate(self.found)
        ]


def grid() -> list[tuple[float, float]]:
    """Radii of site energies and features that are worth trying, Å."""
    return [
        (sites, float(features))
        for sites in (3.0, 4.0, 5.0, 6.0)
        for features in np.arange(max(2.0, sites - 2.0), sites + 1.1, 1.0)
    ]


def study(case: str, given: argparse.Namespace) -> list[Row]:
    made = Study(case, given.engine, given.snapshots)
    for buffer in given.buffers or np.arange(4.0, 12.1, 0.5):
        made.carved(float(buffer))
    for sites, features in given.radii or grid():
        for filled in (False, True):
            made.partial(sites, features, filled=filled)
    print(f"{case}: {len(made.numbers)} atoms, {(made.snapshots[0].weights > 0).sum()} weighted, "
          f"cutoff {made.engine.cutoff:g} Å, half the cell {0.5 * made.periodic.heights.min():.1f} "
          "Å", flush=True)  # fmt: skip
    return made.rows(given.repeats)


def frontier(rows: list[Row]) -> list[Row]:
    """Those than which no other has a smaller error at fewer node evaluations."""
    best: list[Row] = []
    for row in sorted(rows, key=lambda r: (r.nodes, r.error)):
        if not best or row.error < best[-1].error:
            best.append(row)
    return best


def table(rows: list[Row]) -> str:
    lines = [
        "| case | way | Å | error (eV/Å) | atoms sent | node evaluations | ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.case} | {row.way} | {row.what} | {row.error:.1e} | {row.atoms} | {row.nodes} "
            f"| {row.ms:.1f} |"
        )
    return "\n".join(lines)


def equal_error(rows: list[Row], tolerance: float) -> list[Row]:
    """The cheapest of each way below a tolerance (eV/Å)."""
    chosen = []
    for way in ("carved", "dropped", "filled"):
        fit = [row for row in rows if row.way == way and row.error < tolerance]
        if fit:
            chosen.append(min(fit, key=lambda r: r.nodes))
    return chosen


def draw(rows: list[Row], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    cases = list(dict.fromkeys(row.case for row in rows))
    figure, axes = plt.subplots(2, len(cases), figsize=(4.2 * len(cases), 7), squeeze=False)
    colours = {"carved": "#555555", "dropped": "#1f77b4", "filled": "#d62728"}
    for column, case in enumerate(cases):
        for line, cost in enumerate(("nodes", "ms")):
            panel = axes[line, column]
            for way, colour in colours.items():
                mine = [row for row in rows if row.case == case and row.way == way]
                x, y = ([getattr(r, key) for r in mine] for key in (cost, "error"))
                panel.plot(x, y, "o", color=colour, alpha=0.35, markersize=4)
                best = frontier(mine)
                x, y = ([getattr(r, key) for r in best] for key in (cost, "error"))
                panel.plot(x, y, "-", color=colour, label=way)
            panel.set(yscale="log", xscale="log")
            low, high = panel.get_xlim()
            panel.set_xticks([t for t in TICKS if low < t < high], minor=False)
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_formatter("")
            panel.set_xlabel("node evaluations" if cost == "nodes" else "ms")
            panel.grid(alpha=0.3, which="both")
        axes[0, column].set_title(case)
    axes[0, 0].legend()
    for panel in axes[:, 0]:
        panel.set_ylabel("weighted force error, eV/Å")
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def pair(text: str) -> tuple[float, float]:
    sites, features = text.split("/")
    return float(sites), float(features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="folders in ipi_inputs")
    parser.add_argument("--engine", choices=list(ENGINES), default="symmetrix")
    parser.add_argument("--snapshots", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("partial_evaluation"))
    parser.add_argument("--tolerance", type=float, default=5e-3, help="eV/Å, for the short table")
    parser.add_argument("--buffers", type=float, nargs="*", help="Å, in place of 4 to 12")
    parser.add_argument("--radii", type=pair, nargs="*", help="Å, sites/features, as 4/3")
    parser.add_argument("--join", type=Path, nargs="*", default=[], help=".json of earlier runs")
    given = parser.parse_args()
    cases = given.cases or ["si_vacancy_md_8000", "w_he_md", "fe_dumbbell_md"]
    rows = [Row(**row) for path in given.join for row in json.loads(path.read_text())]
    for case in [] if given.join and not given.cases else cases:
        rows += study(case, given)
        mine = [row for row in rows if row.case == case]
        for tolerance in (2 * given.tolerance, given.tolerance, given.tolerance / 2):
            print(f"cheapest below {tolerance:.2g} eV/Å")
            print(table(equal_error(mine, tolerance)), flush=True)
    given.output.with_suffix(".md").write_text(table(rows) + "\n")
    given.output.with_suffix(".json").write_text(json.dumps([asdict(r) for r in rows], indent=1))
    draw(rows, given.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
