"""What goes wrong in real runs: each ends with a message, nothing left behind, nothing lost.

Real i-PI, real sockets, real processes; analytic drivers, whose forces are known.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from conftest import command_driver, evaluations, faulty_driver, the_rest_slow, wait_for
from mixpi.output.records import read_steps


def run(case, *arguments, timeout=120.0):
    return case.mixpi("run", "input.xml", "--no-reference", "--quiet", *arguments, timeout=timeout)


def test_undisturbed_run(make_case):
    case = make_case(steps=20)
    done = run(case)
    assert done.returncode == 0, done.stderr
    steps = read_steps(case.folder / "mix.steps")
    np.testing.assert_array_equal(steps["evaluation"], np.arange(21))
    assert steps["lost_drivers"][-1] == 0
    assert (case.folder / "RESTART").exists()
    assert case.nothing_left()


@pytest.mark.full
@pytest.mark.parametrize("pool", the_rest_slow(["cheap", "expensive"], "cheap"))
def test_driver_killed_while_computing_changes_nothing(make_case, tmp_path, pool):
    reference = make_case(folder="reference", steps=20)
    reference.config["cheap"]["command"] = command_driver("toy")
    assert run(reference).returncode == 0

    case = make_case(folder="disturbed", steps=20)
    case.config["cheap"]["command"] = command_driver("toy")
    case.config[pool]["command"] = faulty_driver("die", 9, tmp_path / "died")
    done = run(case)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "died").exists()
    assert f"{pool}-0 was killed by SIGKILL; starting it again" in done.stderr
    assert read_steps(case.folder / "mix.steps")["lost_drivers"][-1] == 1
    np.testing.assert_array_equal(case.positions(), reference.positions())
    assert case.nothing_left()


@pytest.mark.full
def test_driver_that_always_dies_is_given_up(make_case):
    case = make_case(expensive={"command": faulty_driver("always-die"), "max_restarts": 2})
    done = run(case)
    assert done.returncode == 1
    assert "driver expensive-0 was killed by SIGKILL after 2 restarts" in done.stderr
    assert case.nothing_left()


@pytest.mark.full
@pytest.mark.parametrize("pool", the_rest_slow(["cheap", "expensive"], "expensive"))
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", "{pool} driver returned NaN or infinity (forces on 1 atoms, first 0)"),
        ("infinite", "{pool} driver returned NaN or infinity (energy)"),
        ("more", "{pool} driver returned forces for"),
        ("fewer", "{pool} driver returned forces for"),
    ],
)
def test_nonsense_from_a_driver_stops_the_run(make_case, pool, fault, message):
    case = make_case()
    case.config[pool]["command"] = faulty_driver(fault)
    done = run(case)
    assert done.returncode == 1
    assert message.format(pool=pool) in done.stderr
    assert (case.folder / "RESTART").exists(), "RESTART is written whenever i-PI had started"
    assert case.nothing_left()


@pytest.mark.full
def test_nan_in_mid_run_loses_nothing(make_case):
    """Unlike the first evaluation, later ones are not inside i-PI's output section."""
    reference = make_case(folder="reference", steps=12, stride=1)
    assert run(reference).returncode == 0
    case = make_case(folder="case2", steps=12, stride=1)
    good = case.config["expensive"]["command"]
    case.config["expensive"]["command"] = faulty_driver("nan", 6)
    done = run(case)
    assert done.returncode == 1 and "returned NaN" in done.stderr
    assert case.nothing_left()
    case.config["expensive"]["command"] = good
    done = case.mixpi("run", "RESTART", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(case.positions()[-1], reference.positions()[-1], atol=1e-7)


@pytest.mark.slow
def test_restart_that_i_pi_could_not_write(make_case):
    """It cannot write a committee with a direct force field in it: half a file is none."""
    case = make_case(steps=2)
    text = case.input.read_text()
    text = text.replace("<ffdirect", "<ffcommittee name='all'><weights>[1]</weights><ffdirect")
    text = text.replace("</ffdirect>", "</ffdirect></ffcommittee>")
    case.input.write_text(text.replace("forcefield='mix'", "forcefield='all'"))
    done = run(case)
    assert "Traceback" not in done.stderr
    assert not (case.folder / "RESTART").exists()
    assert case.nothing_left()


@pytest.mark.slow
def test_driver_that_never_connects(make_case):
    case = make_case()
    case.config["expensive"]["command"] = faulty_driver("never")
    case.config["expensive"]["socket"]["connect_deadline"] = 2.0
    done = run(case)
    assert done.returncode == 1
    assert "no expensive driver has connected" in done.stderr
    assert "connect_deadline" in done.stderr
    assert (case.folder / "RESTART").exists()
    assert case.nothing_left()


@pytest.mark.full
def test_driver_that_fails_at_once_shows_its_log(make_case):
    case = make_case()
    case.config["expensive"] = {
        "mace": {"model": str(case.folder / "input.xml")},
        "socket": case.config["expensive"]["socket"],
    }
    done = run(case)
    assert done.returncode == 1
    assert "driver expensive-0 ended with exit code 1" in done.stderr
    assert "cannot use" in done.stderr and "input.xml as a MACE model" in done.stderr
    assert case.nothing_left()


@pytest.mark.slow
def test_hanging_driver_is_ended_and_replaced(make_case):
    case = make_case(expensive={"command": faulty_driver("hang"), "max_restarts": 1})
    case.config["expensive"]["socket"]["reply_deadline"] = 1.0
    done = run(case)
    assert done.returncode == 1
    assert done.stderr.count("driver expensive-0 does not reply as it should") == 2
    assert "driver expensive-0 was killed by SIGKILL after 1 restarts" in done.stderr
    assert case.nothing_left()


@pytest.mark.slow
def test_work_of_a_hanging_driver_goes_to_another(make_case):
    case = make_case(steps=4)
    process_driver = case.config["expensive"]["command"]
    case.config["expensive"] = {"external": True, "socket": case.config["expensive"]["socket"]}
    case.config["expensive"]["socket"]["reply_deadline"] = 1.0
    address = case.config["expensive"]["socket"]["address"]
    process = case.start()
    wait_for(lambda: Path(f"/tmp/ipi_{address}").exists())
    hanging = subprocess.Popen(faulty_driver("hang").format(address=address).split())
    time.sleep(2.0)
    good = subprocess.Popen(process_driver.format(address=address).split())
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert read_steps(case.folder / "mix.steps")["lost_drivers"][-1] == 1
    hanging.kill()
    hanging.wait()
    assert good.wait(20) == 0


@pytest.mark.full
@pytest.mark.parametrize(
    "signum", the_rest_slow([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], signal.SIGTERM)
)
def test_signal_stops_everything_and_the_rest_can_be_run(make_case, signum):
    reference = make_case(folder="reference", steps=40, stride=1)
    assert run(reference).returncode == 0

    case = make_case(folder="case2", steps=40, stride=1)
    case.config["expensive"]["command"] = faulty_driver("slow", 0.1)
    process = case.start()
    wait_for(lambda: evaluations(case) >= 8)
    process.send_signal(signum)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    assert f"stopped by {signum.name}" in output and "mixpi run RESTART" in output
    assert case.nothing_left()

    before = evaluations(case)
    assert 8 <= before < 40
    case.config["expensive"]["command"] = command_driver("toy")
    done = case.mixpi("run", "RESTART", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    last = case.positions()[-1]
    np.testing.assert_allclose(last, reference.positions()[-1], atol=1e-7)
    check_continued(case, reference)


def check_continued(case, reference) -> None:
    """After a stop and a RESTART the files are those of an undisturbed run."""
    assert (case.folder / "mix.steps").read_text().count("# continued from step") == 1
    found, wanted = (read_steps(c.folder / "mix.steps") for c in (case, reference))
    np.testing.assert_array_equal(found["step"], np.arange(41))
    np.testing.assert_array_equal(found["evaluation"], np.arange(41))
    assert found["part"][0] == 0 and found["part"][-1] == 1
    np.testing.assert_allclose(found["potential"], wanted["potential"], atol=1e-6)
    for name in ("mix.extxyz", "md.pos_0.extxyz", "md.out"):
        assert steps_in(case.folder / name) == steps_in(reference.folder / name), name
    assert case.mixpi("plot", "RESTART").returncode == 0


def steps_in(path: Path) -> list[int]:
    """The steps of all rows or frames of an output of i-PI's or ours."""
    if path.name == "md.out":
        return [int(row) for row in np.loadtxt(path, ndmin=2)[:, 0]]
    frames = read(path, ":")
    if path.name.startswith("mix"):
        return [frame.info["step"] for frame in frames]
    return [int(frame.info["ipi_comment"].split("Step:")[1].split()[0]) for frame in frames]


@pytest.mark.full
def test_launcher_finds_i_pi_killed(make_case):
    case = make_case(steps=2000, expensive={"command": faulty_driver("slow", 0.05)})
    process = case.start()
    wait_for(lambda: evaluations(case) >= 3)
    assert not case.nothing_left(), "it must see what runs"
    os.kill(case.i_pi(process), signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "i-PI was killed by SIGKILL" in output
    assert case.nothing_left()


@pytest.mark.full
def test_exit_file_stops_as_i_pi_users_know_it(make_case):
    case = make_case(steps=5000, expensive={"command": faulty_driver("slow", 0.02)})
    process = case.start()
    wait_for(lambda: evaluations(case) >= 3)
    (case.folder / "EXIT").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "stopped: a file EXIT asked i-PI to stop" in output
    assert (case.folder / "RESTART").exists() and case.nothing_left()


@pytest.mark.full
def test_stale_socket_of_a_dead_run_is_cleared(make_case):
    case = make_case(steps=2)
    path = Path(f"/tmp/ipi_{case.config['cheap']['socket']['address']}")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    done = run(case)
    assert done.returncode == 0, done.stderr
    assert "left by a run that was killed" in done.stderr
    assert case.nothing_left()


@pytest.mark.full
def test_address_of_a_live_run_is_respected(make_case):
    case = make_case(steps=2)
    path = Path(f"/tmp/ipi_{case.config['cheap']['socket']['address']}")
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        done = run(case)
        assert done.returncode == 1
        assert "is in use by a running process" in done.stderr
        assert path.exists()
        live.settimeout(0.2)
        with pytest.raises(TimeoutError):
            live.accept()  # the live run was not disturbed by a probe
    path.unlink()
    assert case.nothing_left()


@pytest.mark.slow
def test_inet_sockets(make_case):
    case = make_case(steps=3)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    case.config["expensive"]["command"] += " --mode {mode} --port {port}"
    case.config["expensive"]["socket"] = {"mode": "inet", "address": "127.0.0.1", "port": port}
    done = run(case)
    assert done.returncode == 0, done.stderr

    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = run(case)
    assert done.returncode == 1 and "the port is in use" in done.stderr


@pytest.mark.full
def test_several_drivers_share_the_beads(make_case):
    # slow enough for the second one to start while the first one works
    case = make_case(steps=8, beads=4, expensive={"command": faulty_driver("slow", 0.2)})
    case.config["expensive"]["count"] = 2
    done = run(case)
    assert done.returncode == 0, done.stderr
    logs = [(case.folder / "logs" / f"expensive-{k}.log").read_text() for k in (0, 1)]
    counts = [int(log.split("has ended, ")[1].split()[0]) for log in logs]
    assert sum(counts) == 4 * 9 and min(counts) > 0


@pytest.mark.full
def test_second_run_in_the_same_folder_is_refused(make_case):
    case = make_case(steps=3000, expensive={"command": faulty_driver("slow", 0.05)})
    first = case.start()
    wait_for(lambda: (case.folder / "logs" / "lock").exists())
    done = run(case)
    assert done.returncode == 1
    assert "is active in" in done.stderr or "is in use by a running process" in done.stderr
    wait_for(lambda: evaluations(case) >= 2)
    by_hand = case.start_i_pi()  # touches nothing, either
    said, _ = by_hand.communicate(timeout=60)
    assert "is active in" in said and by_hand.returncode != 0
    assert not (case.folder / "mixpi.failure").exists() and not list(case.folder.glob("#*"))
    done = evaluations(case)
    wait_for(lambda: evaluations(case) > done)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert first.returncode == 128 + signal.SIGTERM
    assert case.nothing_left()


@pytest.mark.full
def test_silent_client_does_not_stop_the_run(make_case):
    """Somebody connects and says nothing: the real driver gets the work."""
    case = make_case(steps=4)
    good = case.config["expensive"]["command"]
    case.config["expensive"] = {"external": True, "socket": case.config["expensive"]["socket"]}
    address = case.config["expensive"]["socket"]["address"]
    process = case.start()
    wait_for(lambda: Path(f"/tmp/ipi_{address}").exists())
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(f"/tmp/ipi_{address}")
        time.sleep(0.5)
        driver = subprocess.Popen(good.format(address=address).split())
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert driver.wait(20) == 0


@pytest.mark.slow
def test_only_a_silent_client(make_case):
    case = make_case()
    script = case.folder / "silent.py"
    script.write_text(
        "import socket, sys, time\n"
        "s = socket.socket(socket.AF_UNIX); s.connect('/tmp/ipi_' + sys.argv[1]); time.sleep(600)\n"
    )
    case.config["expensive"]["command"] = f"{sys.executable} silent.py {{address}}"
    case.config["expensive"]["max_restarts"] = 1
    case.config["expensive"]["socket"]["reply_deadline"] = 1.0
    done = run(case)
    assert done.returncode == 1
    assert done.stderr.count("driver expensive-0 does not reply as it should") == 2
    assert case.nothing_left()


@pytest.mark.slow
def test_hung_driver_behind_a_script_is_ended(make_case):
    case = make_case()
    script = case.folder / "wrapper.sh"
    script.write_text(f"#!/bin/bash\n{faulty_driver('hang').format(address='$1')}\nexit 5\n")
    script.chmod(0o755)
    case.config["expensive"]["command"] = "wrapper.sh {address}"
    case.config["expensive"]["max_restarts"] = 0
    case.config["expensive"]["socket"]["reply_deadline"] = 1.0
    done = run(case)
    assert done.returncode == 1
    assert "driver expensive-0 does not reply as it should" in done.stderr
    assert case.nothing_left()


@pytest.mark.slow
def test_stopped_driver_is_ended_and_replaced(make_case):
    case = make_case(steps=60, expensive={"command": faulty_driver("slow", 0.05)})
    case.config["expensive"]["socket"]["reply_deadline"] = 1.0
    process = case.start()
    wait_for(lambda: evaluations(case) >= 3)
    os.kill(case.pid_in("logs/expensive-0"), signal.SIGSTOP)
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output
    assert "driver expensive-0 does not reply as it should" in output
    assert evaluations(case) == 61


@pytest.mark.slow
def test_quiet_i_pi(make_case):
    case = make_case(steps=4)
    xml = case.input.read_text().replace("verbosity='low'", "verbosity='quiet'")
    case.input.write_text(xml)
    done = run(case)
    assert done.returncode == 0, done.stderr


@pytest.mark.full
def test_multiple_time_steps_are_counted_right(make_case):
    dynamics = """<dynamics mode='nve'><timestep units='femtosecond'>1</timestep>
      <nmts>[ 4 ]</nmts></dynamics>"""
    case = make_case(steps=5, dynamics=dynamics)
    done = run(case)
    assert done.returncode == 0, done.stderr
    report = json.loads((case.folder / "mixpi.report.json").read_text())
    assert (report["steps"], report["evaluations"]) == (5, 21)


@pytest.mark.slow
def test_linked_input_runs_beside_the_link(make_case, tmp_path):
    case = make_case(steps=2)
    linked = tmp_path / "my own folder"
    linked.mkdir()
    for name in ("input.xml", "mixing.yaml", "mixing_pes.py", "init.extxyz"):
        (linked / name).symlink_to(case.folder / name)
    case.folder = linked
    done = case.mixpi("run", str(linked / "input.xml"), "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    assert (linked / "mix.steps").exists() and (linked / "RESTART").exists()
