"""How many cores drivers ask for, and what is said where there are fewer."""

from __future__ import annotations

import pytest
from mixpi import MixpiError
from mixpi.check.checking import starting_regions
from mixpi.check.drivers import check_drivers, cores_here
from mixpi.drivers.driver import Driver
from mixpi.drivers.lammps_driver import LammpsDriver
from mixpi.drivers.mace_driver import MaceDriver
from mixpi.drivers.programs import ranks_here
from mixpi.ipi.input import read_ipi_input
from mixpi.structure import read_structure


@pytest.mark.parametrize(
    ("launch", "ranks"),
    [
        ("", 1),
        ("nice -n 19", 1),
        ("taskset -c 0", 1),
        ("./wrap.sh -n 4", 1),
        ("mpirun -n 4", 4),
        ("/opt/mpi/bin/mpirun -np 16", 16),
        ("mpiexec.hydra -n=3", 3),
        ("nice -n 19 mpirun --np 2 --bind-to none", 2),
        ("mpirun", None),
        ("mpirun -n", None),
        ("mpirun -n many", None),
        ("mpirun -n 64 --hostfile hosts", None),
        ("mpirun -n 64 -H a,b", None),
        ("srun -n 64", None),
        ("srun --exact -n 64 --gpus 1", None),
        ("ssh node mpirun -n 8", None),
    ],
)
def test_ranks(launch, ranks):
    assert ranks_here(launch, "here") == ranks


def test_an_open_quote():
    with pytest.raises(MixpiError, match=r"here: .*No closing quotation"):
        ranks_here("mpirun -n '4", "here")


@pytest.mark.parametrize(
    ("keys", "cores"),
    [
        ({}, 1),
        ({"launch": "mpirun -n 4"}, 4),
        ({"launch": "mpirun -n 4", "arguments": "-k on t 3 -sf kk"}, 12),
        ({"arguments": "-sf omp -pk omp 6"}, 6),
        ({"arguments": "-k on g 1 -sf kk"}, 1),
        ({"launch": "srun -n 4", "arguments": "-k on t 3 -sf kk"}, None),
    ],
)
def test_cores_of_lammps(keys, cores):
    assert LammpsDriver(potential=["x"], **keys).cores == cores


def test_cores_of_a_model():
    assert MaceDriver(model="m").cores == 1
    assert MaceDriver(model="m", threads=8).cores == 8
    assert MaceDriver(model="m", threads=8, launch="srun").cores is None
    assert Driver().cores is None


@pytest.mark.parametrize("pool", ["cheap", "expensive"])
def test_more_than_there_are(make_case, tiny_model, pool):
    here = cores_here()
    case = make_case(
        cheap={"lammps": {"potential": ["pair_style zero 3.0", "pair_coeff * *"]}},
        expensive={"mace": {"model": str(tiny_model), "threads": 1}},
    )

    def said() -> str:
        case.write()
        ipi_input = read_ipi_input(case.input)
        atoms = read_structure(case.folder / "init.extxyz")
        regions = starting_regions(ipi_input, atoms)
        return "\n".join(check_drivers(ipi_input, atoms, regions, load=False))

    if pool == "cheap":
        case.config[pool]["lammps"]["launch"] = f"mpirun -n {here + 1}"
        assert f"warning: cheap: {here + 1} cores are asked for" in said()
    else:
        case.config[pool]["count"] = here + 1
        found = said()
        assert f"warning: expensive: {here + 1} cores are asked for" in found
        assert f"({here + 1} drivers of 1 each), and this machine has {here}" in found
        assert f"{here} of {here + 1} drivers will idle" in found
    case.config["cheap"]["lammps"]["launch"] = ""
    case.config["expensive"]["count"] = 1
    assert "cores are asked for" not in said() and "will idle" not in said()
