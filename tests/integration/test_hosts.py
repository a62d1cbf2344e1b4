"""Drivers on another host, whose link is cut: network namespaces with a cable between them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from conftest import (
    TERSOFF,
    Case,
    clean_environment,
    command_driver,
    evaluations,
    faulty_driver,
    silicon,
    wait_for,
)
from mixpi.output.records import read_steps
from mixpi.sockets.silence import SILENCE


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2"
    ),
]

PORT = 31415
#: s that a machine with other work may take beside the deadlines.
MARGIN = 30.0
STEPS = 120


class Hosts:
    """Two hosts with a cable between them: i-PI is on ``here``, drivers on ``there``."""

    address = "10.213.7.1"

    def __init__(self) -> None:
        tag = uuid.uuid4().hex[:6]
        self.here, self.there = f"mixpi-a-{tag}", f"mixpi-b-{tag}"
        self._plug, self._other = f"mixpa{tag}", f"mixpb{tag}"
        self.started: list[subprocess.Popen] = []

    def build(self) -> None:
        for host in (self.here, self.there):
            ip("netns", "add", host)
            ip("-n", host, "link", "set", "lo", "up")
        self.connect()

    def connect(self) -> None:
        ip("link", "add", self._plug, "netns", self.here, "type", "veth",
           "peer", "name", self._other, "netns", self.there)  # fmt: skip
        for host, plug, last in ((self.here, self._plug, 1), (self.there, self._other, 2)):
            ip("-n", host, "addr", "add", f"10.213.7.{last}/24", "dev", plug)
            ip("-n", host, "link", "set", plug, "up")

    def cut(self, end: str) -> None:
        self._link(end, "down")

    def mend(self, end: str) -> None:
        self._link(end, "up")

    def _link(self, end: str, state: str) -> None:
        host, plug = {"here": (self.here, self._plug), "there": (self.there, self._other)}[end]
        ip("-n", host, "link", "set", plug, state)

    def lose_there(self) -> None:
        """The other host loses its power, and comes back knowing of nothing."""
        self.cut("here")
        for pid in ip("netns", "pids", self.there).split():
            os.kill(int(pid), signal.SIGKILL)
        ip("netns", "del", self.there)
        wait_for(lambda: self._plug not in ip("-n", self.here, "link"))
        ip("netns", "add", self.there)
        self.connect()

    def remove(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
        for host in (self.here, self.there):
            with contextlib.suppress(subprocess.CalledProcessError):
                for pid in ip("netns", "pids", host).split():
                    os.kill(int(pid), signal.SIGKILL)
                ip("netns", "del", host)


def ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    two = Hosts()
    try:
        two.build()
    except subprocess.CalledProcessError as error:
        two.remove()
        pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
    yield two
    two.remove()


#: With a toy the cheap side is slow, so that the run has a middle; a model takes its time.
TOY = {"cheap": {"command": faulty_driver("slow", 0.1)}}
MACE = {
    "atoms": silicon(3),
    "regions": {"core": 2.6, "blend": 2.6, "buffer": 4.0},
    "cheap": {"lammps": {"potential": TERSOFF}},
}


@pytest.fixture
def case(make_case, hosts):
    """Factory of cases whose expensive driver is on another host."""

    def make(system: dict = TOY, **socket) -> Case:
        where = {"mode": "inet", "address": hosts.address, "port": PORT, "token": "token"}
        external = {"external": True, "socket": {**where, **socket}}
        made = make_case(steps=STEPS, stride=1, expensive=external, **system)
        token = made.folder / "token"
        token.write_text(uuid.uuid4().hex)
        token.chmod(0o600)
        return made

    return make


@contextlib.contextmanager
def running(hosts: Hosts, case: Case) -> Iterator[subprocess.Popen]:
    """``mixpi run`` on the one host."""
    case.write()
    argv = [sys.executable, "-m", "mixpi.cli", "run", "input.xml", "--no-reference", "--quiet"]
    with subprocess.Popen(
        ["ip", "netns", "exec", hosts.here, *argv],
        cwd=case.folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class FarDriver:
    """``mixpi driver`` on the other host."""

    def __init__(self, hosts: Hosts, case: Case, *words: str, log: str = "far.log") -> None:
        self.log = case.folder / log
        with self.log.open("w") as stream:
            self.process = subprocess.Popen(
                [
                    *("ip", "netns", "exec", hosts.there, sys.executable, "-m", "mixpi.cli"),
                    *("driver", *words, "--mode", "inet", "--address", hosts.address),
                    *("--port", str(PORT), "--token", str(case.folder / "token")),
                ],
                cwd="/",
                env=clean_environment(),
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        hosts.started.append(self.process)

    @property
    def said(self) -> str:
        return self.log.read_text()


def reference(make_case, expensive: dict, system: dict = TOY) -> np.ndarray:
    """Positions of the same run on one host, which nobody disturbs."""
    if system is TOY:
        system = {"cheap": {"command": command_driver("toy")}}  # the same, but quick
    case = make_case(folder="reference", steps=STEPS, stride=1, expensive=expensive, **system)
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    return case.positions()


def require_whole(case: Case, positions: np.ndarray, *, lost: int) -> None:
    """Each step once, and where an undisturbed run has its atoms."""
    steps = read_steps(case.folder / "mix.steps")
    np.testing.assert_array_equal(steps["step"], np.arange(STEPS + 1))
    assert steps["lost_drivers"][-1] == lost
    np.testing.assert_allclose(case.positions(), positions, rtol=0, atol=1e-7)
    assert case.nothing_left()


@pytest.mark.parametrize(("kind", "end"), [("toy", "there"), ("mace", "here")])
def test_a_cut_link_needs_nobody(hosts, case, make_case, mace_tiny, tiny_model, kind, end):
    """Longer than TCP is given: both ends give the connection up, and find each other again."""
    words, local, system = [kind], {"command": command_driver("toy")}, TOY
    if kind == "mace":
        words += ["--model", str(tiny_model), "--threads", "1"]
        local, system = mace_tiny, MACE
    positions = reference(make_case, local, system)
    cut = case(system)
    with running(hosts, cut) as run:
        driver = FarDriver(hosts, cut, *words, "--reconnect", "--deadline", "120")
        wait_for(lambda: evaluations(cut) >= 20, 60)
        hosts.cut(end)
        wait_for(lambda: "trying again" in driver.said, SILENCE + MARGIN)
        assert run.poll() is None and evaluations(cut) < STEPS
        hosts.mend(end)
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 0, output
        assert driver.process.wait(20) == 0  # it was told that all is over
    assert driver.said.count("connected\n") >= 2
    require_whole(cut, positions, lost=1)


def test_a_short_cut_is_not_even_noticed(hosts, case, make_case):
    positions = reference(make_case, {"command": command_driver("toy")})
    cut = case()
    with running(hosts, cut) as run:
        driver = FarDriver(hosts, cut, "toy")
        wait_for(lambda: evaluations(cut) >= 20, 60)
        hosts.cut("there")
        time.sleep(5.0)  # the length of the cut is what is tried
        hosts.mend("there")
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 0, output
        assert driver.process.wait(20) == 0
    require_whole(cut, positions, lost=0)


def test_a_link_that_stays_cut_ends_both(hosts, case):
    cut = case(connect_deadline=10.0)
    with running(hosts, cut) as run:
        driver = FarDriver(hosts, cut, "toy", "--reconnect", "--deadline", "15")
        wait_for(lambda: evaluations(cut) >= 20, 60)
        hosts.cut("there")
        start = time.monotonic()
        output, _ = run.communicate(timeout=SILENCE + 10.0 + MARGIN)
        assert run.returncode == 1
        assert "no expensive driver has connected" in output and "continue with" in output
        assert driver.process.wait(SILENCE + 15.0 + MARGIN - (time.monotonic() - start)) == 1
    assert "no i-PI server" in driver.said and "Traceback" not in driver.said
    assert cut.nothing_left()


def test_a_host_that_comes_back_without_memory(hosts, case, make_case):
    """The new driver is there before the server knows that the old one is lost."""
    positions = reference(make_case, {"command": command_driver("toy")})
    cut = case()
    with running(hosts, cut) as run:
        old = FarDriver(hosts, cut, "toy")
        wait_for(lambda: evaluations(cut) >= 20, 60)
        hosts.lose_there()
        assert old.process.wait(20) == -signal.SIGKILL
        new = FarDriver(hosts, cut, "toy", "--reconnect", log="new.log")
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 0, output
        assert new.process.wait(20) == 0
    require_whole(cut, positions, lost=1)


def test_a_driver_that_does_not_try_again_ends(hosts, case):
    """It is replaced by hand within ``connect_deadline``."""
    cut = case()
    with running(hosts, cut) as run:
        driver = FarDriver(hosts, cut, "toy")
        wait_for(lambda: evaluations(cut) >= 20, 60)
        hosts.cut("here")
        assert driver.process.wait(SILENCE + MARGIN) == 0
        hosts.mend("here")
        new = FarDriver(hosts, cut, "toy", "--reconnect", log="new.log")
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 0, output
        assert new.process.wait(20) == 0
    assert "the server has ended" in driver.said and "Traceback" not in driver.said
    np.testing.assert_array_equal(
        read_steps(cut.folder / "mix.steps")["step"], np.arange(STEPS + 1)
    )


def test_a_driver_that_was_started_over_there_is_replaced(hosts, case, make_case):
    """``launch`` reaches the other host, as that of a batch system does."""
    positions = reference(make_case, {"command": command_driver("toy")})
    cut = case()
    words = f"ip netns exec {hosts.there} {command_driver('toy')} --mode {{mode}} --port {{port}}"
    del cut.config["expensive"]["external"]
    cut.config["expensive"]["command"] = f"{words} --token {cut.folder / 'token'}"
    with running(hosts, cut) as run:
        wait_for(lambda: evaluations(cut) >= 20, 60)
        hosts.cut("there")
        log = cut.folder / "logs" / "expensive-0.log"
        wait_for(lambda: log.read_text().count("ready") == 2, SILENCE + MARGIN)
        hosts.mend("there")
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 0, output
    assert "driver expensive-0 ended with exit code 0; starting it again" in output
    require_whole(cut, positions, lost=1)
