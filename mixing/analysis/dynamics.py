"""Temperature and drift of a run, from i-PI's properties: averages, slopes, error bars."""

from __future__ import annotations

import numpy as np

from ..ipi.input import IpiInput
from .freedom import read_temperature
from .properties import Series, read_series
from .statistics import Estimate, mean, settled_from, slope


#: fs.
PS = 1e3


def describe_dynamics(
    ipi_input: IpiInput, n_atoms: int, *, first: int = -1, last: int | None = None
) -> dict:
    """Temperature and drift over a range of steps.

    Averages and the slope of the temperature leave equilibration out
    (:func:`mixpi.analysis.statistics.settled_from`, on the temperature); the drift of the energy
    estimate is over all of the steps.

    Parameters
    ----------
    ipi_input : IpiInput
        The run.
    n_atoms : int
        Of the system; the drift is also given per atom.
    first : int
        The step behind which the range begins.
    last : int, optional
        Its last step.

    Returns
    -------
    dict
        Ready for JSON; what cannot be told is under ``missing``, with the reason. An error is
        None, and ``tells`` false, where the data are too few for one; ``averages_from_step``
        is None where nothing is left out.
    """
    found: dict = {"missing": {}}
    whole = read_temperature(ipi_input, n_atoms)
    temperature = _part(found, "temperature", whole, first, last)
    if temperature is not None:
        begin = settled_from(temperature.values)
        settled = temperature.between(int(temperature.step[begin]) - 1)
        average = mean(settled.values)
        tilt = slope(settled.time / PS, settled.values)
        found["averages_from_step"] = int(settled.step[0]) if begin else None
        found["temperature_K"] = {
            "mean": average.value,
            "error": average.error if average.tells else None,
            "std": float(np.std(settled.values)),
            "last": float(settled.values[-1]),
            "span_fs": _span(settled),
        }
        if len(settled.step) >= 3:
            found["temperature_K"] |= {
                "slope_per_ps": tilt.value,
                "slope_error_per_ps": tilt.error,
                "slope_tells": tilt.tells,
                "slope_is_zero": tilt.is_zero,
            }
    whole = read_series(ipi_input, "conserved")
    conserved = _part(found, "conserved", whole, first, last)
    if conserved is not None:
        _add_drift(found, conserved, slope(conserved.time / PS, conserved.values), n_atoms)
    return found


def _part(
    found: dict, name: str, series: Series | str, first: int, last: int | None
) -> Series | None:
    if isinstance(series, Series):
        series = series.between(first, last)
        if len(series.step):
            return series
        series = "i-PI has written nothing of these steps"
    found["missing"][name] = series
    return None


def _add_drift(found: dict, conserved: Series, drift: Estimate, n_atoms: int) -> None:
    if len(conserved.step) < 3:
        found["missing"]["conserved"] = f"{len(conserved.step)} values give no drift"
        return
    found["energy_drift_eV_per_ps"] = drift.value
    found["energy_drift"] = {
        "error_eV_per_ps": drift.error,
        "meV_per_atom_per_ps": 1e3 * drift.value / n_atoms,
        "error_meV_per_atom_per_ps": 1e3 * drift.error / n_atoms,
        "span_fs": _span(conserved),
        "samples": len(conserved.step),
        "independent": drift.independent,
        "tells": drift.tells,
        "is_zero": drift.is_zero,
    }


def _span(series: Series) -> float:
    return float(series.time[-1] - series.time[0])
