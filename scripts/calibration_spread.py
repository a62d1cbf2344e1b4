"""How often the buffer that calibrate recommends is too narrow for a fresh snapshot.

python scripts/calibration_spread.py [input.xml] [--snapshots 60] [--decide 11]

Errors of all buffers on all snapshots of one thermal run; then the recommendation is made
from one of them, and from several by the upper value, and the others are the fresh ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mixpi.calibrate.buffers import (
    BufferResult,
    ForceError,
    recommend,
    share_above,
    snapshot_error,
    upper,
)
from mixpi.calibrate.reference import Clusters, measure_reference
from mixpi.calibrate.thermal import temperature_of, thermal_run, time_step_of
from mixpi.ipi.input import read_ipi_input
from mixpi.run.progress import StageProgress
from mixpi.structure import read_structure


CASE = Path(__file__).parent.parent / "ipi_inputs" / "si_vacancy_md" / "input.xml"
TOLERANCES = (0.002, 0.005, 0.01, 0.02, 0.05)


def errors_of(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Buffers (b,), Å, and the weighted rms error (count, b) of each on each snapshot."""
    ipi_input = read_ipi_input(path)
    config, home = ipi_input.config, ipi_input.config_path.parent
    atoms = read_structure(home / config.structure)
    engine = config.expensive.driver.load(home)
    radii = config.regions.model_dump(include={"core", "blend", "profile"})
    clusters = Clusters(atoms, config.seed_indices, radii, engine)
    with StageProgress() as tell:
        frames = thermal_run(
            config.cheap.lammps,
            home,
            atoms,
            temperature=temperature_of(ipi_input),
            time_step=time_step_of(ipi_input),
            count=count,
            tell=tell,
            seed=4711,
        )
        _, reference = measure_reference(clusters, frames[0], engine.interaction_range, 3000)
        buffers = np.arange(2.0, min(reference.widest, 10.0) + 0.1, 0.5)
        errors = np.empty((count, len(buffers)))
        for number, frame in enumerate(frames):
            tell("snapshots", number / count)
            snapshot = clusters.snapshot(frame, clusters.exact(frame, reference.buffer))
            for column, buffer in enumerate(buffers):
                errors[number, column] = snapshot_error(clusters, snapshot, buffer).weighted
    return buffers, errors


def recommended(buffers: np.ndarray, errors: np.ndarray, tolerance: float) -> int:
    """The column that calibrate would recommend: whole ångströms, then half of one less."""
    values = [upper(column) for column in errors.T]

    def answer(columns) -> int:
        results = [BufferResult(c, 0, ForceError(0.0, 0.0, values[c])) for c in sorted(columns)]
        return int(recommend(results, tolerance))

    whole = set(range(0, len(buffers), 2))
    return answer(whole | {max(answer(whole) - 1, 0)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", nargs="?", type=Path, default=CASE)
    parser.add_argument("--snapshots", type=int, default=60)
    parser.add_argument("--decide", type=int, default=11)
    arguments = parser.parse_args()
    n, several = arguments.snapshots, arguments.decide
    buffers, errors = errors_of(arguments.input, n)

    print("buffer (Å), weighted rms error (eV/Å) over the snapshots: least, median, largest, ratio")
    for buffer, column in zip(buffers, errors.T, strict=True):
        low, high = column.min(), column.max()
        print(f"{buffer:5.1f}  {low:.1e}  {np.median(column):.1e}  {high:.1e}  {high / low:.1f}")
    print(
        f"\nfresh snapshots above the tolerance, when one decides and when {several} decide "
        f"(at most {share_above(several):.0%} expected); worst choice; buffers chosen (Å)"
    )
    rng = np.random.default_rng(1)
    for tolerance in TOLERANCES:
        cells = []
        for size in (1, several):
            sets = (
                np.arange(n)[:, None]
                if size == 1
                else np.array([rng.choice(n, size, replace=False) for _ in range(500)])
            )
            shares, chosen = [], []
            for deciding in sets:
                column = recommended(buffers, errors[deciding], tolerance)
                fresh = np.delete(errors[:, column], deciding)
                shares.append(np.mean(fresh >= tolerance))
                chosen.append(buffers[column])
            cells.append(
                f"{np.mean(shares):5.1%} (worst {np.max(shares):4.0%}; "
                f"{min(chosen):g} to {max(chosen):g}, mean {np.mean(chosen):.2f})"
            )
        print(f"{tolerance:g} eV/Å: one {cells[0]}; {several}: {cells[1]}")


if __name__ == "__main__":
    main()
