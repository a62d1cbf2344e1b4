"""The report of a run, from files whose content is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mixpi import MixpiError
from mixpi.analysis.properties import read_properties, written_last
from mixpi.analysis.report import add_speed_up, make_report
from mixpi.analysis.report_text import sentences
from mixpi.ipi.input import read_ipi_input
from mixpi.output.records import StepRecord, StepsFile
from mixpi.run.speed_up import SpeedUp


RNG = np.random.default_rng(11)


def record(step: int, evaluation: int, **changes) -> StepRecord:
    values = {
        "core": 4, "blend": 5, "buffer": 6, "net_force": 0.5, "potential": -10.0, "ipi": 1.0,
        "regions": 2.0, "send": 0.5, "waits": (10.0, 100.0), "blending": 0.25,
        "output": 0.75, "lost_drivers": 0, "work": (0.0,),
    }  # fmt: skip
    return StepRecord(step, evaluation, **{**values, **changes})


def write_steps(case, first: int, last: int, *, each: int = 1, **changes) -> None:
    """The rows of a run from a step to another; the first evaluation waits for drivers."""
    steps = StepsFile(case.folder / "mix.steps", beads=1, first_step=first)
    if not steps.last:
        steps.add(record(first, 0, **{**changes, "waits": (10.0, 9000.0)}))
    for step in range(first + 1, last + 1):
        for _ in range(each):
            steps.add(record(step, steps.evaluations, **changes))
    steps.close()


HEADER = """# column   1     --> step : The current simulation time step.
# column   2     --> time{picosecond} : The elapsed simulation time.
# column   3     --> conserved{kelvin} : The value of the conserved energy quantity.
# cols.    4-6   --> cell_h(v=0) : Three numbers.
# column   7     --> temperature(0) : Of one atom.
# column   8     --> temperature{millikelvin} : The current temperature.
"""
#: eV a K, as i-PI has it.
BOLTZMANN = 8.617333e-5


def write_properties(case, step, conserved_ev, temperature_k, header=HEADER) -> None:
    rows = [
        f"  {s:.0f} {1e-3 * s:.8e} {e / BOLTZMANN:.12e} 1 2 3 7.0 {1e3 * t:.8e}\n"
        for s, e, t in zip(step, conserved_ev, temperature_k, strict=True)
    ]
    (case.folder / "md.out").write_text(header + "".join(rows))


def report_of(case) -> dict:
    report = make_report(read_ipi_input(case.input))
    json.dumps(report, allow_nan=False)  # JSON knows no NaN and no infinity
    return report


def test_times_add_up(make_case):
    case = make_case()
    write_steps(case, 0, 3)
    report = report_of(case)
    assert report["steps"] == 3 and report["evaluations"] == 4 and report["times_leave_out"] == 1
    assert report["evaluation_ms"]["median"] == pytest.approx(1 + 2 + 0.25 + 0.75 + 100)
    assert report["step_ms"]["median"] == report["evaluation_ms"]["median"]
    assert report["overhead_ms"]["median"] == pytest.approx(4.0)
    assert report["regions"]["core"] == [4, 4, 4]
    assert report["stage_share"]["expensive"] == pytest.approx(100 / 104)


def test_multiple_time_steps_are_measured_from_the_file(make_case):
    case = make_case()
    write_steps(case, 0, 6, each=4)
    report = report_of(case)
    assert (report["steps"], report["evaluations"]) == (6, 25)
    assert report["evaluations_per_step"] == 4
    assert report["evaluation_ms"]["median"] == pytest.approx(104.0)
    assert report["step_ms"]["median"] == pytest.approx(4 * 104.0)
    assert report["step_stages_ms"]["cheap"] == pytest.approx(40.0)
    assert "6 steps, 25 force evaluations (4 a step)" in sentences(report)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (40, "; all atoms outside were looked at in 30 steps"),
        (20, "; not all atoms outside have been looked at yet"),
    ],
)
def test_probes(make_case, last, said):
    """A look every 5 steps at 60 atoms; all have been seen after 30."""
    case = make_case()
    steps = StepsFile(case.folder / "mix.steps", beads=1, probes=True)
    for step in range(last + 1):
        looks = step % 5 == 0
        # at first everything is expensive
        region = {"core": 64, "blend": 0} if step < 4 else {"core": 40, "blend": 10}
        probes = (60.0 * looks, 10.0 * looks, 9e9 if step < 4 else 25.0, 30 * (step >= 30))
        steps.add(record(step, step, probes=probes, **region))
    steps.close()
    report = report_of(case)
    assert report["probes"]["count"] == 1 + last // 5
    assert report["probes"]["cost"] == pytest.approx(10 * (1 + last // 5) / (25 * (last - 3)))
    [line] = [line for line in sentences(report) if line.startswith("probes: ")]
    assert "each a patch of about 60 atoms (10 ms) every 5 steps, +" in line
    assert " % of the expensive drivers' time for the region; " in line
    assert said in line


def test_no_probes(make_case):
    case = make_case()
    write_steps(case, 0, 3)
    report = report_of(case)
    assert "probes" not in report
    steps = StepsFile(case.folder / "mix.steps", beads=1, probes=True)
    steps.add(record(0, 0, probes=(0.0, 0.0, 5.0, 0)))
    steps.close()
    [line] = [line for line in sentences(report_of(case)) if line.startswith("probes: ")]
    assert "no atoms outside the region" in line


def test_nothing_to_report(make_case):
    case = make_case()
    with pytest.raises(MixpiError, match="does not exist: run"):
        report_of(case)
    StepsFile(case.folder / "mix.steps", beads=1).close()
    with pytest.raises(MixpiError, match="nothing to report"):
        report_of(case)
    (case.folder / "mix.steps").write_text("# column 1 evaluation: from 0\n0\n1\n")
    with pytest.raises(MixpiError, match="older mixpi"):
        report_of(case)


def test_units_are_read_whatever_they_are(make_case):
    case = make_case()
    write_steps(case, 0, 4)
    write_properties(case, range(5), [-3.0] * 5, [290.0, 300.0, 310.0, 300.0, 300.0])
    found = read_properties(case.folder / "md.out")
    np.testing.assert_allclose(found["time"], range(5), rtol=1e-6)
    np.testing.assert_allclose(found["conserved"], -3.0, rtol=1e-5)
    np.testing.assert_allclose(found["temperature"], [290, 300, 310, 300, 300], rtol=1e-6)
    # without a unit i-PI writes atomic ones
    write_properties(case, range(5), [1.0] * 5, [1.0] * 5, HEADER.replace("{picosecond}", ""))
    np.testing.assert_allclose(
        read_properties(case.folder / "md.out")["time"], 1e-3 * np.arange(5) * 0.0241888, rtol=1e-5
    )


def test_a_drift_comes_back_with_its_error(make_case):
    case, n = make_case(), 4000
    write_steps(case, 0, n)
    step = np.arange(n + 1)
    noise = np.convolve(RNG.normal(0, 1e-3, n + 10), np.ones(10) / 3, "valid")
    write_properties(case, step, -50.0 + 2e-6 * step + noise, 300 + RNG.normal(0, 9, n + 1))
    dynamics = report_of(case)["dynamics"]
    drift = dynamics["energy_drift"]
    assert drift["tells"] and not drift["is_zero"] and drift["span_fs"] == pytest.approx(n)
    error = drift["error_eV_per_ps"]
    assert abs(dynamics["energy_drift_eV_per_ps"] - 2e-3) < 4 * error
    assert drift["meV_per_atom_per_ps"] == pytest.approx(
        1e3 * dynamics["energy_drift_eV_per_ps"] / 64
    )
    # the bar of uncorrelated noise would be three times shorter
    assert 2.0 < error / (1e-3 * np.sqrt(10) / 3 * np.sqrt(12 / n**3) * 1e3) < 5.0
    t = dynamics["temperature_K"]
    assert abs(t["mean"] - 300) < 5 * t["error"] and t["slope_is_zero"]


def test_too_few_data_give_no_drift(make_case):
    case = make_case()
    write_steps(case, 0, 20)
    write_properties(case, range(21), -50 + RNG.normal(0, 0.1, 21), [300.0] * 21)
    report = report_of(case)
    assert not report["dynamics"]["energy_drift"]["tells"]
    [line] = [line for line in sentences(report) if line.startswith("drift")]
    assert "too short to tell (20 fs" in line and "eV/ps" not in line


def test_a_drift_within_its_error_is_said_to_be_none(make_case):
    case, n = make_case(), 1000
    write_steps(case, 0, n)
    wave = 0.01 * np.cos(np.arange(n + 1))
    write_properties(case, range(n + 1), -50 + wave, 300 + 9 * np.sin(np.arange(n + 1)))
    [line] = [line for line in sentences(report_of(case)) if line.startswith("drift")]
    assert "±" in line and "not distinguishable from zero" in line and "meV/atom/ps" in line


def test_averages_leave_equilibration_out(make_case):
    case, n = make_case(), 2000
    write_steps(case, 0, n)
    step = np.arange(n + 1)
    hot = 300 + 300 * np.exp(-step / 50) + RNG.normal(0, 5, n + 1)
    write_properties(case, step, np.zeros(n + 1), hot)
    report = report_of(case)
    begin = report["net_force"]["averages_from_step"]
    assert 100 < begin < 1000
    assert abs(report["dynamics"]["temperature_K"]["mean"] - 300.0) < 1.0 < hot.mean() - 300.0
    assert any(f"from step {begin} on" in line for line in sentences(report))


def continued_case(make_case):
    """A run of 0 to 70 with a drift of 3 eV/ps, continued to 570 with none, and to 1070."""
    case = make_case()
    for first, last, net in ((0, 70, 0.9), (70, 570, 0.2), (570, 1070, 0.4)):
        write_steps(case, first, last, net_force=net)
    step = np.arange(1071)
    energy = 3e-3 * np.minimum(step, 70) + 1e-4 * RNG.normal(size=1071)
    temperature = np.where(step <= 70, 500.0, 300.0) + RNG.normal(size=1071)
    write_properties(case, step, energy, temperature)
    return case, energy, temperature


def test_parts_of_a_continued_run_are_told_apart(make_case):
    case, _, _ = continued_case(make_case)
    report = report_of(case)
    assert report["continued_from"] == [70, 570]
    assert (report["first_step"], report["steps"], report["evaluations"]) == (570, 1070, 500)
    assert abs(report["dynamics"]["energy_drift_eV_per_ps"]) < 1e-3
    assert report["dynamics"]["temperature_K"]["mean"] == pytest.approx(300, abs=1)
    assert report["net_force"]["mean"] == pytest.approx(0.4)
    assert report["net_force"]["averages_from_step"] is None
    whole = report["whole"]
    assert (whole["first_step"], whole["evaluations"]) == (0, 1071)
    assert whole["dynamics"]["energy_drift_eV_per_ps"] > 0.02
    assert whole["net_force"]["max"] == pytest.approx(0.9)
    lines = sentences(report)
    assert lines[0].startswith("continues from step 570; this part, up to step 1070: 500 steps")
    assert any("continued at 70, 570" in line for line in lines)
    drifts = [line for line in lines if "drift of the energy" in line]
    assert len(drifts) == 2 and drifts[0] != drifts[1].strip()


def test_rows_that_stand_twice_count_once(make_case):
    case, energy, temperature = continued_case(make_case)
    expected = report_of(case)
    # what i-PI leaves that was killed at step 90 and continued from 70
    again = np.concatenate([np.arange(91), np.arange(71, 1071)])
    wrong = np.where(np.arange(len(again)) < 91, 1e3, energy[again])
    wrong[:71] = energy[:71]
    write_properties(case, again, wrong, temperature[again])
    for found, wanted in (
        (report_of(case)["dynamics"], expected["dynamics"]),
        (report_of(case)["whole"]["dynamics"], expected["whole"]["dynamics"]),
    ):
        assert found["energy_drift_eV_per_ps"] == pytest.approx(wanted["energy_drift_eV_per_ps"])
    np.testing.assert_array_equal(
        written_last([0, 1, 2, 3, 2, 3, 4]), [True, True, False, False, True, True, True]
    )
    np.testing.assert_array_equal(
        written_last([0, 1, 1, 2, 1, 1], rows_a_step=True), [True] * 3 + [False] + [True] * 2
    )


def test_a_continued_run_without_its_first_files(make_case):
    """The steps file begins where the RESTART does; i-PI's has it all, and two zeros of energy."""
    case = make_case()
    write_steps(case, 70, 100)
    energy = np.where(np.arange(101) <= 70, 50.0, 0.0)
    write_properties(case, range(101), energy, [300.0] * 101)
    report = report_of(case)
    assert report["continued_from"] == [70] and report["first_step"] == 70
    assert report["whole"]["first_step"] == 70
    for part in (report, report["whole"]):
        assert part["dynamics"]["energy_drift"]["samples"] == 30
        assert part["dynamics"]["energy_drift_eV_per_ps"] == 0.0
    assert sentences(report)[0].startswith("continues from step 70")


def test_a_run_whose_steps_file_stops_before_it(make_case):
    """Of 0 to 40, while the RESTART is of 70: the estimate starts anew, and the report with it."""
    case = make_case()
    write_steps(case, 0, 40)
    write_steps(case, 70, 100)
    energy = np.where(np.arange(101) <= 70, 50.0, 0.0)
    write_properties(case, range(101), energy, [300.0] * 101)
    report = report_of(case)
    assert report["continued_from"] == [70] and report["whole"]["first_step"] == 70
    for part in (report, report["whole"]):
        assert part["dynamics"]["energy_drift_eV_per_ps"] == 0.0


@pytest.mark.parametrize("cut", range(1, 60, 4))
def test_properties_cut_short(make_case, cut):
    case = make_case()
    write_steps(case, 0, 9)
    write_properties(case, range(10), [-5.0] * 10, [300.0] * 10)
    path = case.folder / "md.out"
    path.write_bytes(path.read_bytes()[:-cut])
    report = report_of(case)
    assert report["dynamics"]["energy_drift"]["samples"] == 9
    assert report["dynamics"]["energy_drift_eV_per_ps"] == 0.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.unlink(), "md.out does not exist"),
        (lambda path: path.write_text(""), "md.out has no 'step' and no 'time'"),
        (lambda path: path.write_text(HEADER), "nothing of these steps"),
        (lambda p: p.write_text(p.read_text().replace("step :", "x :")), "has no 'step'"),
        (lambda p: p.write_text(p.read_text().replace("conserved{", "potential{")), "'conserved'"),
        (lambda p: p.write_text(p.read_text().replace("e+05", "e+05x")), "nothing of these steps"),
        (lambda p: p.write_text(p.read_text().replace("3.00000000e+05", "nan")), "not a number"),
    ],
    ids=["no file", "empty", "no rows", "no step", "no conserved", "garbage", "nan"],
)
def test_what_is_missing_is_said(make_case, change, said):
    case = make_case()
    write_steps(case, 0, 9)
    write_properties(case, range(10), [-5.0] * 10, [300.0] * 10)
    change(case.folder / "md.out")
    lines = [line for line in sentences(report_of(case)) if line.startswith("no ")]
    assert lines and all(said in line for line in lines)


def test_several_properties_files(make_case):
    """Each quantity is taken from the first file that has it."""
    case = make_case()
    write_steps(case, 0, 9)
    write_properties(case, range(10), [-5.0] * 10, [300.0] * 10)
    (case.folder / "md.out").rename(case.folder / "md.more")
    first = "<properties filename='out'> [ step, density ] </properties>"
    xml = case.input.read_text().replace("<trajectory", f"{first}<trajectory", 1)
    xml = xml.replace("stride='1' filename='out'", "stride='1' filename='more'")
    case.input.write_text(xml)
    (case.folder / "md.out").write_text("# column 1 --> step : x\n1\n")
    assert report_of(case)["dynamics"]["temperature_K"]["mean"] == pytest.approx(300.0)


def test_a_speed_up_has_its_spread(make_case):
    case = make_case()
    write_steps(case, 0, 9)
    report = report_of(case)
    add_speed_up(report, SpeedUp([0.1, 0.2, 0.1], [0.3, 0.7, 0.4]))
    assert report["speed_up"] == pytest.approx(3.5)
    assert report["speed_up_range"] == pytest.approx([3.0, 4.0])
    [line] = [line for line in sentences(report) if line.startswith("speed-up")]
    assert line.startswith("speed-up: 3.5x (3.0 to 4.0, 3 pairs in turns)")
    add_speed_up(report, SpeedUp([0.1], [200.0], warmed_up=False))
    assert any("one pair, so no spread" in line for line in sentences(report))


def test_warnings_are_shown_again(make_case):
    case = make_case()
    write_steps(case, 0, 9)
    report = report_of(case)
    assert not any("warnings" in line for line in sentences(report))
    report["warnings"] = ["the cheap one is [strange]"]
    assert sentences(report)[-2:] == ["warnings of this run:", "  the cheap one is [strange]"]
