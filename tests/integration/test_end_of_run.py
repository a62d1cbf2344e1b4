"""What a run tells at its end: speed-up, parts of a continued run, pictures."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import clean_environment, command_driver, faulty_driver, mixpi, silicon, the_rest_slow
from mixpi import build_regions


pytestmark = pytest.mark.full


REGIONS = {"core": 2.5, "blend": 2.0, "buffer": 3.0}


def cluster_size() -> int:
    atoms = silicon()
    return len(build_regions(atoms.positions, atoms.cell, [0], **REGIONS).cluster)


def report_of(case) -> dict:
    return json.loads((case.folder / "mixpi.report.json").read_text())


def go_on(case, total: int) -> None:
    """Let the RESTART of a run that has ended go on to another step."""
    path = case.folder / "RESTART"
    text, count = re.subn(
        r"<total_steps>.*?</total_steps>",
        f"<total_steps>{total}</total_steps>",
        path.read_text(),
        flags=re.S,
    )
    assert count == 1
    path.write_text(text)


@pytest.mark.parametrize("beads", the_rest_slow([1, 2], 2))
def test_speed_up_is_that_of_the_drivers(make_case, beads):
    """Drivers that take so long an atom: all of them against the cluster."""
    case = make_case(
        regions=REGIONS,
        steps=6,
        beads=beads,
        expensive={"command": faulty_driver("per-atom", 0.008), "count": beads},
    )
    done = case.mixpi("run", "input.xml")
    assert done.returncode == 0, done.stderr
    assert "measuring its speed-up" in done.stderr
    report = report_of(case)
    expected = 64 / cluster_size()
    assert expected > 3
    low, high = report["speed_up_range"]
    assert low <= report["speed_up"] <= high
    assert 0.6 * expected < report["speed_up"] < 1.05 * expected
    pairs = report["speed_up_pairs"]
    assert 3 <= len(pairs["mixed_s"]) == len(pairs["all_expensive_s"]) <= 7
    ratios = np.divide(pairs["all_expensive_s"], pairs["mixed_s"])
    assert report["speed_up"] == pytest.approx(np.median(ratios))
    text = " ".join(done.stdout.split())
    assert re.search(r"speed-up: \d+\.\dx \(\d+\.\d to \d+\.\d, \d pairs in turns\)", text)
    assert ("for one bead" in text) == (beads == 2)
    assert case.nothing_left()


@pytest.mark.slow
def test_a_speed_up_is_not_measured_for_nothing(make_case):
    case = make_case(steps=2)
    done = case.mixpi("run", "input.xml", "--no-reference")
    assert done.returncode == 0 and "speed-up" not in done.stdout + done.stderr
    case = make_case(steps=2, seeds="none", folder="none")
    done = case.mixpi("run", "input.xml")
    assert done.returncode == 0 and "speed-up" not in done.stdout + done.stderr
    done = case.mixpi("run", "input.xml", "--reference")
    assert done.returncode == 0 and "speed-up not measured: there are no seeds" in done.stdout
    case = make_case(steps=2, seeds="all", folder="all")
    done = case.mixpi("run", "input.xml", "--reference")
    assert done.returncode == 0 and "speed-up not measured: all atoms are seeds" in done.stdout


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (("per-atom", 0.0, 40), "the expensive driver was killed by SIGKILL"),
        (("one", "{n}"), "can compute one structure only"),
    ],
    ids=["dies of the whole system", "takes one structure only"],
)
def test_what_goes_wrong_there_does_not_spoil_the_run(make_case, driver, reason):
    words = [str(word).format(n=cluster_size()) for word in driver]
    case = make_case(regions=REGIONS, steps=3, expensive={"command": faulty_driver(*words)})
    done = case.mixpi("run", "input.xml")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "speed-up not measured" in text and reason in text
    report = report_of(case)
    assert report["steps"] == 3 and report["status"] == "finished"
    assert reason in report["speed_up_not_measured"]
    assert "\n" not in report["speed_up_not_measured"]
    assert case.nothing_left()


@pytest.mark.slow
def test_a_driver_that_does_not_reply_there(make_case):
    case = make_case(
        regions=REGIONS,
        steps=2,
        expensive={
            "command": faulty_driver("per-atom", 0.05),
            "socket": {"reply_deadline": 2.0},  # all take 3.2 s
        },
    )
    done = case.mixpi("run", "input.xml")
    assert done.returncode == 0, done.stderr
    assert "did not reply within 2 s" in report_of(case)["speed_up_not_measured"]
    assert case.nothing_left()


def test_external_drivers_cannot_be_started_again(make_case):
    case = make_case(steps=2, expensive={"external": True})
    process = case.start("--reference")
    address = case.config["expensive"]["socket"]["address"]
    words = command_driver("toy").format(address=address).split()
    driver = subprocess.Popen(words, env=clean_environment())
    output, _ = process.communicate(timeout=60)
    driver.wait(20)
    assert process.returncode == 0
    assert "speed-up not measured: the expensive drivers are external" in output


@pytest.mark.parametrize("signum", the_rest_slow([signal.SIGINT, signal.SIGTERM], signal.SIGINT))
def test_stopped_while_it_is_measured(make_case, signum):
    """The run is done by then: its results are there, and its exit code says so."""
    case = make_case(
        regions=REGIONS, steps=2, expensive={"command": faulty_driver("per-atom", 0.05)}
    )
    process = case.start("--reference")
    for line in process.stdout:
        if "measuring its speed-up" in line:
            break
    process.send_signal(signum)  # also before its drivers have been started
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert f"speed-up not measured: stopped by {signum.name}" in output
    assert report_of(case)["status"] == "finished"
    assert case.nothing_left()


def test_inet_sockets_are_used_again(make_case):
    import socket

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = f"{sys.executable} -m mixpi.cli driver toy --address {{address}} --mode inet"
    case = make_case(steps=2, expensive={"command": f"{command} --port {{port}}"})
    case.config["expensive"]["socket"] = {"mode": "inet", "address": "localhost", "port": port}
    done = case.mixpi("run", "input.xml")
    assert done.returncode == 0, done.stderr
    assert report_of(case)["speed_up"] > 0.0


@pytest.mark.slow
def test_parts_of_a_run_that_was_continued_twice(make_case):
    case = make_case(steps=60)
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    first = report_of(case)
    assert first["continued_from"] == [] and first["whole"]["first_step"] == 0

    # by hand: no launcher, no report
    go_on(case, 100)
    ipi = subprocess.Popen(
        [sys.executable, f"{sys.prefix}/bin/i-pi", "RESTART"],
        cwd=case.folder,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
    )
    drivers = [
        subprocess.Popen(
            command_driver(kind).format(address=case.config[pool]["socket"]["address"]).split(),
            env=clean_environment(),
        )
        for kind, pool in (("zero", "cheap"), ("toy", "expensive"))
    ]
    assert ipi.wait(60) == 0
    assert [driver.wait(20) for driver in drivers] == [0, 0]
    go_on(case, 150)
    done = case.mixpi("run", "RESTART", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "continues from step 100; this part, up to step 150: 50 steps" in done.stdout
    assert "the whole run, from step 0 to 150 (continued at 60, 100" in done.stdout
    report = report_of(case)
    assert report["continued_from"] == [60, 100]
    assert (report["first_step"], report["steps"], report["evaluations"]) == (100, 150, 50)
    assert report["dynamics"]["energy_drift"]["samples"] == 50
    whole = report["whole"]
    assert (whole["evaluations"], whole["dynamics"]["energy_drift"]["samples"]) == (151, 151)
    # NVE: the estimate goes on where it was, so there is no jump between the parts
    assert abs(whole["dynamics"]["energy_drift_eV_per_ps"]) < 0.2
    assert case.mixpi("plot", "RESTART").returncode == 0


def test_multiple_time_steps(make_case):
    dynamics = """<dynamics mode='nve'><timestep units='femtosecond'>1</timestep>
      <nmts>[ 3 ]</nmts></dynamics>"""
    case = make_case(steps=5, dynamics=dynamics)
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    report = report_of(case)
    assert (report["steps"], report["evaluations"], report["evaluations_per_step"]) == (5, 16, 3)
    assert report["step_ms"]["median"] > 2 * report["evaluation_ms"]["median"]
    assert "5 steps, 16 force evaluations (3 a step)" in done.stdout
    assert case.mixpi("plot", "input.xml").returncode == 0


def test_little_data_says_so(make_case):
    case = make_case(steps=20)
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "too short to tell (20 fs" in done.stdout
    assert "eV/ps" not in done.stdout


def test_pictures_of_beads_and_of_a_run_that_was_killed(make_case):
    case = make_case(steps=12, beads=2)
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    for name in ("mix_0.extxyz", "mix.steps", "md.out"):
        path = case.folder / name
        path.write_bytes(path.read_bytes()[:-30])
    done = mixpi("plot", "input.xml", cwd=case.folder)
    assert done.returncode == 0, done.stderr
    for name in ("mixpi.steps.png", "mixpi.cell.png"):
        assert name in done.stdout
        assert (case.folder / name).stat().st_size > 20_000
