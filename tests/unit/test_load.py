"""How much each driver has computed: measured by the server, written, read, told."""

from __future__ import annotations

import json

import pytest
from mixpi.analysis.report_loads import load_sentences
from mixpi.output.loads import LOADS_FILE, forget_loads, read_loads, write_loads
from mixpi.sockets.load import Load, computing_seconds
from test_server import drive, evaluate, make_pool, poll_until  # noqa: F401 (a fixture)


@pytest.mark.parametrize(
    ("extras", "seconds"),
    [
        (b'{"driver_seconds": 0.25}', 0.25),
        (b'{"driver_seconds": 0.0, "proof": "x"}', 0.0),
        (b'{"driver_seconds": 2.0}', 2.0),
        # what cannot be is not believed
        (b'{"driver_seconds": 2.5}', 2.0),
        (b'{"driver_seconds": -1.0}', 2.0),
        (b'{"driver_seconds": NaN}', 2.0),
        (b'{"driver_seconds": "0.1"}', 2.0),
        (b'{"driver_seconds": true}', 2.0),
        (b'{"driver_seconds": 1e999}', 2.0),
        (b'["driver_seconds"]', 2.0),
        (b"[" * 4000, 2.0),
        (b'{"driver_seconds": 0.25}' + b" " * 5000, 0.25),
        (b'{"driver_seconds": 0.25}' + b" " * 2**20, 2.0),
        (b"no JSON", 2.0),
        (b"\x00", 2.0),
        (b"", 2.0),
    ],
)
def test_the_drivers_own_word_is_believed_where_it_can_be(extras, seconds):
    assert computing_seconds(extras, 2.0) == seconds


def test_a_pool_counts(make_pool):  # noqa: F811
    pool = make_pool(count=2)
    assert pool.loads == {"cheap-0": Load(), "cheap-1": Load()}
    drive(pool)
    for _ in range(3):
        evaluate(pool)
    pool.forget_loads()
    evaluate(pool)
    found = pool.loads
    assert [load.evaluations for load in found.values()] == [1, 0]
    assert 0.0 < found["cheap-0"].seconds < 1.0 and found["cheap-1"].seconds == 0.0


def test_who_takes_the_place_of_another_takes_its_name(make_pool):  # noqa: F811
    pool = make_pool()
    first = drive(pool)
    evaluate(pool)
    for connection in list(pool._server._connections):
        pool._server._remove(connection)
    first.join(20)
    drive(pool)
    evaluate(pool)
    assert {name: load.evaluations for name, load in pool.loads.items()} == {"cheap-0": 2}


def test_written_and_read(tmp_path):
    write_loads(tmp_path, 8.0, {"cheap-0": Load(10, 2.0), "expensive-0": Load()})
    found = read_loads(tmp_path)
    assert found["measured_s"] == 8.0
    assert found["drivers"]["cheap-0"] == {"evaluations": 10, "seconds": 2.0, "share": 0.25}
    assert found["drivers"]["expensive-0"]["share"] == 0.0
    forget_loads(tmp_path)
    assert read_loads(tmp_path) == {}
    forget_loads(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"seconds": 0.0, "drivers": {}}', '{"seconds": 1, "drivers": 3}']
)
def test_rubbish_is_no_load(tmp_path, text):
    (tmp_path / LOADS_FILE).write_text(text)
    assert read_loads(tmp_path) == {}


def test_where_it_cannot_be_written(tmp_path):
    (tmp_path / LOADS_FILE).mkdir()
    write_loads(tmp_path, 8.0, {"cheap-0": Load(10, 2.0)})
    assert read_loads(tmp_path) == {}


def told(shares: dict[str, float], beads: int = 1) -> list[str]:
    drivers = {
        name: {"evaluations": int(100 * share), "seconds": 10 * share, "share": share}
        for name, share in shares.items()
    }
    return load_sentences({"measured_s": 10.0, "drivers": drivers}, beads)


def test_a_line_a_driver_and_whom_the_run_waits_for():
    assert told({"cheap-0": 0.07, "expensive-0": 0.95}) == [
        "how much of the time each driver computed (from the second evaluation on):",
        "  cheap-0: 7%, 7 evaluations",
        "  expensive-0: 95%, 95 evaluations",
        "  the run waits for the expensive drivers; the cheap ones have time to spare "
        "(95% against 7%)",
    ]
    assert "waits for the cheap drivers" in told({"cheap-0": 0.9, "expensive-0": 0.2})[-1]
    assert "waits" not in told({"cheap-0": 0.9, "expensive-0": 0.8})[-1]
    assert load_sentences({}, 1) == []


def test_one_that_idles():
    one = told({"cheap-0": 0.9, "expensive-0": 0.9, "expensive-1": 0.0})
    assert one[-1] == (
        "  expensive-1 idles: a pool has 1 structure at a time to compute, one for each bead"
    )
    several = told({"cheap-0": 0.9, "expensive-0": 0.9, "expensive-1": 0, "expensive-2": 0}, 2)
    assert several[-1].startswith("  2 of the 3 expensive drivers idle: a pool has 2 structures")
    # there is enough to do, and yet it idles: it is lost, or slow to start
    assert told({"cheap-0": 0.9, "expensive-0": 0.9, "expensive-1": 0.0}, 2)[-1] == (
        "  expensive-1 idles"
    )


def test_a_line_for_a_large_pool():
    lines = told({f"expensive-{number}": 0.01 * number for number in range(1, 21)}, 20)
    assert lines[1] == "  20 expensive drivers: 1% to 20%, 1 to 20 evaluations each"


@pytest.mark.full
def test_in_the_report_of_a_run(make_case):
    """Beads for one driver of two, so that both have something to do, in turns or not."""
    from conftest import faulty_driver, ipi_xml

    case = make_case(
        cheap={"command": faulty_driver("slow", 0.0)},
        expensive={"command": faulty_driver("slow", 0.05), "count": 3},
    )
    (case.folder / "input.xml").write_text(ipi_xml(steps=10, beads=2))
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    loads = json.loads((case.folder / "mixpi.report.json").read_text())["loads"]
    drivers = loads["drivers"]
    assert list(drivers) == ["cheap-0", "expensive-0", "expensive-1", "expensive-2"]
    for pool in ("cheap", "expensive"):
        mine = [load for name, load in drivers.items() if name.startswith(pool)]
        assert sum(load["evaluations"] for load in mine) == 2 * 10  # the first left out
    expensive = sum(load["seconds"] for name, load in drivers.items() if name != "cheap-0")
    assert 20 * 0.05 <= expensive <= 3 * loads["measured_s"]
    assert "how much of the time each driver computed" in done.stdout
    assert "note: expensive: a pool has 2 structures at a time to compute" in done.stderr
