"""Several runs share drivers: each gets its own forces, and none waits for another that is gone."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
import uuid

import numpy as np
import pytest
from ase.units import Bohr, Hartree
from mixpi.drivers.client import connect, serve
from mixpi.drivers.config import DriverConfig
from mixpi.drivers.toy import ToyEngine
from mixpi.errors import MixpiError
from mixpi.sockets import connection
from mixpi.sockets.addresses import unix_path
from mixpi.sockets.pool import DriverPool, init_text, wait
from mixpi.sockets.relay import Relay
from mixpi.sockets.server import MAX_ATTEMPTS


CELL = np.eye(3) * 30.0


def open_pool(*, count: int = 1, patient: bool = False) -> DriverPool:
    address = f"mixpi-test-{uuid.uuid4().hex[:10]}"
    keys = {"external": True, "count": count, "socket": {"address": address}}
    driver = DriverConfig.model_validate(keys)
    if patient:
        socket = driver.socket.model_copy(update={"reply_deadline": math.inf})
        driver = driver.model_copy(update={"socket": socket})
    pool = DriverPool("expensive", driver)
    pool.open()
    return pool


class Shared:
    """Two runs, a relay in a thread, and drivers in threads."""

    def __init__(self, stack: contextlib.ExitStack, lines: int = 1) -> None:
        self._stack, self._ended = stack, False
        self.runs = [open_pool(count=lines, patient=True) for _ in range(2)]
        self.pool = open_pool(count=lines)
        places = {i: unix_path(run.config.address) for i, run in enumerate(self.runs)}
        self.relay = Relay(self.pool, places, lines)
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()
        stack.callback(self._stop)

    def _relay(self) -> None:
        while not self._ended:
            self.relay.turn(0.02)
        self.relay.close()

    def _stop(self) -> None:
        self._ended = True
        self._thread.join(10.0)
        assert not self._thread.is_alive()
        for run in self.runs:
            run.close()

    def drive(self, engine) -> None:
        """A driver in a thread, started again when it dies, as the launcher does."""

        def run() -> None:
            while not self._ended:
                with contextlib.suppress(RuntimeError, MixpiError):
                    serve(engine, connect(address=self.pool.config.address, deadline=1.0))

        threading.Thread(target=run, daemon=True).start()

    def submit(self, run: int, positions: np.ndarray, **told):
        numbers = np.full(len(positions), 14)
        return self.runs[run].submit(positions, CELL, 0, init_text(numbers, **told))

    def wait(self, *requests, run: int) -> list[np.ndarray]:
        end = time.monotonic() + 20.0

        def in_time() -> None:
            assert time.monotonic() < end

        wait({self.runs[run]: list(requests)}, meanwhile=in_time)
        return [self.runs[run].result(one)[1] for one in requests]


@pytest.fixture
def make_shared():
    with contextlib.ExitStack() as stack:
        yield lambda lines=1: Shared(stack, lines)


def toy_forces(positions: np.ndarray) -> np.ndarray:
    """What the toy engine gives, in atomic units, on the way that positions take."""
    return ToyEngine().evaluate(None, positions * Bohr, None)[1] / (Hartree / Bohr)


@pytest.mark.parametrize("lines", [1, 2])
def test_each_run_gets_its_own_forces(make_shared, lines):
    shared, rng = make_shared(lines), np.random.default_rng(4)
    for _ in range(lines):
        shared.drive(ToyEngine())
    for _ in range(20):
        asked = []
        for run in (0, 1):
            geometries = [rng.uniform(0.0, 9.0, (rng.integers(1, 40), 3)) for _ in range(3)]
            asked += [(run, x, shared.submit(run, x)) for x in geometries]
        for run in (0, 1):
            own = [(x, request) for one, x, request in asked if one == run]
            found = shared.wait(*(request for _, request in own), run=run)
            for (x, _), forces in zip(own, found, strict=True):
                np.testing.assert_allclose(forces, toy_forces(x), rtol=0, atol=1e-13)
    assert sum(load.evaluations for load in shared.pool.loads.values()) == 120


class Slow(ToyEngine):
    """Remembers the sizes of what it has computed."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.sizes = seconds, []

    def evaluate(self, numbers, positions, cell):
        self.sizes.append(len(positions))
        time.sleep(self.seconds)
        return super().evaluate(numbers, positions, cell)


def test_who_asks_often_does_not_come_first(make_shared):
    shared, engine = make_shared(), Slow(0.05)
    shared.drive(engine)
    many = [shared.submit(0, np.ones((2, 3))) for _ in range(6)]
    poll = threading.Thread(target=lambda: shared.wait(*many, run=0))
    poll.start()
    while len(engine.sizes) < 2:
        time.sleep(0.005)
    shared.wait(shared.submit(1, np.ones((3, 3))), run=1)
    poll.join(20.0)
    # one that is being computed, and one that had come before
    assert 3 in engine.sizes[2:5]


def test_a_run_that_waits_for_its_turn_is_not_given_up(make_shared, monkeypatch):
    """Nor is the relay, which answers at once though the driver computes for longer."""
    monkeypatch.setattr(connection, "ANSWER", 0.3)
    shared = make_shared()
    shared.drive(Slow(1.0))
    requests = [shared.submit(run, np.ones((2, 3))) for run in (0, 1)]
    others = threading.Thread(target=lambda: shared.wait(requests[0], run=0))
    others.start()
    shared.wait(requests[1], run=1)
    others.join(20.0)
    assert [run.lost for run in shared.runs] == [0, 0]


def test_a_run_that_ends_takes_nobody_with_it(make_shared):
    shared, engine = make_shared(), Slow(0.2)
    shared.drive(engine)
    shared.wait(shared.submit(0, np.ones((2, 3))), run=0)
    for _ in range(2):
        shared.submit(0, np.ones((2, 3)))
    with contextlib.suppress(AssertionError):
        for _ in range(5):
            shared.runs[0].poll()
    shared.runs[0].close()
    positions = np.random.default_rng(1).uniform(0.0, 9.0, (5, 3))
    [forces] = shared.wait(shared.submit(1, positions), run=1)
    np.testing.assert_allclose(forces, toy_forces(positions), rtol=0, atol=1e-13)


class Fragile(ToyEngine):
    """Dies of structures of 7 atoms; of 8 it computes one atom too many."""

    def evaluate(self, numbers, positions, cell):
        if len(positions) == 7:
            raise RuntimeError
        if len(positions) == 8:
            positions = np.zeros((9, 3))
        return super().evaluate(numbers, positions, cell)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (7, f"{MAX_ATTEMPTS} expensive drivers in a row were lost while computing the same"),
        (8, "returned forces for 9 atoms, 8 were asked for"),
    ],
)
def test_a_structure_that_cannot_be_computed_ends_its_run_alone(make_shared, atoms, message):
    shared = make_shared()
    shared.drive(Fragile())
    bad = shared.submit(0, np.ones((atoms, 3)))
    positions = np.random.default_rng(2).uniform(0.0, 9.0, (5, 3))
    found = []
    other = threading.Thread(
        target=lambda: found.extend(
            shared.wait(shared.submit(1, positions), run=1) for _ in range(3)
        )
    )
    other.start()
    with pytest.raises(MixpiError, match=message):
        shared.wait(bad, run=0)
    other.join(20.0)
    for [forces] in found:
        np.testing.assert_allclose(forces, toy_forces(positions), rtol=0, atol=1e-13)
    assert len(found) == 3


def test_drivers_that_remember_are_told_which_run_it_is(make_shared):
    """Those that are told places of atoms, and nobody else: the text stays what it was."""

    class Remembers(ToyEngine):
        takes_depths = True

        def __init__(self) -> None:
            super().__init__()
            self.heard = []

        def turn_to(self, system):
            self.heard.append(system)

        def evaluate(self, numbers, positions, cell, depths=None, buffer=0.0, places=None):
            self.heard.append(places.tolist())
            return super().evaluate(numbers, positions, cell)

    shared, engine = make_shared(), Remembers()
    shared.drive(engine)
    for run, places in ((1, [5, 3]), (0, [2, 4]), (1, [9, 8])):
        told = {"depths": np.zeros(2), "buffer": 1.0, "places": np.array(places)}
        shared.wait(shared.submit(run, np.ones((2, 3)), **told), run=run)
    assert engine.heard == [1, [5, 3], 0, [2, 4], 1, [9, 8]]


def test_what_is_said_beside_the_forces_arrives(make_shared):
    shared = make_shared()
    engine = ToyEngine()
    engine.force_range = 4.5
    shared.drive(engine)
    request = shared.submit(0, np.ones((2, 3)))
    shared.wait(request, run=0)
    assert shared.runs[0].told(request)["force_range"] == 4.5
    assert json.loads(request.reply.extras)["driver_seconds"] >= 0.0
