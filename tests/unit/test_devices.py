"""Which driver of a pool gets which device."""

from __future__ import annotations

import pytest
from conftest import driver_argv, ipi_xml
from mixpi import MixpiError
from mixpi.drivers.mace_driver import MaceDriver
from mixpi.ipi.input import read_ipi_input
from mixpi.run.starting import number_in


@pytest.fixture
def on(make_case, tiny_model):
    """Factory of cases whose expensive pool has the given keys, those of ``mace`` apart."""

    def make(mace: dict, **keys):
        return make_case(expensive={"mace": {"model": str(tiny_model), **mace}, **keys})

    return make


def devices(case, count: int) -> list[str | None]:
    """The devices on the command lines of so many drivers; None for the default."""
    found = []
    for number in range(count):
        words = driver_argv(case, "expensive", number=number)
        assert not any(word.startswith("--devices") for word in words)
        flags = [word for word in words if word.startswith("--device=")]
        found.append(flags[0].removeprefix("--device=") if flags else None)
    return found


def count_of(case) -> int:
    return read_ipi_input(case.input).config.expensive.count


def test_a_driver_for_each_device(on):
    case = on({"devices": ["cuda:0", "cuda:3"]})
    assert count_of(case) == 2
    assert devices(case, 2) == ["cuda:0", "cuda:3"]


def test_more_drivers_than_devices_take_turns(on):
    case = on({"devices": ["cuda:0", "cpu", "cuda:1"]}, count=5)
    assert count_of(case) == 5
    assert devices(case, 5) == ["cuda:0", None, "cuda:1", "cuda:0", None]


def test_fewer_drivers_than_devices(on):
    case = on({"devices": ["cuda:1", "cuda:0"]}, count=1)
    assert count_of(case) == 1 and devices(case, 1) == ["cuda:1"]


def test_one_device_for_all(on):
    case = on({"device": "cuda:1"}, count=2)
    assert devices(case, 2) == ["cuda:1", "cuda:1"]


@pytest.mark.parametrize(
    ("mace", "message"),
    [
        ({"device": "cuda", "devices": ["cuda:0"]}, "not both"),
        ({"device": "cpu", "devices": ["cpu"]}, "not both"),
        ({"devices": []}, "expensive.mace.devices"),
        ({"devices": "cuda:0"}, "expensive.mace.devices"),
        ({"devices": ["cuda:0", "gpu1"]}, "expensive.mace.devices"),
        ({"devices": ["cuda:0; rm"]}, "expensive.mace.devices"),
        ({"devices": ["cuda:0", 1]}, "expensive.mace.devices"),
        ({"devices": [True]}, "expensive.mace.devices"),
        ({"devices": {"cuda:0": 1}}, "expensive.mace.devices"),
        ({"devices": ["cpu"] * 1025}, "expensive.mace.devices"),
    ],
)
def test_what_is_refused(on, mace, message):
    case = on(mace)
    with pytest.raises(MixpiError, match=message):
        read_ipi_input(case.input)


@pytest.mark.full
def test_what_evaluates_in_this_process_takes_the_first(tiny_model, tmp_path):
    driver = MaceDriver(model=str(tiny_model), devices=["cpu", "cuda:9"])
    assert driver.load(tmp_path).numbers == (14,)  # which is there, unlike the other


def test_each_device_once():
    driver = MaceDriver(model="m", devices=["cpu", "cuda:9"])
    assert [one.device for one in driver.variants] == ["cpu", "cuda:9"]
    assert [one.device for one in MaceDriver(model="m", devices=["cuda:1"] * 2).variants] == [
        "cuda:1"
    ]


@pytest.mark.parametrize(
    ("name", "number"), [("expensive-1", 1), ("cheap-12", 12), ("reference-cheap", 0)]
)
def test_the_number_in_a_name(name, number):
    assert number_in(name) == number


@pytest.mark.slow
def test_check_tries_every_device(on):
    """The second one is not there: a run would fail at once."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = on({"devices": ["cpu", "cuda:7"]}).mixpi("check", "input.xml")
    assert done.returncode == 1 and "torch sees no GPU" in done.stderr


@pytest.mark.slow
def test_two_drivers_of_two_devices_compute(on):
    case = on({"devices": ["cpu", "cpu"], "threads": 1})
    (case.folder / "input.xml").write_text(ipi_xml(steps=4, beads=2))
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    logs = [case.folder / "logs" / f"expensive-{number}.log" for number in range(2)]
    assert all("connected" in log.read_text() for log in logs)
