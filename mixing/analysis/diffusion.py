"""Diffusion coefficients with their errors, from one run and from several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2, t

from ..errors import MixpiError
from .comparing import different_lags
from .conditions import common, require_same
from .displacements import (
    bursts,
    covariance,
    dimensions,
    independent_walkers,
    mean_squares,
    move_together,
    unlike_walkers,
)
from .results import Report, Result
from .statistics import at_most, mean
from .tracks import Track


#: Å²/fs in m²/s.
M2_PER_S = 1e-5
#: Lags that a line is fitted to, at most, and the share of the run up to which they reach.
LAGS, LONGEST = 12, 0.2
#: Windows beside one another that the shortest lag must have at least.
WINDOWS = 25
#: Starts that are gone on behind the first that serves: a bias that is just no longer seen is
#: still there.
FURTHER = 2
#: Where chance would give a worse line less often, nothing is said of its error.
STRAIGHT = 0.01
#: Standard errors from zero within which a coefficient is only bounded.
SEEN = 2.0


@dataclass(frozen=True)
class Line:
    """A straight line 6 D τ + c through mean square displacements.

    Attributes
    ----------
    coefficient, error : float
        D and its standard error, Å²/fs.
    offset : float
        c, Å².
    lags : ndarray of int, shape (l,)
        In frames.
    squares, errors : ndarray, shape (l,)
        Mean square displacements and their standard errors, Å².
    chance : float
        How often data of such a line are further from it.
    unlike : bool
        Whether the walkers differ by more than chance.
    """

    coefficient: float
    error: float
    offset: float
    lags: np.ndarray
    squares: np.ndarray
    errors: np.ndarray
    chance: float
    unlike: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        """Where D is with 95 %, Å²/fs: as of a sum of squares of so many independent values.

        Its lower end is that of a number of events, of rare hops, if that is lower. From 0 on, up
        to a one-sided bound, where D cannot be told from zero.
        """
        if self.coefficient < SEEN * self.error:
            return 0.0, at_most(self.coefficient, self.error)
        freedom = 2.0 * (self.coefficient / self.error) ** 2
        low, high = freedom / chi2.ppf((0.975, 0.025), freedom)
        low = min(low, chi2.ppf(0.025, freedom) / freedom)
        return float(low * self.coefficient), float(high * self.coefficient)


def fit(track: Track, first: float | None = None, last: float | None = None) -> Line:
    """Fit the long-time line of a track by generalised least squares.

    The covariance is that of a random walk with the fitted D and offset, with the fourth moment
    that the steps have (:func:`mixpi.analysis.displacements.covariance`), and fit and covariance
    are repeated until they agree. Of lags to begin with, the shortest is taken that gives the
    same D as all longer ones, and then the next but one: what happens before, vibrations and
    steps that remember one another, is in the offset.

    Parameters
    ----------
    track : Track
    first, last : float, optional
        Lags to begin and to end with, fs.

    Returns
    -------
    Line

    Raises
    ------
    MixpiError
        If the run is too short for these lags.

    Notes
    -----
    As by J. T. Bullerjahn, S. von Bülow and G. Hummer, J. Chem. Phys. 153, 024116 (2020), with
    the fourth moment added, without which rare hops would seem to be many.
    """
    frames = len(track.times)
    for lag in (first, last):
        if lag is not None and not 0.0 < lag < np.inf:
            raise MixpiError(f"a lag must be a positive time, not {lag:g} fs")
    longest = int(LONGEST * frames) if last is None else round(last / track.spacing)
    most = (frames - 1) // WINDOWS
    starts = _growing(most) if first is None else [round(first / track.spacing)]
    if not starts or not 1 <= starts[0] <= most or not starts[0] + 2 <= longest < frames:
        raise MixpiError(
            f"{track.name}: lags from {first if first is not None else track.spacing:g} to "
            f"{longest * track.spacing:g} fs do not fit into {frames} frames of "
            f"{track.spacing:g} fs: the first must go into the run {WINDOWS} times, and the last "
            "be two frames longer at least"
        )
    lines = []
    for start in starts:
        if start + 2 <= longest:
            lags = np.unique(np.geomspace(start, longest, LAGS).round().astype(int))
            lines.append(_line(track, lags))
    serves = next(k for k, line in enumerate(lines) if _stays(line, lines[k + 1 :]))
    return _of_unlike_walkers(track, lines[min(serves + FURTHER, len(lines) - 1)])


def _of_unlike_walkers(track: Track, line: Line) -> Line:
    """The line, with the error that it has if its walkers differ by more than chance."""
    lag, walkers = int(line.lags[0]), track.positions.shape[1]
    own = float(line.errors[0] ** 2) * independent_walkers(track.positions, lag)
    more = unlike_walkers(track.positions, lag, own)
    of_walkers = np.sqrt(more / walkers) / (6.0 * lag * track.spacing)
    return replace(line, error=float(np.hypot(line.error, of_walkers)), unlike=more > 0.0)


def _growing(most: int) -> list[int]:
    """Lags from 1 on, each about half as much again as the one before."""
    found, lag = [], 1
    while lag <= most:
        found.append(lag)
        lag += (lag + 1) // 2
    return found


def _stays(line: Line, later: Sequence[Line]) -> bool:
    """Whether lines that begin later have the same slope.

    The difference of an efficient estimate and another one varies by the difference of their
    variances (J. A. Hausman, Econometrica 46, 1251, 1978): two of its standard errors are
    allowed.
    """
    return all(
        (other.coefficient - line.coefficient) ** 2
        <= 4.0 * max(other.error**2 - line.error**2, 0.0)
        for other in later
    )


def _line(track: Track, lags: np.ndarray) -> Line:
    frames = len(track.times)
    squares = mean_squares(track.positions, lags)
    if not squares.any():
        flat = np.zeros(len(lags))
        return Line(0.0, np.inf, 0.0, lags, squares, flat, 1.0)
    ways = dimensions(track.positions, int(lags[0]))
    burst = bursts(track.positions, int(lags[0]), ways)
    walkers = independent_walkers(track.positions, int(lags[0]))
    design = np.stack([np.ones(len(lags)), lags.astype(float)], axis=1)
    offset, tilt = np.linalg.lstsq(design, squares, rcond=None)[0]
    for _ in range(3):
        step = max(tilt / 3.0, 1e-3 * squares[-1] / lags[-1] / 3.0)
        noise = max(offset, 0.0) / 6.0
        together = covariance(lags, frames, step, noise, burst, ways) / walkers
        weights = np.linalg.inv(together)
        inverse = np.linalg.inv(design.T @ weights @ design)
        offset, tilt = inverse @ design.T @ weights @ squares
    residual = squares - design @ (offset, tilt)
    chance = float(chi2.sf(residual @ weights @ residual, len(lags) - 2))
    unit = 6.0 * track.spacing
    return Line(
        float(tilt) / unit,
        float(np.sqrt(inverse[1, 1])) / unit,
        float(offset),
        lags,
        squares,
        np.sqrt(np.diagonal(together)),
        chance,
    )


def by_the_recipe(track: Track, lags: Sequence[int] | None = None) -> float:
    """D, Å²/fs, as the paper of the method has it (F. Birks et al., arXiv:2502.19081).

    Windows beside one another, lags of 2 frames to a tenth of the run; of each the mean square
    displacement and its error std/√N; a weighted line with an offset; D is a sixth of its slope.
    Of its error nothing is said: the means of the lags are not independent.

    Parameters
    ----------
    track : Track
    lags : sequence of int, optional
        In frames.

    Returns
    -------
    float
        NaN if fewer than two lags have moved.
    """
    found = []
    for lag in lags or range(2, len(track.times) // 10 + 1):
        moved = track.positions[lag::lag] - track.positions[:-lag:lag]
        squares = np.einsum("nmi,nmi->nm", moved, moved).ravel()
        if len(squares) > 1 and squares.std() > 0.0:
            found.append((lag, squares.mean(), squares.std() / np.sqrt(len(squares))))
    if len(found) < 2:
        return float("nan")
    lag, mean, error = np.array(found).T
    return float(np.polyfit(lag, mean, 1, w=1.0 / error)[0] / (6.0 * track.spacing))


def diffusion(
    tracks: Sequence[Track],
    *,
    first: float | None = None,
    last: float | None = None,
    jump: float | None = None,
) -> Report:
    """The diffusion coefficient of one run, or the mean of several.

    Parameters
    ----------
    tracks : sequence of Track
        Of runs that know nothing of one another, at the same temperature.
    first, last : float, optional
        Lags between which the line is fitted, fs.
    jump : float, optional
        Å; length of a jump, for a bound where none was seen: more than −ln 0.05 ≈ 3 in that time
        would have shown one with 95 %.

    Returns
    -------
    Report
        ``D`` (m²/s), a sixth of the slope also where walkers move in fewer dimensions: of several
        runs their mean, with the standard error that follows from their differences;
        ``D propagated``: the same mean with the error that the single ones have.

    Raises
    ------
    MixpiError
        If there is no run, one is too short, or two are one, of different walkers, at
        different temperatures or under different loads.
    """
    if not tracks:
        raise MixpiError("no run is given")
    if len(told := {track.of for track in tracks if track.of}) > 1:
        raise MixpiError(f"runs of different walkers have no common D: {', '.join(sorted(told))}")
    require_same({track.name: track.conditions for track in tracks})
    _require_independent(tracks)
    lines = [fit(track, first, last) for track in tracks]
    notes = [note for track in tracks for note in track.notes]
    for track, line in zip(tracks, lines, strict=True):
        if line.unlike:
            notes.append(
                f"{track.name}: its walkers differ by more than chance: D is the mean of such as "
                "move more and less, trapped ones perhaps, and its error that of their number"
            )
        if line.chance <= STRAIGHT:
            notes.append(
                f"{track.name}: from no lag on the mean square displacement is a line within its "
                "error: the run is too short, or this is no diffusion"
            )
    notes += different_lags(
        (line.lags[0] * track.spacing / 1e3, track.name)
        for track, line in zip(tracks, lines, strict=True)
        if line.squares.any()
    )
    values = np.array([line.coefficient for line in lines])
    errors = np.array([line.error if line.chance > STRAIGHT else np.inf for line in lines])
    if len(lines) == 1:
        results = [_one("D", lines[0])]
    else:
        # runs that have all not moved agree without knowing anything
        spread = float(values.std(ddof=1) / np.sqrt(len(values))) if values.any() else np.inf
        width = float(t.ppf(0.975, len(values) - 1)) * spread
        middle = float(values.mean())
        results = [
            replace(
                _result("D", middle, spread, (middle - width, middle + width)),
                independent=float(len(lines)),
            ),
            _result("D propagated", middle, float(np.sqrt(np.sum(errors**2)) / len(errors)), None),
            *(_one(f"D of run {number}", line) for number, line in enumerate(lines, 1)),
        ]
    recipe = np.array([by_the_recipe(track) for track in tracks])
    spread = float(recipe.std(ddof=1) / np.sqrt(len(recipe))) if len(recipe) > 1 else np.inf
    results.append(_result("D by the paper's recipe", float(recipe.mean()), spread, None))
    _add_jumps(results, notes, tracks, jump)
    if lines[0].coefficient < SEEN * lines[0].error and len(lines) == 1:
        notes.append("D cannot be told from zero: its interval ends at a one-sided bound (95 %)")
    return Report(
        "diffusion",
        tuple(track.name for track in tracks),
        tuple(results),
        tuple(notes),
        {"runs": [_curve(track, line) for track, line in zip(tracks, lines, strict=True)]},
        next(iter(told), ""),
        common([track.conditions for track in tracks]),
    )


def _require_independent(tracks: Sequence[Track]) -> None:
    for number, track in enumerate(tracks):
        for other in tracks[:number]:
            even = abs(track.spacing - other.spacing) < 1e-6 * track.spacing
            if even and move_together(track.positions, other.positions):
                raise MixpiError(
                    f"{other.name} and {track.name} move together: they are one run under two "
                    "names, or beads of one, and not independent. Give one of them"
                )


def _one(name: str, line: Line) -> Result:
    if line.chance <= STRAIGHT:
        return _result(name, line.coefficient, np.inf, None)
    return _result(name, line.coefficient, line.error, line.interval)


def _result(name: str, value: float, error: float, interval: tuple[float, float] | None) -> Result:
    ends = None if interval is None else (interval[0] * M2_PER_S, interval[1] * M2_PER_S)
    return Result(name, value * M2_PER_S, error * M2_PER_S, "m²/s", interval=ends)


def _add_jumps(
    results: list[Result], notes: list[str], tracks: Sequence[Track], jump: float | None
) -> None:
    """How often the site has changed, and the bound of D where it never did."""
    seen = [mean(track.jumps) for track in tracks if track.jumps is not None]
    if jump is not None and not 0.0 < jump < np.inf:
        raise MixpiError(f"the length of a jump must be positive, not {jump:g} Å")
    if len(seen) < len(tracks):
        if jump is not None:
            notes.append("whether anything has jumped is not known here: 'jump' is of no use")
        return
    rates = np.array([1e3 / track.spacing for track in tracks])  # frames a ps
    values = np.array([one.value for one in seen]) * rates
    if values.any():
        errors = np.array([one.error for one in seen]) * rates
        error = float(np.sqrt(np.sum(errors**2)) / len(seen))
        results.append(Result("changes of site", float(values.mean()), error, "1/ps"))
        return
    time = sum(float(np.ptp(track.times)) for track in tracks)
    notes.append(f"nothing has jumped in {time / 1e3:.4g} ps: no D, only a bound")
    if jump is not None:
        most = -np.log(0.05) / time * jump**2 / 6.0 * M2_PER_S
        results.append(Result("D at most (95 %)", float(most), np.inf, "m²/s"))


def _curve(track: Track, line: Line) -> dict:
    return {
        "file": track.name,
        "lag_ps": line.lags * track.spacing / 1e3,
        "square_A2": line.squares,
        "error_A2": line.errors,
        "line_A2": line.offset + 6.0 * line.coefficient * line.lags * track.spacing,
        "chance": line.chance,
    }
