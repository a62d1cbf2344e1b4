"""The thermostat of the path-integral case with few beads: matrices that are right in i-PI."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms, units
from ase.io import write
from conftest import ROOT, clean_environment, mixpi
from ipi.scripting import read_output
from mixpi.analysis.statistics import mean


INPUT = ROOT / "ipi_inputs" / "he_in_w_pimd" / "piglet.xml"


def said(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "piglet.py", *arguments],
        env=clean_environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(path) -> np.ndarray:
    """Columns: ħω/kT, kinetic energy over the exact one, that of white noise."""
    rows = [line.strip("|").split("|")[1:] for line in said(str(path)).splitlines()]
    return np.array([rows[0], *rows[2:]], dtype=float)


@pytest.mark.full
def test_matrices_are_right_for_harmonic_oscillators_and_at_other_temperatures(tmp_path):
    ratios, here, white = table(INPUT)
    assert 10.0 in ratios and 15.0 in ratios
    np.testing.assert_allclose(here[ratios <= 10.0], 1.0, atol=0.002)
    np.testing.assert_allclose(here[ratios <= 15.0], 1.0, atol=0.01)
    assert white[ratios == 10.0] < 0.9  # what white noise makes of so few beads
    text = INPUT.read_text()
    begin, end = text.index("<A "), text.index("</thermostat>")
    text = text[:begin] + said(str(INPUT), "--temperature", "100") + text[end:]
    text, count = re.subn(r"(units='kelvin'>)300<", r"\g<1>100<", text)
    assert count == 2
    cold = tmp_path / "cold.xml"
    cold.write_text(text.replace(">1.0</timestep>", ">3.0</timestep>"))
    np.testing.assert_allclose(table(cold), [ratios, here, white], atol=1.1e-4)


@pytest.mark.full
def test_matrices_of_another_temperature_are_named(tmp_path):
    folder = shutil.copytree(INPUT.parent, tmp_path / "case")
    cold = folder / "cold.xml"
    cold.write_text(INPUT.read_text().replace("'kelvin'>300</temp", "'kelvin'>100</temp"))
    found = {}
    for name in ("piglet.xml", "cold.xml"):
        done = mixpi("check", "--fast", name, cwd=folder)
        assert done.returncode == 0, done.stderr
        found[name] = [line for line in done.stdout.splitlines() if "matrices" in line]
    assert not found["piglet.xml"]
    [line] = found["cold.xml"]
    assert "300 K" in line and "100 K" in line and "0.333333" in line


@pytest.mark.slow
def test_quantum_kinetic_energy_in_i_pi(tmp_path):
    """The input with other forces: helium on springs of ten times kT, about as stiff as in W."""
    atoms, thermal = Atoms("He100", np.zeros((100, 3)), cell=[50.0] * 3, pbc=True), 300 * units.kB
    write(tmp_path / "init.extxyz", atoms)
    quantum = 10.0 * thermal  # ħω, eV
    spring = atoms[0].mass * (quantum * units._e / units._hbar / units.second) ** 2
    spring *= units.Bohr**2 / units.Hartree
    harmonic = f"<pes>harmonic</pes><parameters>{{k1: {spring}}}</parameters>"
    text = INPUT.read_text()
    for old, new in (
        (r"<pes>custom.*?</parameters>", harmonic),
        (r"<total_steps>\d+<", "<total_steps>4000<"),
    ):
        text, count = re.subn(old, new, text, flags=re.DOTALL)
        assert count == 1
    (tmp_path / "input.xml").write_text(text)
    done = subprocess.run(
        [f"{sys.prefix}/bin/i-pi", "input.xml"],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    columns, _ = read_output(str(tmp_path / "md.out"))
    found = mean(columns["kinetic_cv(He)"][columns["time"] > 500.0])
    exact = 300 * 0.25 * quantum / np.tanh(0.5 * quantum / thermal)
    assert found.tells and found.error < 0.01 * exact
    assert abs(found.value - exact) < 4.0 * found.error
