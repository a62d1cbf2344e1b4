"""LAMMPS timed on MPI ranks, and what is recommended."""

from __future__ import annotations

import re

import pytest
from conftest import TERSOFF, silicon
from mixpi import MixpiError
from mixpi.check import ranks as check_ranks
from mixpi.check.checking import starting_regions
from mixpi.check.drivers import check_drivers
from mixpi.check.ranks import free_cores, measure_ranks
from mixpi.config import load_config
from mixpi.drivers.lammps_driver import LammpsDriver
from mixpi.drivers.lammps_timing import (
    best_ranks,
    in_words,
    ranks_to_try,
    shortest_of,
    time_step,
)
from mixpi.ipi.input import read_ipi_input
from mixpi.structure import read_structure


@pytest.mark.parametrize(
    ("free", "numbers"),
    [(0, [1]), (1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])],
)
def test_numbers_worth_trying(free, numbers):
    assert ranks_to_try(free) == numbers


@pytest.mark.parametrize(
    ("ms", "best"),
    [
        ({1: 100.0, 2: 52.0, 4: 28.0}, 4),
        ({1: 100.0, 2: 52.0, 4: 50.0}, 2),
        ({1: 100.0, 2: 95.0, 4: 91.0}, 1),
        ({1: 100.0, 2: 130.0}, 1),
        ({1: 100.0, 2: 60.0, 3: 300.0}, 2),
    ],
)
def test_more_ranks_must_pay(ms, best):
    assert best_ranks(ms) == best


def test_in_words():
    assert in_words({2: 52.34, 1: 100.0, 4: 3.0}) == "100 ms a step on 1 rank, 52.3 on 2, 3 on 4"
    assert shortest_of([{1: 2.0, 2: 1.0}, {1: 1.5, 2: 3.0}]) == {1: 1.5, 2: 1.0}


@pytest.mark.parametrize(
    ("here", "cheap", "expensive", "free"),
    [
        (2, {}, {}, 1),
        (8, {}, {}, 6),
        (8, {}, {"count": 2}, 5),
        (8, {"count": 3}, {}, 2),
        (8, {}, {"mace": {"threads": 4}}, 3),
        (8, {}, {"mace": {"launch": "srun"}}, 7),
        (1, {}, {"count": 4}, 1),
    ],
)
def test_cores_that_are_free(make_case, tiny_model, here, cheap, expensive, free):
    mace = {"model": str(tiny_model), "threads": 1, **expensive.pop("mace", {})}
    case = make_case(
        cheap={"lammps": {"potential": TERSOFF}, **cheap}, expensive={"mace": mace, **expensive}
    )
    case.write()
    assert free_cores(load_config(case.folder / "mixing.yaml"), here) == free


@pytest.fixture
def said(make_case, tiny_model, monkeypatch):
    """What is measured for a driver on a machine with so many cores."""

    def said(here: int = 5, **keys) -> list[str]:
        case = make_case(
            silicon(3),
            cheap={"lammps": {"potential": TERSOFF, **keys}},
            expensive={"mace": {"model": str(tiny_model), "threads": 1}},
        )
        case.write()
        monkeypatch.setattr(check_ranks, "cores_here", lambda: here)
        ipi_input = read_ipi_input(case.input)
        return list(measure_ranks(ipi_input, read_structure(case.folder / "init.extxyz")))

    return said


@pytest.mark.parametrize(
    ("here", "keys"),
    [
        (2, {}),
        (3, {}),
        (8, {"launch": "taskset -c 0"}),
        (8, {"launch": "srun -n 2"}),
        (8, {"launch": "mpirun -n 2 --bind-to none"}),
        (8, {"arguments": "-k on t 2 -sf kk"}),
    ],
)
def test_nothing_is_measured(said, monkeypatch, here, keys):
    monkeypatch.setattr(check_ranks, "time_step", lambda *_: pytest.fail("it was measured"))
    assert said(here, **keys) == []


@pytest.mark.full
def test_short_steps_are_not_divided(said):
    assert said(here=8) == []


@pytest.mark.full
class TestRealRanks:
    """LAMMPS under mpirun."""

    @pytest.fixture(autouse=True)
    def quickly(self, monkeypatch):
        monkeypatch.setattr(check_ranks, "SHORT", 0.0)
        monkeypatch.setattr(check_ranks, "ROUNDS", 1)

    def test_each_is_timed(self, said):
        [line] = said(here=4)
        assert re.search(r"takes \S+ ms a step on 1 rank, \S+ on 2 \(2 cores free for it", line)
        assert "best" in line or "'launch: mpirun -n 2'" in line

    def test_more_ranks_than_cores(self, said):
        """Ranks that share a core wait for each other without sleeping."""
        [line] = said(here=2, launch="mpirun -n 6")
        assert re.search(r"note: cheap: .* on 1 rank, \S+ on 6 \(1 core free", line)
        assert re.search(r"no 'launch:' in lammps: makes it [\d.]+ times as fast", line)

    def test_check_says_it(self, make_case, tiny_model, monkeypatch):
        monkeypatch.setattr(check_ranks, "cores_here", lambda: 4)
        case = make_case(
            silicon(3),
            cheap={"lammps": {"potential": TERSOFF}},
            expensive={"mace": {"model": str(tiny_model), "threads": 1}},
        )
        case.write()
        ipi_input = read_ipi_input(case.input)
        atoms = read_structure(case.folder / "init.extxyz")
        regions = starting_regions(ipi_input, atoms)
        found = "\n".join(check_drivers(ipi_input, atoms, regions, load=True))
        assert "ms a step on 1 rank" in found
        fast = "\n".join(check_drivers(ipi_input, atoms, regions, load=False))
        assert "a step on" not in fast

    def test_an_mpirun_of_another_mpi(self, tmp_path):
        """It starts copies that know nothing of each other."""
        copies = tmp_path / "mpirun"
        copies.write_text('#!/bin/bash\nshift 2\n"$@" & "$@" && wait\n')
        copies.chmod(0o755)
        driver, atoms = LammpsDriver(potential=TERSOFF, launch=f"{copies} -n 2"), silicon(2)
        argv, env = driver.program(tmp_path), driver.environment()
        with pytest.raises(MixpiError, match="LAMMPS runs on 1, several times: mpirun belongs to"):
            time_step(driver.setup(tmp_path), atoms, argv, 2, env)

    def test_warned_of_where_it_is_configured(self, said, tmp_path):
        copies = tmp_path / "mpirun"
        copies.write_text('#!/bin/bash\nshift 2\n"$@" & "$@" && wait\n')
        copies.chmod(0o755)
        [line] = said(launch=f"{copies} -n 2")
        assert line.startswith("warning: cheap: MPI ranks were not compared: 2 ranks were started")

    def test_a_potential_that_fails(self, tmp_path):
        driver = LammpsDriver(potential=["pair_style tersof", "pair_coeff * * x Si"])
        with pytest.raises(MixpiError, match="tersof"):
            time_step(
                driver.setup(tmp_path), silicon(2), driver.program(tmp_path), 1,
                driver.environment(),
            )  # fmt: skip
