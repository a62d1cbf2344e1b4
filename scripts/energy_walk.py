"""Rates of the random walk of an energy, from the pieces that ``energy_flux.py`` leaves.

Mixed forces change H by a random walk to first order in what the potentials differ by: forces do
not change when time is turned round, velocities do. Dynamics under forces that depend on positions
alone keeps the volume of phase space, so that ⟨exp(−ΔH/kT)⟩ = 1 from equilibrium (as in
C. Jarzynski, Phys. Rev. Lett. 78, 2690, 1997): to second order the walk climbs, by its variance /
2kT. A climb of rate r over a time t has a relative error √(2kT / r t).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from ase import units
from mixpi.analysis.statistics import slope
from scipy.fft import dst


#: 1/ps; frequencies below which the spectral density of the power is flat (docs/drift.md).
BAND = 1.0
#: ps over which both ends of a climb are averaged.
ENDS = 0.3


@dataclass(frozen=True)
class Chain:
    """What one way moved, piece after piece.

    Attributes
    ----------
    mover, number :
        Name of the way, number of the state that it began with.
    timestep : float
        ps between samples.
    atoms : int
        In the cell.
    weighted : dict of str to int
        Atoms of positive weight, by way.
    heats : dict of str to ndarray, shape (samples,)
        By way, eV.
    temperatures : ndarray, shape (samples,)
        K.
    """

    mover: str
    number: int
    timestep: float
    atoms: int
    weighted: dict[str, int]
    heats: dict[str, np.ndarray]
    temperatures: np.ndarray

    @property
    def picoseconds(self) -> float:
        return self.timestep * (len(self.temperatures) - 1)

    @property
    def temperature(self) -> float:
        return float(self.temperatures.mean())


def load(paths: Iterable[Path], skipped: float) -> list[Chain]:
    """Chains of pieces named ``study.way.chain.number.npz``, less some ps at their beginning."""
    chains = []
    for _, group in groupby(sorted(paths), lambda path: path.name.rsplit(".", 2)[0]):
        own = list(group)
        pieces = [dict(np.load(path)) for path in own]
        first, names = pieces[0], pieces[0]["names"].tolist()
        skip = round(1e3 * skipped / first["timestep"])
        heats = joined([piece["heats"] - piece["heats"][0] for piece in pieces])[skip:]
        temperatures = np.concatenate(
            [first["temperatures"][:1], *(piece["temperatures"][1:] for piece in pieces)]
        )
        chains.append(
            Chain(
                names[0],
                int(own[0].name.split(".")[-3]),
                1e-3 * float(first["timestep"]),
                int(first["atoms"]),
                dict(zip(names, first["weighted"].tolist(), strict=True)),
                dict(zip(names, heats.T, strict=True)),
                temperatures[skip:],
            )
        )
    return chains


def joined(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """One after the other; the last sample of each is the first of the next."""
    found, last = [pieces[0][:1]], pieces[0][0]
    for piece in pieces:
        found.append(piece[1:] + last)
        last = last + piece[-1]
    return np.concatenate(found)


@dataclass(frozen=True)
class Rate:
    """eV/ps with its standard error, and the time that it is from, ps."""

    value: float
    error: float
    picoseconds: float

    def values(self, atoms: int) -> dict[str, float]:
        """For JSON; K/ps of a crystal, where half of the heat becomes potential energy."""
        kelvin = 1.0 / (3 * atoms * units.kB)
        return {
            "meV_per_ps": 1e3 * self.value,
            "error": 1e3 * self.error,
            "K_per_ps": self.value * kelvin,
            "K_error": self.error * kelvin,
            "ps": self.picoseconds,
        }


def spread(
    heats: Sequence[np.ndarray], timestep: float, temperature: float, band: float = BAND
) -> Rate:
    """The rate at which walks climb, from how much they spread.

    Their variance in a time t is the spectral density of the power at zero frequency, times t;
    it is taken from the lowest sine transforms of the power (sine tapers: K. S. Riedel and
    A. Sidorenko, IEEE Trans. Signal Process. 43, 188, 1995), each of which is worth one degree of
    freedom of a χ²; the mean, which is taken off, costs one.

    Parameters
    ----------
    heats : sequence of ndarray
        Walks, eV.
    timestep : float
        ps between samples.
    temperature : float
        K.
    band : float
        1/ps; the highest frequency.
    """
    squares, freedom, duration = 0.0, 0, 0.0
    for heat in heats:
        length = timestep * (len(heat) - 1)
        tapers = int(2.0 * band * length)
        if tapers < 2:
            continue
        power = np.diff(heat) / timestep
        transformed = dst(power - power.mean(), type=1, norm="ortho")[:tapers]
        squares += timestep * float(transformed @ transformed)
        freedom += tapers - 1
        duration += length
    if not freedom:
        return Rate(np.nan, np.inf, duration)
    value = squares / freedom / (2.0 * units.kB * temperature)
    return Rate(value, value * np.sqrt(2.0 / freedom), duration)


def climb(heats: Sequence[np.ndarray], timestep: float, temperature: float, rate: float) -> Rate:
    """What walks climb by, with the error of a walk.

    Parameters
    ----------
    heats, timestep, temperature :
        As for :func:`spread`.
    rate : float
        eV/ps; by which they should climb, for the error.
    """
    ends = round(ENDS / timestep)
    window = np.hanning(ends + 2)[1:-1]
    window /= window.sum()
    total = sum(float(window @ (heat[-ends:] - heat[:ends])) for heat in heats)
    duration = sum(timestep * (len(heat) - ends) for heat in heats)
    error = np.sqrt(2.0 * units.kB * temperature * rate / duration)
    return Rate(total / duration, float(error), duration)


def ratio(first: str, second: str, chains: Sequence[Chain], band: float) -> tuple[float, float]:
    """Of two ways' spreads along the same trajectories, with its error by jackknife over them."""

    def of(some: Sequence[Chain]) -> float:
        rates = [
            spread([chain.heats[name] for chain in some], some[0].timestep, 1.0, band).value
            for name in (first, second)
        ]
        return rates[0] / rates[1]

    left_out = np.array([of([c for c in chains if c is not one]) for one in chains])
    error = np.sqrt((len(chains) - 1) * np.mean((left_out - left_out.mean()) ** 2))
    return of(chains), float(error)


def warming(chains: Sequence[Chain]) -> tuple[float, float]:
    """Slope of the temperature, K/ps, with its standard error, by autocorrelation."""
    found = [
        slope(chain.timestep * np.arange(len(chain.temperatures)), chain.temperatures)
        for chain in chains
    ]
    lengths = np.array([chain.picoseconds for chain in chains])
    shares = lengths**3 / np.sum(lengths**3)
    errors = np.array([one.error for one in found])
    return float(shares @ [one.value for one in found]), float(np.sqrt(shares**2 @ errors**2))


def write(path: Path, found: Mapping[str, dict]) -> None:
    """Put results into a JSON file, beside others that are there."""
    there = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**there, **found}, indent=1) + "\n")
