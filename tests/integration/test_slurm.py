"""Batch jobs under a real SLURM: the time limit, the next job, scancel, a step that dies."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, TERSOFF, Case, evaluations, faulty_driver, silicon, wait_for
from mixpi.output.records import read_steps
from private_slurm import Slurm, missing, running_slurm


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=str(missing()))]

#: Steps side by side, each with its own part of the job.
SRUN = "srun --exact --ntasks=1 --gres=none"
#: Two ranks, by the protocol that MPICH of the wheel speaks; and a (pretended) GPU.
RANKS = "srun --exact --kill-on-bad-exit --mpi=pmi2 --ntasks=2 --gres=none"
GPU = "srun --exact --ntasks=1 --gpus=1"
SCRIPT = ROOT / "scripts" / "slurm" / "job.sh"
#: More than a job does before it is stopped (a tenth of a second each, a minute at most).
CHAINED = 700


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with tempfile.TemporaryDirectory(prefix="mixpi-slurm-") as folder:
        os.chmod(folder, 0o755)
        with running_slurm(Path(folder) / "s") as found:
            yield found


def submit(slurm: Slurm, case: Case, *arguments: str, **limits: str) -> str:
    """Hand in the example's script, with other numbers."""
    case.write()
    text = SCRIPT.read_text()
    for key, value in {"ntasks": "4", "gpus": "2", **limits}.items():
        text, found = re.subn(rf"(?m)^#SBATCH --{key}=.*$", f"#SBATCH --{key}={value}", text)
        assert found == 1
    (case.folder / "job.sh").write_text(text)
    env = {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    env["PYTHONWARNINGS"] = "ignore"
    return slurm.submit("job.sh", *arguments, cwd=case.folder, env=env)


def said(case: Case, job: str) -> str:
    path = case.folder / f"slurm-{job}.out"
    return path.read_text() if path.exists() else ""


def toys(make_case, *, srun: bool, steps: int, slow: float, folder: str) -> Case:
    words = f"{SRUN} " if srun else ""
    return make_case(
        folder=folder,
        steps=steps,
        stride=1,
        cheap={"command": words + faulty_driver("slow", slow)},
        # the same field: rounding in RESTART does not grow as it does where regions change
        expensive={"command": words + faulty_driver("slow", 0.0)},
    )


def reference(make_case, steps: int) -> np.ndarray:
    """Positions of an undisturbed run, without SLURM."""
    case = toys(make_case, srun=False, steps=steps, slow=0.0, folder="reference")
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet", timeout=300)
    assert done.returncode == 0, done.stderr
    return case.positions()


def test_a_chain_of_jobs_is_one_trajectory(slurm, make_case):
    wanted = reference(make_case, CHAINED)
    case = toys(make_case, srun=True, steps=CHAINED, slow=0.1, folder="chain")
    first = submit(slurm, case, time="2", signal="B:USR1@60")
    wait_for(lambda: not slurm.jobs(), 600)
    outputs = {path.name: path.read_text() for path in case.folder.glob("slurm-*.out")}
    assert len(outputs) > 1, outputs
    assert "stopped by SIGUSR1" in said(case, first), outputs
    assert not any("TIME LIMIT" in text or "Traceback" in text for text in outputs.values())
    steps = read_steps(case.folder / "mix.steps")
    np.testing.assert_array_equal(steps["step"], np.arange(CHAINED + 1))
    assert steps["part"][-1] == len(outputs) - 1  # each job has done some
    assert steps["lost_drivers"][-1] == 0
    # a step that was missing or done twice would be a hundredth of an Å
    np.testing.assert_allclose(case.positions(), wanted, rtol=0, atol=1e-5)
    assert case.nothing_left()
    assert not list(case.folder.glob(".job-*"))


def test_a_job_that_does_nothing_has_no_next_one(slurm, make_case):
    case = toys(make_case, srun=True, steps=5, slow=0.0, folder="stuck")
    case.config["cheap"]["command"] = f"{SRUN} {faulty_driver('never')}"
    job = submit(slurm, case, time="2", signal="B:USR1@60")
    wait_for(lambda: not slurm.jobs(), 180)
    assert [path.name for path in case.folder.glob("slurm-*.out")] == [f"slurm-{job}.out"]
    assert "stopped by SIGUSR1" in said(case, job)
    assert "no step was done before the time limit" in said(case, job)
    assert case.nothing_left()


@pytest.fixture
def engines(make_case, mace_tiny):
    """Factory of cases with real engines, as the page on clusters has them."""

    def make(folder: str, *, srun: bool = True) -> Case:
        cheap = {"potential": TERSOFF, **({"launch": RANKS} if srun else {})}
        mace = {**mace_tiny["mace"], **({"launch": GPU} if srun else {})}
        return make_case(
            silicon(2),
            folder=folder,
            steps=120,
            stride=1,
            cheap={"lammps": cheap},
            expensive={"mace": mace, "count": 2 if srun else 1},
        )

    return make


def in_step(case: Case, driver: str) -> list[int]:
    """The processes of a driver itself, of which ``srun`` is no ancestor."""
    return [
        pid
        for pid, folder in case.processes().items()
        if folder == case.folder / "logs" / driver and "srun" not in command(pid)
    ]


def device(pid: int) -> str:
    """The GPU that SLURM lets a process see."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.partition("=")[::2] for entry in entries).get("CUDA_VISIBLE_DEVICES", "")


def test_a_step_that_dies_is_replaced(slurm, engines):
    quiet, case = engines("quiet", srun=False), engines("disturbed")
    assert quiet.mixpi("run", "input.xml", "--no-reference", "--quiet").returncode == 0
    job = submit(slurm, case)
    for driver, after in (("expensive-0", 10), ("cheap-0", 30)):
        wait_for(lambda after=after: evaluations(case) >= after or not slurm.jobs(), 180)
        if driver == "expensive-0":  # each has a GPU of its own, and LAMMPS none
            wait_for(lambda: in_step(case, "expensive-1"), 60)
            found = [device(in_step(case, f"expensive-{number}")[0]) for number in range(2)]
            assert sorted(found) == ["0", "1"]
            assert [device(pid) for pid in in_step(case, "cheap-0")] == ["", ""]
        os.kill(in_step(case, driver)[0], signal.SIGKILL)
    wait_for(lambda: not slurm.jobs(), 240)
    output = said(case, job)
    assert re.search(r"driver cheap-0 .*; starting it again", output), output
    steps = read_steps(case.folder / "mix.steps")
    np.testing.assert_array_equal(steps["step"], np.arange(121))
    assert steps["lost_drivers"][-1] == 2
    np.testing.assert_allclose(case.positions(), quiet.positions(), rtol=0, atol=1e-6)
    assert case.nothing_left()


def test_scancel_leaves_a_way_on(slurm, engines):
    quiet, case = engines("quiet", srun=False), engines("cancelled")
    assert quiet.mixpi("run", "input.xml", "--no-reference", "--quiet").returncode == 0
    job = submit(slurm, case)
    wait_for(lambda: evaluations(case) >= 20 or not slurm.jobs(), 120)
    slurm.ask("scancel", job)
    wait_for(lambda: not slurm.jobs() and not case.processes(), 60)
    assert "stopped by SIGTERM" in said(case, job), said(case, job)
    assert (case.folder / "RESTART").exists()
    assert 20 <= evaluations(case) <= 120
    assert len(list(case.folder.glob("slurm-*.out"))) == 1  # and no job has followed
    again = submit(slurm, case, "RESTART")
    wait_for(lambda: not slurm.jobs(), 180)
    assert "continues from step" in said(case, again)
    steps = read_steps(case.folder / "mix.steps")
    np.testing.assert_array_equal(steps["step"], np.arange(121))
    np.testing.assert_allclose(case.positions(), quiet.positions(), rtol=0, atol=1e-6)
    assert case.nothing_left()


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")
    except OSError:
        return ""
