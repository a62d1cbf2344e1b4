"""What is taken from i-PI's simulation stays what it was."""

from types import SimpleNamespace

import numpy as np
from ipi.utils.depend import depend_array
from mixpi.ipi.simulation import RunningSimulation


def test_beads_do_not_move_on_with_i_pi():
    """Results that wait to be asked for are known by them."""
    q = depend_array(name="q", value=np.arange(12.0).reshape(2, 6))
    simulation = object.__new__(RunningSimulation)
    force = SimpleNamespace(ff=SimpleNamespace(driver="ours"))
    forces = SimpleNamespace(mforces=[force], mbeads=[SimpleNamespace(q=q)])
    simulation._system = SimpleNamespace(forces=forces)
    asked = np.array(q[1]).reshape(-1, 3).copy()
    ring, places = simulation.ring_with([asked], np.eye(3) * 50, "ours")
    q[:] = 7.0
    assert places == [1]
    np.testing.assert_array_equal(np.ravel(ring), np.arange(12.0))
