"""Error bars against what is known: autoregressive noise, lines, random walks."""

from __future__ import annotations

import numpy as np
import pytest
from mixpi.analysis.statistics import inefficiency, mean, settled_from, slope
from scipy.signal import lfilter


RNG = np.random.default_rng(5)


def noise(n: int, memory: float) -> np.ndarray:
    """AR(1) noise of variance 1 whose statistical inefficiency is (1 + m) / (1 − m)."""
    kicks = RNG.normal(0.0, np.sqrt(1.0 - memory**2), n + 500)
    return lfilter([1.0], [1.0, -memory], kicks)[500:]


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9, 0.97])
def test_inefficiency_of_autoregressive_noise(memory):
    exact = (1 + memory) / (1 - memory)
    assert inefficiency(noise(200_000, memory)) == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_error_bars_hold_the_truth(memory):
    n, trials, tilt = 2000, 150, 3e-4
    x = np.arange(n)
    slopes = [slope(x, 7.0 + tilt * x + noise(n, memory)) for _ in range(trials)]
    means = [mean(4.0 + noise(n, memory)) for _ in range(trials)]
    for estimates, truth in ((slopes, tilt), (means, 4.0)):
        assert all(e.tells for e in estimates)
        off = np.array([(e.value - truth) / e.error for e in estimates])
        # two standard errors hold 95 %; without the correlation they would hold 35 % at 0.9
        assert np.mean(np.abs(off) < 2.0) > 0.87
        assert 0.8 < np.std(off) < 1.4


def test_a_drift_is_told_from_zero_only_if_it_is_there():
    x = np.arange(3000) * 1e-3
    assert not slope(x, 2.0 * x + 0.3 * noise(3000, 0.8)).is_zero
    zeros = [slope(x, 0.3 * noise(3000, 0.8)).is_zero for _ in range(60)]
    assert np.mean(zeros) > 0.85


@pytest.mark.parametrize("n", [20, 300, 4000])
def test_a_random_walk_tells_no_slope(n):
    walks = [slope(np.arange(n), np.cumsum(RNG.normal(size=n))) for _ in range(100)]
    assert np.mean([walk.tells for walk in walks]) < 0.1


def test_few_or_slow_data_tell_nothing():
    assert not slope(np.arange(20), noise(20, 0.0)).tells
    assert not mean(noise(20, 0.0)).tells
    slow = [slope(np.arange(200), noise(200, 0.98)).tells for _ in range(100)]
    assert np.mean(slow) < 0.2
    assert slope([0.0, 1.0], [5.0, 6.0]).error == np.inf
    assert slope([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).error == np.inf
    assert mean([5.0]).value == 5.0 and not mean([5.0]).tells


def test_lines_and_constants():
    x = np.arange(50.0)
    line = slope(x, 2.0 * x - 1.0)
    assert line.value == pytest.approx(2.0) and line.error < 1e-12 and not line.is_zero
    flat = slope(x, np.full(50, 3.0))
    assert flat.value == 0.0 and flat.is_zero
    assert inefficiency(np.ones(10)) == inefficiency([]) == 1.0


def test_the_start_is_left_out():
    n, relaxation = 2000, 100
    starts = []
    for _ in range(20):
        start = settled_from(5.0 * np.exp(-np.arange(n) / relaxation) + 0.3 * noise(n, 0.8))
        starts.append(start)
    assert min(starts) > relaxation and max(starts) <= n // 2
    assert 200 < np.median(starts) < 600
    assert np.median([settled_from(noise(n, 0.8)) for _ in range(20)]) < n / 10
    assert settled_from([1.0, 2.0]) == 0 and settled_from(np.ones(30)) == 0


def test_a_few_periods_of_an_oscillation_are_not_independent_samples():
    """Their autocorrelations cancel; 41 steps of it are worth a handful."""
    time = np.arange(41.0)
    for period in (10.0, 14.0, 25.0):
        values = np.cos(2 * np.pi * time / period) + 0.01 * time
        assert not slope(time, values).tells
        assert slope(time, values).independent < 20
