"""From what was measured to what the user should know: use it or not, why, and what helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .fitting import DATA_NOISE
from .phonons import NOISE


#: What the written file may differ from the fit by: eV per cell and eV/Å.
READ_BACK = 1e-8
#: Relative error of an elastic constant that is poor.
POOR = 0.02
#: Elastic constants smaller than this share of the largest are judged as if they were that.
SMALL = 0.1
#: Held-out force error with the constraint over that without it: worth a word, and too much.
#: Potentials that are good have 1.01 to 1.06, crowded bases that still hold a crystal 1.5.
WORSE, TOO_MUCH = 1.5, 2.0
#: Of the same ratio: below it, the constraint has room to be tighter.
SPARE = 1.2
#: The tolerance over the smallest error that the basis can reach, below which the constraint
#: eats the freedom that forces need: within 5 times, force errors were seen to grow 2 to 70
#: times; beyond 10 times, never more than 2.2 times.
ROOM = 5.0
#: Share of the shortest distance that atoms of a relaxed crystal may be off their places.
MOVED = 0.1


@dataclass(frozen=True)
class Evidence:
    """The measured numbers that a verdict rests on.

    Attributes
    ----------
    tolerance, floor : float
        Asked for, and the smallest that the basis can reach; rms eV/atom.
    force_ratio : float
        Held-out force error with the constraint over that without.
    read_back : float
        Largest difference between file and fit, eV and eV/Å.
    elastic, expected : mapping of str to float
        Elastic constants of the potential and of the expensive one, GPa.
    stable, expected_stable : bool
        Whether every strain costs energy, in both.
    no_crystal : str
        Why there is no crystal, or no elastic constants; empty if there are.
    imaginary : float
        Lowest branch that is imaginary here and real in the expensive potential, meV;
        0 if there is none.
    imaginary_where : tuple of float
        Its wave vector.
    imaginary_free : bool
        Whether the fit without the constraint has such a branch, or no sound crystal.
    expected_lowest : float
        Lowest branch of the expensive potential, meV.
    moved : float
        How far atoms of the relaxed crystal are off the expensive potential's places, as
        a share of the shortest distance.
    trial_fault : str
        What went wrong in the dynamics; empty if nothing did.
    trial_stopped : bool
        Whether it ended early.
    melts : bool
        Whether atoms leave their sites in the expensive potential's own snapshots.
    no_trial : str
        Why there was none; empty if there was.
    more : str
        How this basis is made larger.
    helpful_tolerance : float
        The smallest tolerance that keeps the force error below :data:`WORSE`; NaN if that
        was not looked for.
    """

    tolerance: float
    floor: float
    force_ratio: float
    read_back: float = 0.0
    elastic: Mapping[str, float] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)
    stable: bool = True
    expected_stable: bool = True
    no_crystal: str = ""
    imaginary: float = 0.0
    imaginary_where: tuple[float, ...] = ()
    imaginary_free: bool = False
    expected_lowest: float = 0.0
    moved: float = 0.0
    trial_fault: str = ""
    trial_stopped: bool = False
    melts: bool = False
    no_trial: str = ""
    more: str = "take more functions"
    helpful_tolerance: float = float("nan")

    @property
    def expected_sound(self) -> bool:
        """Whether the crystal is stable under the expensive potential."""
        return self.expected_stable and self.expected_lowest >= -NOISE

    @property
    def crowded(self) -> bool:
        """Whether the constraint takes what the basis has for the forces."""
        near = self.floor * ROOM > max(self.tolerance, DATA_NOISE)
        return near or self.force_ratio > SPARE


@dataclass(frozen=True)
class Verdict:
    """What the user should know.

    Attributes
    ----------
    usable : bool
        Whether the potential may be used at all.
    notes : tuple of str
        Reasons and advice.
    """

    usable: bool
    notes: tuple[str, ...]


def judge(found: Evidence) -> Verdict:
    """Whether a potential may be used, why not, and what would help.

    Parameters
    ----------
    found : Evidence
        Of the constrained fit.

    Returns
    -------
    Verdict
    """
    fatal, off = _fatal(found), _off(found)
    notes = [f"do not use this potential: {reason}" for reason in fatal]
    if not found.expected_sound:
        notes.append(
            "the crystal is unstable under the expensive potential itself (lowest branch "
            f"{found.expected_lowest:.1f} meV): is the structure the stable phase, without "
            "vacuum? The cheap one is only compared with it"
        )
    if found.melts:
        notes.append(
            "atoms leave their sites in the snapshots of the expensive potential (it melts, or "
            "they diffuse): for a potential of the crystal, lower soft: temperature"
        )
    if WORSE < found.force_ratio <= TOO_MUCH:
        notes.append(
            f"the constraint makes the force error {found.force_ratio:.1f} times as large as it "
            "is without"
        )
    if off:
        notes.append(off)
    if fatal or off or found.force_ratio > WORSE:
        advice = _advice(found, looser=not off)
        if advice:
            notes.append(advice)
    if found.no_trial:
        notes.append(
            f"the potential was not tried in dynamics ({found.no_trial}): run some hundred steps "
            "without thermostat before you trust it"
        )
    return Verdict(not fatal, tuple(notes))


def _fatal(found: Evidence) -> list[str]:
    reasons = []
    if not found.read_back <= READ_BACK:
        reasons.append(f"the written file differs from the fit by more than {READ_BACK:.0e}")
    if found.no_crystal:
        reasons.append(f"it has no sound crystal here ({found.no_crystal})")
    elif found.expected_stable and not found.stable:
        reasons.append("its elastic constants are those of an unstable crystal")
    if found.imaginary:
        where = ", ".join(f"{x:.3g}" for x in found.imaginary_where)
        reasons.append(
            f"a phonon branch that is real under the expensive potential is imaginary "
            f"({found.imaginary:.1f} meV at ({where})): the crystal falls apart by itself"
        )
    if found.moved > MOVED:
        reasons.append(
            f"the atoms of its crystal lie {100 * found.moved:.0f} % of the shortest distance "
            "off their places"
        )
    if found.force_ratio > TOO_MUCH:
        reasons.append(
            f"the constraint makes the force error {found.force_ratio:.1f} times as large as it "
            "is without"
        )
    # a crystal that is none may change, but not blow up
    if found.trial_fault and (found.expected_sound or found.trial_stopped):
        reasons.append(f"dynamics of the written files does not hold the crystal: "
                       f"{found.trial_fault}")  # fmt: skip
    return reasons


def _off(found: Evidence) -> str:
    """The worst elastic constant, if it is poor."""
    common = {k: c for k, c in found.expected.items() if k in found.elastic}
    if not common:
        return ""
    scale = SMALL * max(abs(c) for c in common.values())
    errors = {k: (found.elastic[k] - c) / max(abs(c), scale) for k, c in common.items()}
    worst = max(errors, key=lambda k: abs(errors[k]))
    if abs(errors[worst]) <= POOR:
        return ""
    return (
        f"{worst} of the constrained fit is off by {100 * errors[worst]:+.1f} % "
        f"({found.elastic[worst]:.1f} instead of {common[worst]:.1f} GPa)"
    )


def _advice(found: Evidence, *, looser: bool) -> str:
    """What helps: never a lower tolerance where the basis has no room for it."""
    if found.read_back > READ_BACK:
        return ""
    broken = bool(found.imaginary or found.no_crystal or found.trial_fault)
    if found.crowded or (broken and not found.imaginary_free):
        other = ""
        if looser and found.helpful_tolerance > found.tolerance:
            other = (
                f", or raise hard: tolerance to {found.helpful_tolerance:.1e}, where the force "
                f"error is less than {WORSE} times that without the constraint (at the price of "
                "the elastic constants)"
            )
        elif looser:
            other = ", or raise hard: tolerance (at the price of the elastic constants)"
        return (
            "the basis is too small for this constraint (it comes as close as "
            f"{found.floor:.1e} eV/atom to the strained cells; hard: tolerance is "
            f"{found.tolerance:.1e}): {found.more}{other}; a lower tolerance makes it worse"
        )
    if broken:
        return (
            "the fit without the constraint is no better, so the constraint is not to blame: "
            f"{found.more}, or give it more snapshots (soft: snapshots)"
        )
    return (
        f"the basis could come to {found.floor:.1e} eV/atom, and the constraint costs little "
        f"force error: lower hard: tolerance (now {found.tolerance:.1e}); if that does not help, "
        f"{found.more}"
    )
