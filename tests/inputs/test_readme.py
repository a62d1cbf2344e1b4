"""The README is true: each of its blocks is run."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import yaml
from ase.build import bulk
from ase.io import read
from conftest import MODELS, ROOT, clean_environment
from mixpi.cli import _parser
from mixpi.config import load_config


POTENTIALS = ROOT / "ipi_inputs" / "potentials"


def blocks(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text()
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, flags=re.S | re.M)
    assert found
    return found


def block_with(words: str, language: str = "bash") -> list[str]:
    """The lines of the one block that has these words; ``\\`` at an end joins the next line."""
    [block] = [block for block in blocks(language) if words in block]
    return [line for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def execute(line: str, cwd: Path, timeout: float = 300.0) -> str:
    """A line as one would paste it into a shell."""
    env = clean_environment()
    env["PATH"] = f"{sys.prefix}/bin:{env['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def home(tmp_path):
    """The files that the README speaks of: a crystal with a vacancy, a model, a potential."""
    atoms = bulk("Si", a=5.465, cubic=True) * 3
    del atoms[100]
    atoms.write(tmp_path / "a.extxyz")
    bulk("Si", a=5.46, cubic=True).write(tmp_path / "crystal.extxyz")
    shutil.copy(MODELS / "si-tiny.model", tmp_path / "my.model")
    shutil.copy(POTENTIALS / "si-uf3.json", tmp_path / "my.json")
    shutil.copy(POTENTIALS / "si-uf3.uf3", tmp_path)
    return tmp_path


def shorten(path: Path, steps: int) -> None:
    text = re.sub(r"<total_steps>\s*\d+\s*<", f"<total_steps>{steps}<", path.read_text())
    path.write_text(text)


@pytest.mark.full
def test_init_check_run_plot_restart_calibrate(home):
    [init] = block_with("mixpi init")
    assert "mixpi check input.xml" in execute(init, home)
    folder = home / "my_simulation"
    shorten(folder / "input.xml", 12)
    lines = block_with("mixpi check input.xml")
    assert [line.split("#")[0].split()[1] for line in lines] == ["check", "run", "plot", "run"]
    for line in lines:
        if "RESTART" in line:
            shorten(folder / "RESTART", 20)
        execute(line, folder)
    assert [frame.info["step"] for frame in read(folder / "mix.extxyz", ":")] == [0, 10, 20]
    [calibrate] = block_with("mixpi calibrate")
    output = execute(calibrate, folder)
    assert "recommended: buffer:" in output and (folder / "calibration.png").exists()


@pytest.mark.full
def test_distil(home):
    block = yaml.safe_load("\n".join(block_with("name: my", "yaml")))
    block["soft"]["snapshots"] = 4  # of the twenty, which take minutes
    block["soft"]["equilibrate"] = 100
    (home / "distil.yaml").write_text(yaml.safe_dump(block))
    distil, keys = block_with("mixpi distil")
    assert "pair_style" in execute(distil, home, timeout=600)
    assert (home / "my.uf3").exists() and "tolerance" in execute(keys, home)


def test_mixing_yaml(home):
    mixing = [block for block in blocks("yaml") if "structure: init.extxyz" in block]
    assert mixing
    for block in mixing:
        (home / "mixing.yaml").write_text(block)
        assert load_config(home / "mixing.yaml").expensive.mace.model == "my.model"


def test_yaml_of_regions_that_follow(home):
    [block] = [yaml.safe_load(block) for block in blocks("yaml") if "acts_on" in block]
    rest = [yaml.safe_load(block) for block in blocks("yaml") if "structure: init" in block]
    (home / "mixing.yaml").write_text(yaml.safe_dump(rest[0] | block))
    found = load_config(home / "mixing.yaml")
    assert found.classified and found.regions.remember and found.thermostat.acts_on == "cheap"


def test_xml_is_that_of_the_examples():
    names = ("si_vacancy_md/input.xml", "he_in_w_pimd/contracted_mts.xml")
    examples = [" ".join((ROOT / "ipi_inputs" / name).read_text().split()) for name in names]
    for block in blocks("xml"):
        parts = [" ".join(part.split()) for part in block.split("...")]
        assert any(all(part in example for part in parts) for example in examples), block


def test_commands_on_paths_are_understood():
    """The case of a path runs them (test_inputs)."""
    lines = block_with("mixpi relax")
    commands = [shlex.split(line, comments=True)[1:] for line in lines]
    assert [words[0] for words in commands] == ["relax", "path", "neb", "barrier"]
    for words in commands:
        _parser(words).parse_args(words)


@pytest.mark.full
def test_driver_as_an_ordinary_client(home):
    [line] = block_with("mixpi driver mace")
    name = f"mixpi-test-{uuid.uuid4().hex[:8]}"
    (home / "a.extxyz").rename(home / "init.extxyz")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/tmp/ipi_{name}")
        try:
            server.listen()
            env = {**clean_environment(), "PATH": f"{sys.prefix}/bin:/usr/bin:/bin"}
            words = shlex.split(line.replace("--address name", f"--address {name}"))
            driver = subprocess.Popen(words, cwd=home, env=env, stdout=subprocess.PIPE, text=True)
            server.settimeout(60)
            server.accept()[0].close()
            output, _ = driver.communicate(timeout=30)
        finally:
            Path(f"/tmp/ipi_{name}").unlink()
    assert driver.returncode == 0 and "the server has ended" in output


def test_python():
    for block in blocks("python"):
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr


def test_install():
    """Names of extras and files are right; installing is what made this environment."""
    project = (ROOT / "pyproject.toml").read_text()
    for line in block_with("pip install -c"):
        for word in shlex.split(line):
            if word.endswith(".txt"):
                assert (ROOT / word).is_file()
            for extra in re.findall(r"\[(.*)\]", word):
                assert all(re.search(rf"^{name} = \[", project, re.M) for name in extra.split(","))


def test_scripts():
    for line in block_with("./scripts/demo.sh"):
        script = ROOT / shlex.split(line, comments=True)[0]
        subprocess.run(["bash", "-n", script], check=True)
        assert script.stat().st_mode & 0o100


def test_no_block_is_forgotten():
    """Whoever writes a further block writes its test."""
    tested = (
        "mixpi init|check input|mixpi relax|mixpi distil|calibrate|driver mace|pip install|demo.sh"
    )
    for block in blocks("bash"):
        assert re.search(tested, block), block
    kinds = set(re.findall(r"^ *```(\w+)$", (ROOT / "README.md").read_text(), flags=re.M))
    assert kinds == {"bash", "yaml", "xml", "python", "text"}
