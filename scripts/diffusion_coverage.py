"""How often the interval of a diffusion coefficient from one run holds the true one.

python scripts/diffusion_coverage.py [--runs 150]

Walks that are known exactly: with noise, by rare hops, by hops of an atom that vibrates, with steps
that remember one another.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
from mixpi.analysis.diffusion import fit
from mixpi.analysis.tracks import Track


sys.path.append(str(Path(__file__).parent.parent / "tests" / "unit"))
from walks import gaussian, hops, vibration


def few_hops(rng, number: int) -> np.ndarray:
    return hops(rng, 500, 1, number / 499)


def hops_that_vibrate(rng, width: float) -> np.ndarray:
    return hops(rng, 1000, 1, 0.03) + vibration(rng, 1000, 1, 0.8, width)


#: Name → walk, and its D in squares of its length a frame.
WALKS = {
    "walk with noise": (lambda rng: gaussian(rng, 600, 1, 0.1, 0.2), 0.01 / 2),
    "rare hops": (lambda rng: hops(rng, 1000, 1, 0.03), 0.03 / 6),
    **{f"{n} hops": (partial(few_hops, number=n), n / 499 / 6) for n in (3, 5, 8, 15)},
    "hops, vibration 0.1": (lambda rng: hops_that_vibrate(rng, 0.1), 0.03 / 6),
    "hops, vibration 0.2": (lambda rng: hops_that_vibrate(rng, 0.2), 0.03 / 6),
    "steps that remember": (
        lambda rng: np.cumsum(vibration(rng, 2000, 1, 0.8, 0.1), axis=0),
        0.01 * 1.8 / 0.2 / 2,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=150)
    given = parser.parse_args()
    print("| walk | D / exact | spread | mean error | interval holds it |\n|---|---|---|---|---|")
    for name, (make, exact) in WALKS.items():
        rng = np.random.default_rng(99)
        walks = [make(rng) for _ in range(given.runs)]
        lines = [fit(Track(name, np.arange(len(walk)) * 1.0, walk)) for walk in walks]
        found = np.array([line.coefficient for line in lines]) / exact
        error = np.mean([line.error for line in lines]) / exact
        ends = np.array([line.interval for line in lines])
        holds = np.mean((ends[:, 0] <= exact) & (exact <= ends[:, 1]))
        print(f"| {name} | {found.mean():.3f} | {found.std():.2f} | {error:.2f} | {holds:.2f} |")


if __name__ == "__main__":
    main()
