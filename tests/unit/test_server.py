"""Whom the server of drivers lets in, and what it believes."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.socketio import IPIProtocol
from ase.units import Bohr, Hartree
from mixpi.drivers.client import connect, serve
from mixpi.drivers.config import DriverConfig
from mixpi.drivers.proof import read_token
from mixpi.drivers.toy import ToyEngine
from mixpi.errors import MixpiError
from mixpi.run.guardian import MARK, ancestors, belongs_to, own_family
from mixpi.sockets.addresses import claim, unix_path, unix_socket_is_live
from mixpi.sockets.config import SocketConfig
from mixpi.sockets.peers import Peer, peer_of
from mixpi.sockets.pool import DriverPool, init_text, wait


POSITIONS = np.random.default_rng(1).uniform(1.0, 9.0, (4, 3))
#: As if this process had been a launcher.
FAMILY = f"{os.getpid()}-secret:"
#: A driver in a process of its own, given its arguments.
OTHER = Peer("process 1 (x)", uid=4242, pid=1)
PROCESS = [sys.executable, "-m", "mixpi.cli", "driver", "toy"]


@pytest.fixture
def make_pool():
    """Factory of listening pools; closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(*, count: int = 1, launched_by: str | None = None, **socket_keys) -> DriverPool:
            keys = {"address": f"mixpi-test-{uuid.uuid4().hex[:10]}", **socket_keys}
            kind = {"command": "x"} if launched_by else {"external": True}
            driver = DriverConfig.model_validate({**kind, "count": count, "socket": keys})
            pool = DriverPool("cheap", driver, launched_by=launched_by)
            pool.open()
            stack.callback(pool.close)
            return pool

        yield make


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text("a secret of some length")
    path.chmod(0o600)
    return path


def drive(pool: DriverPool, token: bytes | None = None) -> threading.Thread:
    """A good driver in a thread."""

    def run() -> None:
        config = pool.config
        where = {"address": config.address, "mode": config.mode, "port": config.port}
        with contextlib.suppress(MixpiError):
            serve(ToyEngine(), connect(**where), token=token)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def evaluate(pool: DriverPool, seconds: float = 20.0) -> np.ndarray:
    request = pool.submit(POSITIONS, np.eye(3) * 20.0, 0, init_text(np.full(4, 14)))
    end = time.monotonic() + seconds

    def in_time() -> None:
        assert time.monotonic() < end

    wait({pool: [request]}, meanwhile=in_time)
    return pool.result(request)[1]


def poll_until(pool: DriverPool, condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        pool.poll()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_nobody_else_may_write_to_the_socket(make_pool):
    before = os.umask(0)
    try:
        path = unix_path(make_pool().config.address)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_user_is_refused(make_pool, monkeypatch, capfd):
    pool = make_pool(connect_deadline=0.3)
    monkeypatch.setattr(
        "mixpi.sockets.server.peer_of", lambda _: Peer("process 1 (x)", uid=4242, pid=1)
    )
    drive(pool)
    with pytest.raises(MixpiError, match="1 connections were refused"):
        evaluate(pool)
    assert "was refused: it belongs to user 4242" in capfd.readouterr().out


def test_a_process_of_another_run_is_refused(make_pool, capfd):
    # a launcher that is no ancestor of this process, in which the driver runs
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with other:
        pool = make_pool(launched_by=f"{other.pid}-secret:", connect_deadline=0.3)
        drive(pool)
        with pytest.raises(MixpiError, match="no cheap driver has connected"):
            evaluate(pool)
        other.stdin.close()
    assert "it is none of the drivers of this run" in capfd.readouterr().out


@pytest.mark.parametrize("how", ["child", "orphan with the mark"])
def test_what_the_launcher_has_started_is_let_in(make_pool, how):
    pool = make_pool(launched_by=FAMILY)
    argv = [*PROCESS, "--address", pool.config.address]
    if how == "child":
        child = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    else:
        # as under srun: the launcher is none of its ancestors any more
        script = 'nohup "$@" > /dev/null 2>&1 &'
        environment = {**os.environ, MARK: f"{FAMILY}cheap-0"}
        child = subprocess.Popen(["sh", "-c", script, "sh", *argv], env=environment)
        child.wait()
    evaluate(pool)
    pool.close()
    assert child.wait(20) == 0


def test_what_a_mark_is_worth():
    assert os.getppid() in ancestors(os.getpid())
    assert belongs_to(os.getpid(), FAMILY)
    assert not belongs_to(os.getppid(), FAMILY)


def test_a_mark_from_further_away_is_none(monkeypatch):
    monkeypatch.setenv(MARK, f"{os.getppid()}-x:i-pi")
    assert own_family() == f"{os.getppid()}-x:"
    for text in ("", "rubbish", "-x:", "999999999-x:", "²-x:"):
        monkeypatch.setenv(MARK, text)
        assert own_family() is None


def test_no_more_drivers_than_count(make_pool, capfd):
    pool = make_pool(count=2)
    drivers = [drive(pool) for _ in range(2)]
    said = []

    def both_connected() -> bool:
        said.append(capfd.readouterr().out)
        return "".join(said).count("driver connected") == 2

    poll_until(pool, both_connected)
    evaluate(pool)
    third = drive(pool)
    poll_until(pool, lambda: not third.is_alive())
    assert all(driver.is_alive() for driver in drivers)
    assert "'count' allows no more" in capfd.readouterr().out


def test_a_flood_of_connections_is_survived(make_pool, capfd):
    pool = make_pool()
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(str(unix_path(pool.config.address)))
        driver = drive(pool)
        poll_until(pool, lambda: pool._server.has_drivers or not driver.is_alive())
    drive(pool)
    evaluate(pool)
    assert capfd.readouterr().out.count("was refused") <= 5


def test_who_connects_over_tcp_is_known():
    if not Path("/proc/net/tcp").exists():
        pytest.skip("needs Linux")
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with client, accepted:
            peer = peer_of(accepted)
    assert (peer.uid, peer.pid, peer.local) == (os.geteuid(), os.getpid(), True)


@pytest.mark.parametrize("known", [True, False])
def test_drivers_of_other_hosts_prove_the_token(make_pool, token, monkeypatch, known, capfd):
    port = free_port()
    pool = make_pool(
        mode="inet", address="127.0.0.1", port=port, token=str(token), reply_deadline=5.0
    )
    far = Peer("10.0.0.7:4444", local=False)
    monkeypatch.setattr("mixpi.sockets.server.peer_of", lambda _: far)
    right = read_token(token)
    if not known:
        first = drive(pool, b"another secret")
        request = pool.submit(POSITIONS, np.eye(3) * 20.0, 0, init_text(np.full(4, 14)))
        poll_until(pool, lambda: not first.is_alive())
        assert request.reply is None
        assert "does not prove that it knows the token" in capfd.readouterr().out
        drive(pool, right)
        wait({pool: [request]})
        forces = pool.result(request)[1]
    else:
        drive(pool, right)
        forces = evaluate(pool)
    assert np.isfinite(forces).all() and np.abs(forces).max() > 0


def test_a_driver_that_asks_gets_all_of_it_at_once(make_pool):
    """It reads the positions before it has said that it is ready for them."""
    pool = make_pool()
    with connect(address=pool.config.address) as sock:
        sock.settimeout(10.0)
        driver = IPIProtocol(sock)
        request = pool.submit(POSITIONS, np.eye(3) * 20.0, 3, init_text(np.full(4, 14)))

        def hear() -> str:
            poll_until(pool, lambda: bool(select.select([sock], [], [], 0)[0]))
            return driver.recvmsg()

        assert hear() == "STATUS"
        driver.sendmsg("NEEDINIT")
        assert hear() == "INIT"
        bead, text = driver.recvinit()
        assert bead == 3 and b'"numbers":[14,14,14,14]' in text.tobytes()
        assert hear() == "STATUS" and hear() == "POSDATA"
        _, _, positions = driver.recvposdata()
        np.testing.assert_allclose(positions, POSITIONS * Bohr)
        assert hear() == "GETFORCE" and request.reply is None
        driver.sendmsg("READY")
        driver.sendforce(1.5 * Hartree, np.full((4, 3), 2.0 * Hartree / Bohr), np.zeros((3, 3)))
        wait({pool: [request]})
    energy, forces = pool.result(request)
    assert energy == pytest.approx(1.5)
    np.testing.assert_allclose(forces, 2.0)


def test_a_driver_that_is_not_ready_when_told_is_given_up(make_pool, capfd):
    pool = make_pool()
    with connect(address=pool.config.address) as sock:
        driver = IPIProtocol(sock)
        pool.submit(POSITIONS, np.eye(3) * 20.0, 0, init_text(np.full(4, 14)))
        driver.sendmsg("NEEDINIT")
        poll_until(pool, lambda: not pool._server.queue)
        driver.sendmsg("NEEDINIT")
        poll_until(pool, lambda: pool.lost == 1)
    assert "answers NEEDINIT when it was told what the atoms are" in capfd.readouterr().out


def test_a_driver_without_token_says_so(token, make_pool, monkeypatch):
    port = free_port()
    pool = make_pool(mode="inet", address="127.0.0.1", port=port, token=str(token))
    monkeypatch.setattr("mixpi.sockets.server.peer_of", lambda _: Peer("far", local=False))
    errors = []

    def run() -> None:
        try:
            serve(ToyEngine(), connect(address="127.0.0.1", mode="inet", port=port))
        except MixpiError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    pool.submit(POSITIONS, np.eye(3) * 20.0, 0)
    poll_until(pool, lambda: not thread.is_alive())
    assert "--token FILE" in errors[0]


def test_listening_to_the_network_is_warned_of(make_pool, capfd):
    make_pool(mode="inet", address="0.0.0.0", port=free_port())
    assert "whoever reaches 0.0.0.0" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("mode", "text", "message"),
    [(0o644, "a secret of some length", "chmod 600"), (0o600, "short", "16 at least")],
)
def test_a_token_that_is_none(tmp_path, mode, text, message):
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(MixpiError, match=message):
        read_token(path)
    with pytest.raises(MixpiError, match="make one with"):
        read_token(tmp_path / "missing")


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.write_text("mine"), "a file"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.symlink_to("/nowhere"), "a symbolic link"),
        (os.mkfifo, "a named pipe"),
    ],
    ids=["file", "folder", "link", "pipe"],
)
def test_what_is_no_socket_is_left_alone(make, what):
    config = SocketConfig(address=f"mixpi-test-{uuid.uuid4().hex[:10]}")
    path = unix_path(config.address)
    make(path)
    try:
        with pytest.raises(MixpiError, match=what):
            claim(config)
        assert os.path.lexists(path)
    finally:
        path.rmdir() if path.is_dir() else path.unlink()


def test_sockets_of_others_with_any_name(tmp_path):
    path = tmp_path / "live"
    strange = os.fsencode(tmp_path) + b"/\xff\xfe"
    alike = b"\0 " + os.fsencode(tmp_path / "dead")
    with contextlib.ExitStack() as stack:
        for name in (strange, alike, str(path)):
            live = stack.enter_context(socket.socket(socket.AF_UNIX))
            live.bind(name)
            live.listen()
        assert unix_socket_is_live(path)
        assert not unix_socket_is_live(tmp_path / "dead")
