"""Picture of docs/drift.md: rates by the seam's weights, and the spectral density of the power.

python scripts/energy_figure.py WORK PICTURE        WORK is that of ``energy_flux.py own``
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl


mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from ase import units
from energy_flux import SKIPPED, table
from energy_walk import BAND, Chain, load
from scipy.fft import dst


#: meV/ps: 1 K in 100 ps of 7,999 atoms.
GOAL = 20.7
COLOURS = {"abrupt": "k", "linear": "#1f77b4", "cubic": "#2ca02c", "smooth": "#d62728"}
#: 1/ps.
EDGES = np.array([0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 14, 16.0])
SHOWN = ("linear 3/4, frozen", "linear 4/4, frozen", "smooth 4/4, frozen", "abrupt 6/0, frozen")


def draw_rates(panel: plt.Axes, rows: Sequence[dict]) -> None:
    """Of frozen weights; crosses are what own runs climbed by."""
    for profile, colour in COLOURS.items():
        mine = [row for row in rows if row["way"].startswith(profile)]
        mine = [row for row in mine if row["way"].endswith("frozen")]
        x, y, error = ([row[key] for row in mine] for key in ("weighted", "meV_per_ps", "error"))
        panel.errorbar(x, y, error, fmt="o", color=colour, label=profile, markersize=4)
        own = [(row["weighted"], row["own"]["meV_per_ps"]) for row in mine if "own" in row]
        panel.plot(*np.array(own).T, "x", color=colour)
    panel.axhline(GOAL, color="k", linestyle=":", label="goal")
    panel.set(xlabel="atoms of positive weight", ylabel="meV/ps", ylim=(0.0, None))
    panel.set_title("spread of the work; crosses: climb of own runs", fontsize=10)
    panel.legend()


def draw_spectra(panel: plt.Axes, chains: Sequence[Chain]) -> None:
    """Of the power of some ways along all trajectories, as a rate."""
    for name in SHOWN:
        frequencies, density = [], []
        for chain in chains:
            power = np.diff(chain.heats[name]) / chain.timestep
            transformed = dst(power - power.mean(), type=1, norm="ortho")
            width = 2.0 * units.kB * chain.temperature
            density.append(1e3 * chain.timestep * transformed**2 / width)
            frequencies.append(np.arange(1, len(power) + 1) / (2.0 * chain.picoseconds))
        bins = np.digitize(np.concatenate(frequencies), EDGES)
        values = np.concatenate(density)
        means = [values[bins == number].mean() for number in range(1, len(EDGES))]
        panel.stairs(means, EDGES, label=name)
    panel.axvline(BAND, color="k", linestyle=":")
    panel.set(xlabel="THz", ylabel="spectral density / 2kT, meV/ps", yscale="log", xlim=(0, 16))
    panel.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    rows = [row for row in table("own", given.work)["ways"] if "eam" not in row["way"]]
    chains = load(given.work.glob("own.*.npz"), SKIPPED)
    figure, panels = plt.subplots(1, 2, figsize=(11, 4))
    draw_rates(panels[0], rows)
    draw_spectra(panels[1], [chain for chain in chains if "eam" not in chain.mover])
    figure.tight_layout()
    figure.savefig(given.picture, dpi=110)


if __name__ == "__main__":
    main()
