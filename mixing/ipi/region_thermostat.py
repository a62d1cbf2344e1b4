"""A Langevin thermostat that acts on some atoms, in part on some, inside i-PI's own integrator.

i-PI's thermostats act on all atoms alike. Here each atom has a friction of its own, w/τ with
0 ≤ w ≤ 1, and the noise that belongs to it, so that the temperature of all of them is the same
(M. Ceriotti, G. Bussi, M. Parrinello, J. Chem. Theory Comput. 6, 1170, 2010, for one friction)::

    p ← T p + sqrt(1 − T²) sqrt(m k_B T_0) ξ,   T = exp(−w Δt/τ)

What i-PI knows of the thermostat stays as it is: temperature, τ, time step, the heat that was
exchanged, and the order of the random numbers. Only ``step`` is replaced, and that of the
instance, because i-PI writes a RESTART only of thermostats that are exactly of its own classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ipi.engine.simulation import Simulation
from ipi.utils.depend import dstrip
from ipi.utils.units import Constants

from ..errors import MixpiError
from ..regions.seeds import select_atoms
from ..structure import read_frames
from .motions import parts_of


#: i-PI's classes of thermostats → what its input calls them; "Thermostat" is none.
MODES = {
    "ThermoLangevin": "langevin",
    "ThermoPILE_L": "pile_l",
    "ThermoPILE_G": "pile_g",
    "ThermoSVR": "svr",
    "ThermoGLE": "gle",
    "ThermoNMGLE": "nm_gle",
    "ThermoNMGLEG": "nm_gle_g",
    "ThermoCL": "cl",
    "ThermoFFL": "ffl",
    "MultiThermo": "multi",
}
#: Those that act on each atom by itself.
LOCAL = ("langevin", "pile_l")
_LEFT_OUT = "or leave 'thermostat:' out of the configuration"

#: n weights, between 0 (nothing is felt) and 1.
Weights = Callable[[], np.ndarray]


def coupling(acts_on: str | Sequence[int], structure: Path, expensive: Weights) -> Weights:
    """How much of the friction each atom feels.

    Parameters
    ----------
    acts_on : str or sequence of int
        "cheap": 1 − w; "expensive": w; else atoms in words or by number
        (:data:`mixpi.regions.grammar.GRAMMAR`), which feel all of it.
    structure : Path
        The structure's file, in whose frame coordinates in words are.
    expensive : callable
        w of each atom, as it is now.

    Returns
    -------
    callable
        The weights of the friction (n,), as they are now.

    Raises
    ------
    MixpiError
        If the words are not understood, or no atom matches.
    """
    if acts_on == "cheap":
        return lambda: 1.0 - expensive()
    if acts_on == "expensive":
        return expensive
    atoms = read_frames(structure)[0]
    try:
        chosen = select_atoms(acts_on, atoms, key="thermostat: acts_on").indices
    except MixpiError as error:
        raise MixpiError(f"{error}\n(or cheap, or expensive)") from None
    if not chosen:
        raise MixpiError(
            f"thermostat: acts_on: no atom matches {acts_on!r}: nothing would be thermostatted"
        )
    mask = np.zeros(len(atoms))
    mask[chosen] = 1.0
    return lambda: mask


def require_local(motions: Iterable[tuple[str | None, str | None]]) -> None:
    """Refuse integrators whose thermostat cannot act on some atoms only.

    Parameters
    ----------
    motions : iterable of (str or None, str or None)
        Of each part of the motion: its ensemble ("nvt") and i-PI's class of its thermostat.

    Raises
    ------
    MixpiError
        What there is, and what works.
    """
    found = False
    for mode, kind in motions:
        if mode in (None, "nve"):  # what is no dynamics, and what uses no thermostat
            continue
        name = MODES.get(kind or "", "")
        if mode != "nvt":
            raise MixpiError(
                f"'thermostat:' of the configuration works in <dynamics mode='nvt'>, not in "
                f"mode='{mode}': use that, {_LEFT_OUT}"
            )
        if name and name not in LOCAL:
            raise MixpiError(
                f"<thermostat mode='{name}'> does not act on each atom by itself, as 'thermostat:' "
                "of the configuration needs it: use mode='langevin', for beads mode='pile_l', "
                f"{_LEFT_OUT}"
            )
        found = found or bool(name)
    if not found:
        raise MixpiError(
            "'thermostat:' of the configuration says where i-PI's thermostat acts, but its input "
            "has none that acts: write <dynamics mode='nvt'> and in it <thermostat mode='langevin'>"
            "<tau units='femtosecond'>100</tau></thermostat> (pile_l for beads), "
            f"{_LEFT_OUT}"
        )


def attach(simulation: Simulation, weights: Weights) -> None:
    """Let the thermostat of a simulation act on each atom as much as its weight says.

    Parameters
    ----------
    simulation : ipi.engine.simulation.Simulation
        Bound or not yet.
    weights : callable
        The weights (n,), asked for in each step of the thermostat. All beads of an atom share
        its weight.

    Raises
    ------
    MixpiError
        As :func:`require_local`.
    """
    motions = parts_of(simulation.syslist[0].motion)
    require_local(
        (getattr(motion, "enstype", None), type(getattr(motion, "thermostat", None)).__name__)
        for motion in motions
    )
    for motion in motions:
        if getattr(motion, "enstype", None) == "nvt":
            motion.thermostat.step = _RegionThermostat(motion, weights).step


def is_attached(simulation: Simulation) -> bool:
    """Whether a thermostat of a simulation acts by weights."""
    steps = (
        getattr(getattr(motion, "thermostat", None), "step", None)
        for motion in parts_of(simulation.syslist[0].motion)
    )
    return any(isinstance(getattr(step, "__self__", None), _RegionThermostat) for step in steps)


class _RegionThermostat:
    """What takes the place of a thermostat's step.

    Parameters
    ----------
    motion : ipi.engine.motion.Dynamics
        Whose thermostat it is.
    weights : callable
        The weights (n,).
    """

    def __init__(self, motion: Any, weights: Weights) -> None:
        self._motion, self._weights = motion, weights
        self._everywhere = motion.thermostat.step

    def step(self) -> None:
        """Act on the momenta of all beads once."""
        weights, thermostat = self._weights(), self._motion.thermostat
        if np.all(weights == 1.0):
            self._everywhere()
            return
        keep = bool(self._motion.fixcom)
        modes = getattr(thermostat, "_thermos", None)  # of PILE: one for each normal mode
        if modes is None:
            _act(thermostat, weights, keep_momentum=keep)
            return
        beads, still = self._motion.beads, np.repeat(weights == 0.0, 3)
        untouched = dstrip(beads.p)[:, still]
        for mode, langevin in enumerate(modes):
            _act(langevin, weights, keep_momentum=keep and mode == 0)
        # to the normal modes and back is not the same to the last digit; beads.p makes i-PI go back
        beads.p[:, still] = untouched


def _act(langevin: Any, weights: np.ndarray, *, keep_momentum: bool) -> None:
    """One step of i-PI's ``ThermoLangevin``, with a weight for each atom.

    With ``keep_momentum`` (fixcom) the common momentum that it brings in is taken away as well.
    i-PI would take it from all atoms alike, also from those that are not to feel anything. It is
    taken from each in proportion to (1 − T) m: with that, and no other way, the distribution of
    momenta without a common one remains the canonical one exactly, whatever T each atom has.
    With one T for all it is what i-PI does.
    """
    momenta, sm = dstrip(langevin.p), dstrip(langevin.sm)
    w = np.tile(np.repeat(weights, 3), len(momenta) // (3 * len(weights)))
    # where the weight is 1, i-PI's own numbers to the last digit
    damping = np.where(w == 1.0, langevin.T, langevin.T**w)
    noise = np.sqrt(Constants.kb * langevin.temp * (1.0 - damping**2))
    noise = np.where(w == 1.0, langevin.S, noise)
    before = momenta / sm
    after = momenta * (damping / sm) + noise * langevin.prng.gvec(len(momenta))
    if keep_momentum and w.any():
        share = (1.0 - damping) * sm
        brought = np.sum((after * sm).reshape(-1, 3), axis=0)
        brought /= np.sum((share * sm).reshape(-1, 3), axis=0)
        after -= share * np.tile(brought, len(momenta) // 3)
    acts = w > 0.0
    langevin.p[:] = np.where(acts, after * sm, momenta)
    lost = (before - after) * (before + after)
    langevin.ethermo += 0.5 * float(np.sum(lost[acts]))
