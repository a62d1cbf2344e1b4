"""A run that is to end at a time ends at the step that reaches it."""

from __future__ import annotations

import numpy as np
import pytest
from mixpi.ipi.dynamics_config import EndConfig
from mixpi.ipi.ending import End


class Clock:
    """A simulation that adds up its time as i-PI does."""

    def __init__(self) -> None:
        self.time, self.why = 0.0, ""

    def end(self, why: str) -> None:
        self.why = why


@pytest.mark.parametrize(("timestep", "steps"), [(2.0, 50), (0.25, 400), (0.1, 1000), (3.0, 34)])
def test_no_step_too_many_by_rounding(timestep, steps):
    clock = Clock()
    end = End(EndConfig(time=100.0), clock, ["Si"], np.eye(3))
    done = 0
    while not clock.why:
        clock.time += timestep
        done += 1
        end.see()
    assert done == steps
