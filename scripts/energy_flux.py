"""How much energy mixed forces put in, and where it comes from (docs/drift.md).

python scripts/energy_flux.py seam WORK     Si vacancy, 511 atoms: widths, profiles, moving or not
python scripts/energy_flux.py sources WORK  the same: buffers, partial evaluation, potentials
python scripts/energy_flux.py helium WORK   a moving seed: He in W, hysteresis
python scripts/energy_flux.py fast WORK     as seam, a fast potential in place of the model
python scripts/energy_flux.py moving WORK   as helium, likewise, in 432 W
python scripts/energy_flux.py large WORK    Si vacancy, 7,999 atoms
python scripts/energy_flux.py tables WORK   what was found; --json and --figure write it

All but the last add pieces of NVE to those that are in the folder WORK, until --picoseconds
are there in each of --chains independent chains, and can be stopped at any time. One trajectory
serves all ways of mixing: see ``mixed_work.py``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from mixed_lammps import run_large, settle_large
from mixed_work import ROOT, System, Way, run_piece, settle, thermal


#: ps of a piece, and left out at the beginning of each chain.
PIECE, SKIPPED = 1.0, 0.5
#: ps over which the heat is averaged: what vibrations take out they put back.
SMOOTHED = 0.25
#: ps between which its variance then grows like a random walk's.
LAGS = (0.3, 1.2)
#: ps of a block, for error bars.
BLOCK = 2.0
POTENTIALS = ROOT / "ipi_inputs" / "potentials"
EAM_UF3 = (
    "pair_style hybrid/overlay eam/alloy uf3 3 zbl 1.153 1.922",
    f"pair_coeff * * eam/alloy {POTENTIALS}/si-eam-uf3.eam.alloy Si",
    f"pair_coeff * * uf3 {POTENTIALS}/si-eam-uf3.uf3 Si",
    "pair_coeff 1 1 zbl 14 14",
)
UF3 = (
    "pair_style hybrid/overlay uf3 3 zbl 1.153 1.922",
    f"pair_coeff * * uf3 {POTENTIALS}/si-uf3.uf3 Si",
    "pair_coeff 1 1 zbl 14 14",
)
W_UF3 = (
    "pair_style hybrid/overlay uf3 3 uf3 3 zbl 1.264 2.107 zbl 0.84 1.4",
    f"pair_coeff * * uf3 1 {POTENTIALS}/w-uf3.uf3 He W",
    f"pair_coeff * * uf3 2 {POTENTIALS}/w-he.uf3 He W",
    "pair_coeff 1 1 zbl 2 2 2",
    "pair_coeff 1 2 zbl 2 2 74",
    "pair_coeff 2 2 zbl 1 74 74",
)
SNAP_FAST = (
    "pair_style hybrid/overlay snap zbl 1.153 1.922",
    "pair_coeff * * snap "
    f"{POTENTIALS}/si-snap-fast.snapcoeff {POTENTIALS}/si-snap-fast.snapparam Si",
    "pair_coeff 1 1 zbl 14 14",
)


def seam_ways() -> list[Way]:
    """Widths, profiles, and whether weights are rebuilt."""
    first = [Way(3.0, 3.0, every=0)]
    abrupt = [Way(core, 0.0, every=every) for core, every in product((3.0, 6.0), (0, 1))]
    blended = [
        Way(3.0, blend, profile, every)
        for blend, profile, every in product(
            (2.0, 3.0, 4.0, 6.0), ("linear", "cubic", "smooth"), (0, 1)
        )
    ]
    wider = [
        Way(core, blend, profile)
        for (core, blend), profile in product(((4.0, 4.0), (5.0, 4.0)), ("linear", "smooth"))
    ]
    wider += [Way(3.0, 3.0, every=10), Way(3.0, 3.0, "smooth", every=10)]
    return first + [way for way in abrupt + blended + wider if way not in first]


def fast_ways() -> list[Way]:
    """Of the same, those that differ."""
    frozen = [Way(3.0, 3.0, every=0), Way(3.0, 0.0, every=0), Way(4.0, 4.0, every=0)]
    frozen += [
        Way(3.0, blend, profile, 0)
        for blend, profile in product((4.0, 6.0), ("linear", "cubic", "smooth"))
    ]
    frozen += [Way(3.0, 8.0, every=0), Way(3.0, 3.0, "smooth", every=0)]
    return [*frozen, Way(3.0, 3.0), Way(3.0, 4.0, "smooth")]


def source_ways() -> list[Way]:
    """One thing changed at a time."""
    base = Way(3.0, 3.0, every=0)
    approximate = [(6.0,), (8.0,), (4.5, 3.0), (5.0, 4.0)]
    ways = [replace(base, expensive=radii) for radii in approximate]
    ways += [replace(base, cheap=name) for name in ("eam-uf3", "snap-fast")]
    return [base, replace(base, every=1), *ways]


def buffer_ways() -> list[Way]:
    """What the surroundings that are missing do; the first has a wide part of them."""
    base = Way(3.0, 3.0, every=0)
    return [base, *(replace(base, expensive=radii) for radii in ((6.0,), (8.0,), (4.5, 3.0)))]


def helium_ways(core: float, blend: float) -> list[Way]:
    """Profiles and hysteresis."""
    base = Way(core, blend)
    ways = [replace(base, profile=profile) for profile in ("cubic", "smooth")]
    ways += [Way(core, 0.0), replace(base, leave=core + 1.0)]
    ways += [replace(base, profile=profile, every=10) for profile in ("linear", "smooth")]
    ways += [
        replace(base, profile=profile, tau_in=tau, tau_out=tau)
        for profile, tau in product(("linear", "smooth"), (20.0, 100.0, 500.0))
    ]
    ways += [replace(base, tau_out=500.0), Way(core, 0.0, tau_in=100.0, tau_out=100.0)]
    return [base, *ways]


def helium_in_tungsten() -> Atoms:
    """432 atoms around a tetrahedral site."""
    a = 3.18806
    atoms = bulk("W", a=a, cubic=True) * (6, 6, 6)
    atoms = Atoms("He", [[3.5 * a, 3.25 * a, 3.0 * a]], cell=atoms.cell, pbc=True) + atoms
    atoms.info["seeds"] = [0]
    return atoms


def small_vacancy() -> Atoms:
    """215 silicon atoms around a vacancy."""
    atoms = bulk("Si", a=5.46526, cubic=True) * (3, 3, 3)
    near = np.argsort(atoms.get_distances(0, range(len(atoms)), mic=True))[1:5] - 1
    del atoms[0]
    atoms.info["seeds"] = near.tolist()
    return atoms


def large_ways() -> list[Way]:
    """The widest one moves the atoms, the others reach no further."""
    blends = [Way(3.0, blend) for blend in (8.0, 6.0, 4.0, 3.0)]
    return [*blends, Way(3.0, 8.0, "cubic"), Way(3.0, 5.0, "smooth"), Way(4.0, 4.0)]


@dataclass(frozen=True)
class Study:
    """What a subcommand runs: fs, K."""

    case: str
    ways: Sequence[Way]
    timestep: float
    temperature: float
    cheap: dict[str, Sequence[str]]
    around: tuple[float, float, float, float] | None = None
    large: bool = False
    expensive: Sequence[str] | None = None
    atoms: Atoms | None = None


STUDIES = {
    "seam": Study("si_vacancy_md", seam_ways(), 3.0, 300.0, {}),
    "sources": Study(
        "si_vacancy_md", source_ways(), 3.0, 300.0, {"eam-uf3": EAM_UF3, "snap-fast": SNAP_FAST}
    ),
    "small": Study("si_vacancy_md", fast_ways(), 4.0, 300.0, {}, atoms=small_vacancy()),
    "buffers": Study("si_vacancy_md", buffer_ways(), 4.0, 300.0, {}, (5.0, 4.0, 3.0, 3.0)),
    "fast": Study("si_vacancy_md", fast_ways(), 3.0, 300.0, {}, expensive=EAM_UF3),
    "large": Study(
        "si_vacancy_md_8000", large_ways(), 2.0, 300.0, {}, (5.0, 4.0, 3.0, 8.0), large=True
    ),
    "helium": Study("w_he_md", helium_ways(6.0, 4.0), 2.0, 600.0, {}, (6.0, 5.0, 10.5, 0.0)),
    "moving": Study(
        "w_he_md",
        helium_ways(5.0, 3.0),
        2.0,
        600.0,
        {},
        expensive=W_UF3,
        atoms=helium_in_tungsten(),
    ),
}


def advance(name: str, work: Path, chains: Sequence[int], picoseconds: float) -> None:
    """Add pieces until there are enough, the shortest chain first."""
    study = STUDIES[name]
    system = System(study.case, study.cheap, study.around, study.expensive, study.atoms)
    steps = round(1e3 * PIECE / study.timestep)
    for number, chain in product(range(round(picoseconds / PIECE)), chains):
        begin = work / f"{name}-{chain}-begin.npz"
        if not begin.exists():
            state = thermal(system, study.temperature, chain)
            settled = settle_large if study.large else settle
            state = settled(system, study.ways[0], state, study.temperature, chain, study.timestep)
            np.savez(begin, positions=state.positions, velocities=state.velocities)
        path = work / f"{name}-{chain}-{number:03d}.npz"
        if path.exists():
            continue
        before = work / f"{name}-{chain}-{number - 1:03d}.npz" if number else begin
        run = run_large if study.large else run_piece
        run(system, study.ways, path, before, begin, steps=steps, timestep=study.timestep)
        print(path.name, flush=True)


@dataclass(frozen=True)
class Series:
    """All pieces of a study: of each chain, heats (samples, ways) and energy (samples,), eV."""

    names: list[str]
    weighted: list[int]
    timestep: float
    atoms: int
    temperature: float
    heats: list[np.ndarray]
    energies: list[np.ndarray]
    nets: list[np.ndarray]

    @classmethod
    def load(cls, name: str, work: Path) -> Series:
        chains: dict[str, list] = {}
        for path in sorted(work.glob(f"{name}-*-[0-9][0-9][0-9].npz")):
            chains.setdefault(path.stem.split("-")[1], []).append(dict(np.load(path)))
        if not chains:
            raise SystemExit(f"no pieces of {name} in {work}")
        first = next(iter(chains.values()))[0]
        skipped = round(1e3 * SKIPPED / first["timestep"])

        def joined(pieces: list, key: str) -> np.ndarray:
            """One after the other; the last sample of a piece is the first of the next."""
            found, last = [], 0.0
            for piece in pieces:
                values = piece[key] - piece[key][0] + last
                found.append(values[:-1])
                last = values[-1]
            return np.concatenate([*found, [last]])[skipped:]

        temperatures = [piece["temperatures"] for chain in chains.values() for piece in chain]
        return cls(
            first["names"].tolist(),
            first["weighted"].tolist(),
            float(first["timestep"]),
            int(first["atoms"]),
            float(np.mean(temperatures)),
            [joined(chain, "heats") for chain in chains.values()],
            [joined(chain, "energies") for chain in chains.values()],
            [np.concatenate([piece["nets"] for piece in chain]) for chain in chains.values()],
        )

    @property
    def picoseconds(self) -> float:
        return 1e-3 * self.timestep * sum(len(heats) - 1 for heats in self.heats)


def walk(series: list[np.ndarray], timestep: float, temperature: float) -> tuple[float, float]:
    """The rate at which a random walk heats, eV/ps, with its standard error.

    The variance of what it changes by within a time grows by 2 kT times the rate; jackknife
    over blocks.
    """
    dt = 1e-3 * timestep
    short, long = (round(lag / dt) for lag in LAGS)
    window = np.hanning(round(SMOOTHED / dt) + 2)
    series = [np.convolve(x, window / window.sum(), "valid") for x in series]
    duration = dt * sum(len(x) - 1 for x in series)
    drift = sum(x[-1] - x[0] for x in series) / duration
    block = round(BLOCK / dt)
    # of each block: how many changes begin in it, and the sum of their squares
    counted: dict[int, list[tuple[int, float]]] = {short: [], long: []}
    for x in series:
        for start in range(0, len(x) - long, block):
            for lag in (short, long):
                here = x[start : min(start + block, len(x) - long) + lag]
                change = here[lag:] - here[:-lag] - drift * lag * dt
                counted[lag].append((len(change), float(change @ change)))
    counts = {lag: np.array(found) for lag, found in counted.items()}

    def rate(kept: np.ndarray) -> float:
        variance = {lag: c[kept, 1].sum() / c[kept, 0].sum() for lag, c in counts.items()}
        # the mean drift was taken from the same data
        bias = 1.0 - long * dt / duration
        grown = (variance[long] / bias - variance[short]) / ((long - short) * dt)
        return grown / (2.0 * units.kB * temperature)

    n = len(counts[short])
    if n < 2:
        return np.nan, np.inf
    found = rate(np.arange(n))
    left_out = np.array([rate(np.delete(np.arange(n), k)) for k in range(n)])
    return found, float(np.sqrt((n - 1) * np.mean((left_out - left_out.mean()) ** 2)))


def climbs(series: list[np.ndarray], timestep: float) -> tuple[float, float]:
    """What an energy climbs by, eV/ps, with its standard error from blocks."""
    dt = 1e-3 * timestep
    block = round(BLOCK / dt)
    changes = np.concatenate([np.diff(x[::block]) / BLOCK for x in series])
    error = changes.std(ddof=1) / np.sqrt(len(changes)) if len(changes) > 1 else np.inf
    return float(changes.mean()), float(error)


def kelvin(rate: float, atoms: int) -> float:
    """K/ps of a crystal: half of the heat becomes potential energy."""
    return rate / (3 * atoms * units.kB)


def rows(series: Series) -> list[dict]:
    found = []
    for number, name in enumerate(series.names):
        heats = [heat[:, number] for heat in series.heats]
        rate, error = walk(heats, series.timestep, series.temperature)
        mean, spread = climbs(heats, series.timestep)
        found.append(
            {
                "way": name,
                "weighted": series.weighted[number],
                "rate": rate,
                "error": error,
                "mean": mean,
                "mean_error": spread,
            }
        )
    return found


def table(name: str, work: Path) -> dict:
    series = Series.load(name, work)
    print(f"\n{name}: {series.picoseconds:.1f} ps in {len(series.heats)} chains, "
          f"{series.atoms} atoms, {series.temperature:.0f} K")  # fmt: skip
    energy, error = climbs(series.energies, series.timestep)
    print(f"total energy of the first way: {1e3 * energy:+.1f} ± {1e3 * error:.1f} meV/ps")
    print(f"{'way':42} {'atoms':>5} {'meV/ps':>15} {'K/ps':>16} {'mean work':>16}")
    found = rows(series)
    for row in found:
        in_kelvin = [kelvin(row[key], series.atoms) for key in ("rate", "error")]
        print(
            f"{row['way']:42} {row['weighted']:5} {1e3 * row['rate']:7.1f} ± "
            f"{1e3 * row['error']:<5.1f} {in_kelvin[0]:7.3f} ± {in_kelvin[1]:<6.3f} "
            f"{1e3 * row['mean']:+7.1f} ± {1e3 * row['mean_error']:<5.1f}"
        )
    return {
        "picoseconds": series.picoseconds,
        "chains": len(series.heats),
        "atoms": series.atoms,
        "temperature": series.temperature,
        "energy": energy,
        "energy_error": error,
        "ways": found,
    }


def draw(found: dict, path: Path) -> None:
    """Work against the atoms that are expensive, by profile."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    studies = [name for name in ("seam", "fast") if name in found]
    figure, panels = plt.subplots(1, len(studies), figsize=(5.5 * len(studies), 4), squeeze=False)
    colours = {"abrupt": "k", "linear": "#1f77b4", "cubic": "#2ca02c", "smooth": "#d62728"}
    for panel, study in zip(panels[0], studies, strict=True):
        for profile, colour in colours.items():
            mine = [row for row in found[study]["ways"] if row["way"].startswith(profile)]
            x, y, error = ([row[key] for row in mine] for key in ("weighted", "mean", "mean_error"))
            scaled = [1e3 * np.array(values) for values in (y, error)]
            panel.errorbar(x, *scaled, fmt="o", color=colour, label=profile, markersize=4)
        panel.set(title=study, xlabel="atoms of positive weight", ylabel="work, meV/ps")
        panel.axhline(0.0, color="k", linewidth=0.5)
        panel.grid(alpha=0.3)
    panels[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=[*STUDIES, "tables"])
    parser.add_argument("work", type=Path)
    parser.add_argument("--picoseconds", type=float, default=10.0, help="of each chain")
    parser.add_argument("--chains", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.command != "tables":
        advance(given.command, given.work, given.chains, given.picoseconds)
        table(given.command, given.work)
        return
    found = {
        name: table(name, given.work)
        for name in STUDIES
        if list(given.work.glob(f"{name}-*-000.npz"))
    }
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.figure:
        draw(found, given.figure)


if __name__ == "__main__":
    main()
