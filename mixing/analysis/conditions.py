"""Under which conditions runs were made: what makes them different simulations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ..errors import MixpiError
from .motion import Thermometer
from .statistics import Estimate, together


#: Relative; runs whose temperatures differ by less may have been meant to be at one, as those
#: without a thermostat.
ALIKE = 0.08
#: Standard errors of a difference that chance does not reach.
BEYOND = 4.0
#: Relative; loads that differ by less are one, on cells that differ by a little.
ALIKE_LOADS = 0.02


@dataclass(frozen=True)
class Conditions:
    """Of one run, or of several that were alike; None is not known.

    Attributes
    ----------
    temperature : Estimate or None
        K, where frames have velocities.
    load : tuple of float or None
        Of the constant forces on atoms the sum of the sizes along x, y and z, eV/Å; zeros
        without any.
    """

    temperature: Estimate | None = None
    load: tuple[float, float, float] | None = None


class Watch:
    """Reads the conditions of a run from its frames."""

    def __init__(self) -> None:
        self._thermometer = Thermometer()
        self._load: tuple[float, float, float] | None = None

    def clear(self) -> None:
        """Begin anew."""
        self._thermometer.clear()
        self._load = None

    def read(self, atoms: Atoms, path: object, frame_time: float) -> None:
        """Take the next frame.

        Parameters
        ----------
        atoms : Atoms
            mixpi's tell their load, if they have any; of those of others nothing is known.
        path : path-like
            For the message.
        frame_time : float
            fs; for the message.

        Raises
        ------
        MixpiError
            If velocities or loads are no numbers, or loads change.
        """
        self._thermometer.read(atoms, path, frame_time)
        if "mix_weight" not in atoms.arrays:
            return
        told = np.array(atoms.info.get("load", np.zeros(3)))
        if told.shape != (3,) or told.dtype.kind not in "if" or not np.isfinite(told).all():
            raise MixpiError(f"{path}: 'load' at {frame_time:g} fs is no three numbers (eV/Å)")
        load = (float(told[0]), float(told[1]), float(told[2]))
        if self._load is not None and not _alike(load, self._load):
            raise MixpiError(
                f"{path}: the load changes before {frame_time:g} fs, from {_in_words(self._load)} "
                f"to {_in_words(load)}: analyse the parts of the run one by one"
            )
        self._load = load

    @property
    def conditions(self) -> Conditions:
        """Of the frames that were read."""
        return Conditions(self._thermometer.mean(), self._load)


def common(runs: Sequence[Conditions]) -> Conditions:
    """Of several runs that were alike.

    Parameters
    ----------
    runs : sequence of Conditions

    Returns
    -------
    Conditions
        The mean temperature of those that tell, and their load.
    """
    loads = [run.load for run in runs if run.load is not None]
    return Conditions(together([run.temperature for run in runs]), loads[0] if loads else None)


def require_same(runs: Mapping[str, Conditions]) -> None:
    """Refuse runs that were made under different conditions, as far as that is known.

    Parameters
    ----------
    runs : mapping of str to Conditions
        By label.

    Raises
    ------
    MixpiError
        If two were at different temperatures, or under different loads.
    """
    if words := different_temperatures({label: run.temperature for label, run in runs.items()}):
        raise MixpiError(
            f"{words}: their results are not one. Put those of one temperature together, and "
            "several temperatures on a line (mixpi analyse arrhenius)"
        )
    if words := _different_loads(runs):
        raise MixpiError(
            f"{words}: their results are not one. Put those of one load together, and put several "
            "loads side by side (mixpi analyse compare)"
        )


def differences(runs: Mapping[str, Conditions]) -> list[str]:
    """What differs between runs that are put side by side.

    Parameters
    ----------
    runs : mapping of str to Conditions
        By label.

    Returns
    -------
    list of str
        A note on each.
    """
    temperatures = different_temperatures({at: run.temperature for at, run in runs.items()})
    loads = _different_loads(runs)
    told = {"temperatures": temperatures, "loads": loads}
    return [f"different {what} are compared: {words}" for what, words in told.items() if words]


def different_temperatures(runs: Mapping[str, Estimate | None]) -> str:
    """In words, if runs were at different temperatures; else empty.

    Parameters
    ----------
    runs : mapping of str to Estimate or None
        Label to temperature, K.

    Returns
    -------
    str
        If two are further apart than ``ALIKE`` and their errors allow.
    """
    known = [(one.value, one.error, label) for label, one in runs.items() if one]
    if not known:
        return ""
    (low, of_low, cold), (high, of_high, hot) = min(known), max(known)
    if high - low <= max(ALIKE * low, BEYOND * float(np.hypot(of_low, of_high))):
        return ""
    return f"{cold} was at {low:.4g} K, {hot} at {high:.4g} K"


def _different_loads(runs: Mapping[str, Conditions]) -> str:
    """In words, if runs were under different loads; else empty."""
    known = [(run.load, label) for label, run in runs.items() if run.load is not None]
    for load, label in known[1:]:
        first, of_first = known[0]
        if not _alike(load, first):
            return f"{of_first} was under {_in_words(first)}, {label} under {_in_words(load)}"
    return ""


def _alike(first: Sequence[float], second: Sequence[float]) -> bool:
    size = max(*first, *second)
    return bool(np.allclose(first, second, rtol=0.0, atol=ALIKE_LOADS * size))


def _in_words(load: Sequence[float]) -> str:
    if not any(load):
        return "no load"
    return f"loads of {', '.join(f'{one:.4g}' for one in load)} eV/Å in all along x, y, z"
