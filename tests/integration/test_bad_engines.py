"""Engines that are not there or fail: check and run say why, soon, and leave nothing behind."""

from __future__ import annotations

import venv
from pathlib import Path

import pytest
from conftest import TERSOFF, command_driver, the_rest_slow
from test_symmetrix import made


pytestmark = [
    pytest.mark.full,
    # said by torch when a model is made here
    pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:To copy construct"),
]
SLOW = pytest.mark.slow


CALCULATORS = """
from ase.calculators.calculator import Calculator

class Raises(Calculator):
    implemented_properties = ["energy", "forces"]

    def calculate(self, *given):
        raise ValueError("no parameters for these surroundings")

class OnlyEnergy(Calculator):
    implemented_properties = ["energy"]

    def calculate(self, *given):
        self.results = {"energy": 1.0}

class NoStress(Calculator):
    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, *given):
        self.results = {"energy": 1.0, "forces": atoms.positions * 0.01}
"""


def ase(name: str, **more) -> dict:
    return {"ase": {"calculator": name, **more}}


def empty_environment(folder: Path) -> str:
    venv.create(folder / "bare", with_pip=False, symlinks=True)
    return str(folder / "bare")


#: What stands under ``expensive:``, given the model and a folder; and what is said.
WRONG = {
    "no GPU": (lambda m, _: {"mace": {"model": m, "device": "cuda"}}, "torch sees no GPU"),
    "no such GPU": (
        lambda m, _: {"mace": {"model": m, "device": "cuda:7"}},
        "device 'cuda:7' was asked for",
    ),
    "no compiler": (
        lambda m, _: {"mace": {"model": m, "engine": "symmetrix", "threads": 2}},
        "CXX compiler executable was not found: no-such-compiler; install g++ or set CXX, or leave "
        "out threads",
    ),
    "does not convert": (
        lambda _, folder: {
            "mace": {
                "model": str(made(folder / "one.model", num_interactions=1)),
                "engine": "symmetrix",
            }
        },
        "it does not convert (RuntimeError: One-interaction MACE models",
    ),
    "raises": (lambda *_: ase("own:Raises"), "ValueError: no parameters for these surroundings"),
    "no forces": (lambda *_: ase("own:OnlyEnergy"), "forces"),
    "not installed": (
        lambda *_: ase("nowhere.calculator:Nothing"),
        "there is no module 'nowhere' for the calculator",
    ),
    "no ase there": (
        lambda _, folder: ase("own:NoStress", python=empty_environment(folder)),
        "has no ase (No module named 'ase'): install ase and the calculator there",
    ),
    "no Python there": (
        lambda *_: ase("own:NoStress", python="nothing/here"),
        "give the Python of the calculator's environment",
    ),
}


@pytest.fixture
def wrong(make_case, tiny_model, tmp_path, monkeypatch):
    def make(name: str):
        if name == "no compiler":
            monkeypatch.setenv("CXX", "no-such-compiler")
            monkeypatch.setenv("SYMMETRIX_JIT_CACHE", str(tmp_path / "jit"))
        if name in ("no GPU", "no such GPU"):
            torch = pytest.importorskip("torch")
            if torch.cuda.device_count() > (7 if name == "no such GPU" else 0):
                pytest.skip("there is one")
        case = make_case(expensive=WRONG[name][0](str(tiny_model), tmp_path))
        (case.folder / "own.py").write_text(CALCULATORS)
        return case

    return make


@pytest.mark.parametrize("name", the_rest_slow(WRONG, *(n for n in WRONG if n != "no such GPU")))
def test_check_says_it(wrong, name):
    case = wrong(name)
    done = case.mixpi("check", "input.xml")
    assert done.returncode == 1 and case.nothing_left()
    assert WRONG[name][1] in done.stderr and "Traceback" not in done.stderr
    assert "all in order" not in done.stdout


@pytest.mark.parametrize(
    "name",
    [
        "raises",
        *(pytest.param(n, marks=SLOW) for n in ("no such GPU", "no compiler", "no ase there")),
    ],
)
def test_run_says_it(wrong, name):
    case = wrong(name)
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 1 and case.nothing_left()
    assert WRONG[name][1] in done.stderr and "Traceback" not in done.stderr


def test_a_calculator_without_stress_is_enough(make_case):
    """The mixing layer asks for none."""
    case = make_case(expensive=ase("own:NoStress"))
    (case.folder / "own.py").write_text(CALCULATORS)
    for command in (["check"], ["run", "--no-reference", "--quiet"]):
        done = case.mixpi(command[0], "input.xml", *command[1:])
        assert done.returncode == 0, done.stderr
    assert case.nothing_left()


@SLOW
def test_more_ranks_than_cores_are_slow_but_run(make_case):
    from mixpi.check.drivers import cores_here

    ranks = cores_here() + 1
    case = make_case(
        cheap={"lammps": {"potential": TERSOFF, "launch": f"mpirun -n {ranks}"}},
        expensive={"command": command_driver("toy")},
        steps=2,
    )
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet", timeout=300)
    assert done.returncode == 0 and case.nothing_left()
    assert f"{ranks} cores are asked for" in done.stderr
