"""How much energy mixed forces put in, and where it comes from (docs/drift.md).

python scripts/energy_flux.py own WORK      Si vacancy, 511 atoms: each way's own run
python scripts/energy_flux.py step WORK     the same with half the time step
python scripts/energy_flux.py snap WORK     the same, another cheap potential; snap_near: 215 atoms
python scripts/energy_flux.py NAME WORK     the same, a silicon potential of ipi_inputs/potentials
python scripts/energy_flux.py buffers WORK  the same, what is cut off the expensive forces
python scripts/energy_flux.py helium WORK   a moving seed: He in 432 W, hysteresis
python scripts/energy_flux.py tables WORK   what was found; --json writes it

All but the last add pieces of NVE to those that are in the folder WORK, until --picoseconds
are there of each way that moves atoms, in each of --chains, or --minutes are over. They can be
stopped at any time. Along each trajectory the work of all other ways is noted (``mixed_work.py``).
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from ase import Atoms
from energy_walk import BAND, Chain, climb, load, ratio, spread, warming, write
from mixed_system import (
    POTENTIALS,
    ROOT,
    System,
    Way,
    distilled,
    helium_in_tungsten,
    small_vacancy,
)
from mixed_work import run_piece, settle, thermal


#: ps of a piece, and left out at the beginning of each chain.
PIECE, SKIPPED = 2.0, 0.5


def frozen(core: float, blend: float, profile: str = "linear", cheap: str = "") -> Way:
    """Weights of the first step throughout."""
    return Way(core, blend, profile, every=0, cheap=cheap)


#: Whose own runs are compared.
MOVERS = (
    frozen(4.0, 4.0),
    frozen(3.0, 0.0),
    frozen(4.0, 0.0),
    frozen(3.0, 3.0),
    frozen(4.0, 6.0),
    frozen(4.0, 4.0, "cubic"),
    frozen(4.0, 6.0, "cubic"),
    frozen(4.0, 2.0, "smooth"),
    frozen(4.0, 4.0, "smooth"),
    frozen(4.0, 6.0, "smooth"),
    frozen(6.0, 4.0),
    Way(4.0, 4.0),
    Way(4.0, 4.0, "smooth"),
    frozen(4.0, 4.0, cheap="eam-uf3"),
    frozen(5.0, 4.0, "smooth", cheap="eam-uf3"),
)
#: Whose work is noted besides.
NOTED = (
    *(frozen(core, 0.0) for core in (5.0, 6.0)),
    *(frozen(core, blend) for core, blend in ((3, 2), (4, 2), (3, 4), (3, 6), (4, 3), (4, 8))),
    *(frozen(core, blend) for core, blend in ((5, 3), (5, 4), (5, 6), (6, 3), (6, 6))),
    *(frozen(core, blend, "cubic") for core, blend in ((4, 2), (3, 4), (3, 6), (6, 4))),
    *(frozen(3.0, blend, "smooth") for blend in (2, 3, 4, 6)),
    *(frozen(core, 4.0, "smooth") for core in (5, 6)),
)
EAM_NOTED = tuple(
    frozen(core, blend, profile, "eam-uf3")
    for (core, blend), profile in product(((3, 4), (4, 4), (5, 4), (6, 4)), ("linear", "smooth"))
)


#: Whose spreads are compared.
RATIOS = (
    (frozen(3.0, 4.0), frozen(4.0, 4.0)),
    (frozen(6.0, 4.0), frozen(4.0, 4.0)),
    (frozen(4.0, 4.0), frozen(4.0, 0.0)),
    (frozen(4.0, 6.0), frozen(4.0, 4.0)),
    (frozen(3.0, 6.0), frozen(3.0, 4.0)),
    (frozen(4.0, 4.0, "cubic"), frozen(4.0, 4.0)),
    (frozen(4.0, 4.0, "smooth"), frozen(4.0, 4.0)),
    (Way(4.0, 4.0), frozen(4.0, 4.0)),
    (Way(4.0, 4.0, "smooth"), frozen(4.0, 4.0, "smooth")),
)


def by_snap(*ways: Way) -> list[Way]:
    return [replace(way, cheap="snap") for way in ways]


def buffer_ways() -> list[Way]:
    """Exact forces, then what a run has of them."""
    base = frozen(4.0, 4.0)
    return [
        base,
        *(replace(base, expensive=radii) for radii in ((6.0,), (8.0,), (4.5, 3.0), (5.0, 4.0))),
    ]


def helium_ways() -> tuple[list[Way], list[Way]]:
    """Profiles and hysteresis: who moves the atoms, whose work is noted besides."""
    base = Way(6.0, 3.0)
    smooth = replace(base, profile="smooth")
    slow = replace(base, tau_in=100.0, tau_out=100.0)
    noted = [Way(6.0, 0.0), replace(base, profile="cubic"), replace(base, leave=7.0)]
    noted += [replace(base, every=10), replace(smooth, every=10)]
    noted += [replace(base, tau_in=tau, tau_out=tau) for tau in (20.0, 500.0)]
    noted += [replace(smooth, tau_in=100.0, tau_out=100.0)]
    return [base, smooth, slow], noted


@dataclass(frozen=True)
class Study:
    """What a subcommand runs: fs, K, 1/ps.

    ``ratios`` are of spreads; ``together``: spreads are along all trajectories, not along those
    that the same cheap potential has moved.
    """

    case: str
    movers: Sequence[Way]
    noted: Sequence[Way]
    timestep: float
    temperature: float
    cheap: dict[str, Sequence[str]]
    start: str
    atoms: Atoms | None = None
    band: float = BAND
    ratios: Sequence[tuple[Way, Way]] = ()
    together: bool = False

    def along(self, cheap: str, chains: Sequence[Chain]) -> list[Chain]:
        """The trajectories for the spreads of ways by a cheap potential; all if it moved none."""
        alike = {way.name for way in self.movers if way.cheap == cheap or self.together}
        return [chain for chain in chains if chain.mover in alike] or list(chains)

    def ways(self, mover: Way) -> list[Way]:
        """All, who moves the atoms first."""
        others = dict.fromkeys((*self.movers, *self.noted))
        others.pop(mover, None)
        return [mover, *others]


def another(name: str) -> Study:
    """A cheap potential beside `si-uf3`: each moves the atoms with the recommended weights."""
    widths = ((3, 4), (3, 3), (4, 4))
    mine = [frozen(core, blend, cheap=name) for core, blend in widths]
    usual = [frozen(core, blend) for core, blend in widths]
    return Study(
        "si_vacancy_md", (mine[0], usual[0]), (*mine, *usual), 4.0, 300.0,
        {name: distilled(name)}, "silicon", ratios=tuple(zip(mine, usual, strict=True)),
        together=True,
    )  # fmt: skip


def others() -> list[str]:
    """The potentials for silicon that have been distilled, but for the usual one."""
    names = sorted(path.stem for path in POTENTIALS.glob("si-*.yaml"))
    return [n for n in names if n != "si-uf3" and (POTENTIALS / f"{n}.json").is_file()]


STUDIES = {
    "own": Study(
        "si_vacancy_md", MOVERS, (*NOTED, *EAM_NOTED), 4.0, 300.0,
        {"eam-uf3": distilled("si-eam-uf3")}, "silicon", ratios=RATIOS,
    ),
    "step": Study(
        "si_vacancy_md", MOVERS[:1], tuple(w for w in (*MOVERS, *NOTED) if not w.cheap),
        2.0, 300.0, {}, "silicon",
    ),
    "snap": Study(
        "si_vacancy_md",
        by_snap(frozen(6.0, 4.0)),
        by_snap(frozen(3.0, 4.0), frozen(4.0, 4.0), frozen(5.0, 4.0), frozen(6.0, 4.0, "smooth")),
        4.0, 300.0, {"snap": distilled("si-snap")}, "silicon",
    ),
    "snap_near": Study(
        "si_vacancy_md", by_snap(frozen(3.0, 3.0)), (), 4.0, 300.0,
        {"snap": distilled("si-snap")}, "small", small_vacancy(),
    ),
    "buffers": Study(
        "si_vacancy_md", buffer_ways()[:1], buffer_ways()[1:], 4.0, 300.0, {}, "silicon"
    ),
    "helium": Study(
        "w_he_md", *helium_ways(), 2.0, 600.0, {}, "helium", helium_in_tungsten(), 0.5
    ),
    **{name: another(name) for name in others()},
}  # fmt: skip


def advance(
    name: str, work: Path, chains: Sequence[int], picoseconds: float, minutes: float
) -> None:
    """Add pieces until there are enough, the shortest chain first."""
    study, until = STUDIES[name], time.monotonic() + 60.0 * minutes
    system = System(ROOT / "ipi_inputs" / study.case, study.cheap, atoms=study.atoms)
    steps = round(1e3 * PIECE / study.timestep)
    numbers = range(round(picoseconds / PIECE))
    for number, chain, mover in product(numbers, chains, study.movers):
        if time.monotonic() > until:
            return
        slug = re.sub(r"[^a-z0-9_]+", "-", mover.name)
        begin = beginning(study, system, work, mover, chain, slug)
        path = work / f"{name}.{slug}.{chain}.{number:03d}.npz"
        if path.exists():
            continue
        before = path.with_name(f"{name}.{slug}.{chain}.{number - 1:03d}.npz") if number else begin
        ways = study.ways(mover)
        run_piece(system, ways, path, before, begin, steps=steps, timestep=study.timestep)
        print(path.name, flush=True)


def beginning(study: Study, system: System, work: Path, mover: Way, chain: int, slug: str) -> Path:
    """The settled positions of a chain with velocities of a way's own.

    From the same velocities trajectories of different ways would stay together for 2 ps, and
    tell the same twice.
    """
    settled = work / f"{study.start}-{chain}-settled.npz"
    if not settled.exists():
        # half of it becomes potential energy
        state = thermal(system, 2.0 * study.temperature, chain)
        state = settle(system, study.movers[0], state, study.temperature, chain, study.timestep)
        np.savez(settled, positions=state.positions, velocities=state.velocities)
    begin = work / f"{study.start}-{chain}-{slug}-begin.npz"
    if not begin.exists():
        number = study.movers.index(mover)
        velocities = thermal(system, study.temperature, [chain, number]).velocities
        np.savez(begin, positions=np.load(settled)["positions"], velocities=velocities)
    return begin


def own_run(mover: str, chains: Sequence[Chain], rate: float, band: float) -> dict:
    """What a way did that moved the atoms itself; ``rate``, eV/ps, is for the error."""
    timestep, atoms = chains[0].timestep, chains[0].atoms
    temperature = float(np.mean([chain.temperature for chain in chains]))
    heats = [chain.heats[mover] for chain in chains]
    climbed = climb(heats, timestep, temperature, rate)
    single = [climb([heat], timestep, temperature, rate).value for heat in heats]
    slope, error = warming(chains)
    return {
        **climbed.values(atoms),
        "single": [1e3 * value for value in single],
        "spread": spread(heats, timestep, temperature, band).values(atoms),
        "warming": slope,
        "warming_error": error,
        "temperature": temperature,
    }


def row(name: str, chains: Sequence[Chain], band: float) -> dict:
    """A way: how its work spreads along all trajectories, and its own run."""
    timestep, atoms = chains[0].timestep, chains[0].atoms
    temperature = float(np.mean([chain.temperature for chain in chains]))
    heats = [chain.heats[name] for chain in chains]
    rate = spread(heats, timestep, temperature, band)
    found = {"way": name, "weighted": chains[0].weighted[name], **rate.values(atoms)}
    own = [chain for chain in chains if chain.mover == name]
    return {**found, "own": own_run(name, own, rate.value, band)} if own else found


def besides(base: str, chains: Sequence[Chain], names: Sequence[str]) -> list[dict]:
    """What other expensive forces do besides those of the first way."""
    timestep, atoms = chains[0].timestep, chains[0].atoms
    temperature = float(np.mean([chain.temperature for chain in chains]))
    rows = []
    for name in names:
        heats = [chain.heats[name] - chain.heats[base] for chain in chains]
        values = spread(heats, timestep, temperature).values(atoms)
        rows.append({"way": f"{name}, besides", "weighted": chains[0].weighted[name], **values})
    return rows


def comparisons(study: Study, rows: Sequence[dict]) -> dict:
    """Whether climbs are what the spreads say, of ways by the first cheap potential."""
    moved = {way.name for way in study.movers if not way.cheap}
    both = [(one, one["own"]) for one in rows if one["way"] in moved and "own" in one]
    expected = sum(one["meV_per_ps"] * own["ps"] for one, own in both)
    return {
        "chi2": sum(((own["meV_per_ps"] - one["meV_per_ps"]) / own["error"]) ** 2
                    for one, own in both),
        "runs": len(both),
        "climbs_to_spreads": sum(own["meV_per_ps"] * own["ps"] for _, own in both) / expected,
    }  # fmt: skip


def ratios(study: Study, chains: Sequence[Chain]) -> dict[str, tuple[float, float]]:
    """Of the spreads of two ways along the same trajectories."""
    found = {}
    for first, second in study.ratios:
        names = (first.name, second.name)
        found[" / ".join(names)] = ratio(*names, study.along(first.cheap, chains), study.band)
    return found


def table(name: str, work: Path) -> dict:
    """All ways of a study."""
    study = STUDIES[name]
    chains = load(work.glob(f"{name}.*.npz"), SKIPPED)
    ways = dict.fromkeys((*study.movers, *study.noted))
    rows = [row(way.name, study.along(way.cheap, chains), study.band) for way in ways]
    if name == "buffers":
        rows += besides(rows[0]["way"], chains, [one["way"] for one in rows[1:]])
    found = {
        "picoseconds": sum(chain.picoseconds for chain in chains),
        "timestep": 1e3 * chains[0].timestep,
        "atoms": chains[0].atoms,
        "temperature": float(np.mean([chain.temperature for chain in chains])),
        "ways": rows,
    }
    show(name, found)
    if study.ratios:
        compared = comparisons(study, rows) if name == "own" else {}
        found["compared"] = {**compared, **ratios(study, chains)}
        print(json.dumps(found["compared"], indent=1))
    return found


def show(name: str, found: dict) -> None:
    print(f"\n{name}: {found['picoseconds']:.1f} ps of {found['timestep']:g} fs, "
          f"{found['atoms']} atoms, {found['temperature']:.0f} K; meV/ps")  # fmt: skip
    print(f"{'way':44} {'atoms':>5} {'spread, all':>15} {'climb, own run':>17} "
          f"{'spread, own':>15} {'ps':>5} {'K/ps':>13}")  # fmt: skip
    for one in found["ways"]:
        line = (
            f"{one['way']:44} {one['weighted']:5} {one['meV_per_ps']:7.1f} ± {one['error']:<5.1f}"
        )
        if own := one.get("own"):
            line += (
                f" {own['meV_per_ps']:+8.1f} ± {own['error']:<6.1f}"
                f" {own['spread']['meV_per_ps']:7.1f} ± {own['spread']['error']:<5.1f}"
                f" {own['ps']:5.1f} {own['warming']:+6.2f} ± {own['warming_error']:.2f}"
            )
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=[*STUDIES, "tables"])
    parser.add_argument("work", type=Path)
    parser.add_argument("--picoseconds", type=float, default=12.0, help="of each way and chain")
    parser.add_argument("--chains", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.command != "tables":
        advance(given.command, given.work, given.chains, given.picoseconds, given.minutes)
        table(given.command, given.work)
        return
    found = {
        name: table(name, given.work) for name in STUDIES if any(given.work.glob(f"{name}.*.npz"))
    }
    if given.json:
        write(given.json, found)


if __name__ == "__main__":
    main()
