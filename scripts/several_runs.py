"""What is gained by runs that share the expensive driver: at once against one after another.

    python scripts/several_runs.py ipi_inputs/si_vacancy_md --runs 2 --steps 300 --repeats 3

Both ways have the same processes at a time for each run and one expensive driver, on the same
cores. They are measured in turns; the gain is the ratio of the times in which all runs together
do a step (N medians one after another, one median at once), over the steps in which all runs are
at work.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
from mixpi.runs.several import SeveralRuns


def step_ms(source: Path, runs: int, at_once: int, steps: int) -> tuple[float, float]:
    """Time of a step of all runs together, ms, and the share of it that the driver computes."""
    with tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / "case"
        shutil.copytree(source, case)
        text = (case / "input.xml").read_text()
        text = re.sub("<total_steps>.*</total_steps>", f"<total_steps>{steps}</total_steps>", text)
        (case / "input.xml").write_text(text)
        several = SeveralRuns(case / "input.xml", runs, at_once=at_once)
        found = several.execute(quiet=True)
        failed = [one.outcome.message for one in found.runs if one.outcome.status != "finished"]
        if failed:
            raise SystemExit(failed[0])
        medians = [one.report["step_ms"]["median"] for one in found.runs]
        [served] = found.served.values()
        together = np.mean(medians) if at_once > 1 else np.sum(medians)
        return float(together), served.seconds / served.elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", type=Path)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    pairs = []
    for _ in range(arguments.repeats):
        found = {
            at_once: step_ms(arguments.case, arguments.runs, at_once, arguments.steps)
            for at_once in (1, arguments.runs)
        }
        (alone, idle), (together, busy) = found.values()
        pairs.append(alone / together)
        print(
            json.dumps(
                {
                    "one after another, ms": round(alone, 2),
                    "at once, ms": round(together, 2),
                    "gain": round(pairs[-1], 3),
                    "driver busy": [round(idle, 2), round(busy, 2)],
                }
            ),
            flush=True,
        )
    print(f"gain: median {np.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})")


if __name__ == "__main__":
    main()
