"""Long arrays of numbers in checkpoints, to the letter as i-PI writes them."""

from __future__ import annotations

import numpy as np
import pytest
from ipi.utils.inputvalue import InputArray
from mixpi.output import checkpoint_text


@pytest.mark.parametrize("size", [0, 1, 5, 9, 10, 11, 14, 15, 103])
@pytest.mark.parametrize("kind", [float, int, str])
def test_the_same_text(size, kind, monkeypatch):
    values = np.random.default_rng(size).normal(0.0, 1e4, size)
    if kind is float:
        values[3::7] = [0.0, -0.0, np.nan, np.inf, -1e-300, 1e300][size % 6]
    array = InputArray(dtype=kind)
    array.store(values.astype(kind))
    wanted = [array.write("q", "  "), array.write()]
    monkeypatch.setattr(InputArray, "write", InputArray.write)  # is put back afterwards
    checkpoint_text.write_numbers_at_once()
    assert [array.write("q", "  "), array.write()] == wanted
    taken = []
    monkeypatch.setattr(checkpoint_text, "_ipi_write", lambda *given: taken.append(given))
    array.write("q")
    assert bool(taken) == (kind is not float or size < 10)
