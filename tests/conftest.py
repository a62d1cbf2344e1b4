"""What all tests share: small systems, and folders with everything that a run needs."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import warm
import yaml
from ase import Atoms
from ase.build import bulk
from ase.io import read
from hypothesis import settings
from mixpi.blend.levels import POOLS
from mixpi.ipi.input import read_ipi_input
from mixpi.output.records import read_steps
from mixpi.run.starting import place_of
from mixpi.structure import read_structure


# the same examples everywhere, and a machine may stand still for a while; to search for others:
# pytest --hypothesis-profile default
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "ipi_inputs" / "models"
TERSOFF = ["pair_style tersoff/mod/c", "pair_coeff * * Si.tersoff.modc Si"]
PES = """from mixpi.ipi_pes import MixingPES
__DRIVER_NAME__, __DRIVER_CLASS__ = "mixpi", "MixingPES"
"""


@dataclass
class Case:
    """A folder with an i-PI input, its YAML and its structure."""

    folder: Path
    config: dict

    @property
    def input(self) -> Path:
        return self.folder / "input.xml"

    def write(self) -> None:
        (self.folder / "mixing.yaml").write_text(yaml.safe_dump(self.config))

    def mixpi(self, *arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess:
        """A command, in a fork of a process that has the package loaded."""
        self.write()
        return warm.command(arguments, cwd=self.folder, env=clean_environment(), timeout=timeout)

    def start(self, *arguments: str) -> subprocess.Popen:
        """``mixpi run`` in the background."""
        self.write()
        return subprocess.Popen(
            [sys.executable, "-m", "mixpi.cli", "run", "input.xml", "--no-reference", *arguments],
            cwd=self.folder,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start_i_pi(self, name: str = "input.xml") -> subprocess.Popen:
        """Plain ``i-pi`` in the background, without the launcher that checks and watches."""
        self.write()
        return subprocess.Popen(
            [sys.executable, f"{sys.prefix}/bin/i-pi", name],
            cwd=self.folder,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def positions(self, bead: int = 0) -> np.ndarray:
        """All frames that i-PI wrote, (frames, n, 3), Å."""
        return np.array([a.positions for a in read(self.folder / f"md.pos_{bead}.extxyz", ":")])

    def forces(self, bead: int = 0) -> np.ndarray:
        """Forces of all frames that i-PI wrote, (frames, n, 3), eV/Å."""
        return np.array([a.get_forces() for a in read(self.folder / f"md.for_{bead}.extxyz", ":")])

    def processes(self) -> dict[int, Path]:
        """What runs in this folder or below it: pid → working folder.

        The command lines of i-PI and LAMMPS hold neither folder nor address.
        """
        found = {}
        for cwd in Path("/proc").glob("[0-9]*/cwd"):
            try:
                folder = Path(os.readlink(cwd))
            except OSError:  # it has ended, or is not ours
                continue
            if folder.is_relative_to(self.folder):
                found[int(cwd.parent.name)] = folder
        return found

    def pid_in(self, name: str) -> int:
        """The process that runs in a subfolder, e.g. "logs/cheap-0"; "." for i-PI itself."""
        [pid] = [p for p, folder in self.processes().items() if folder == self.folder / name]
        return pid

    def i_pi(self, launcher: subprocess.Popen) -> int:
        """The process of i-PI, of a run that ``start`` has started."""
        [pid] = [p for p, f in self.processes().items() if f == self.folder and p != launcher.pid]
        return pid

    def nothing_left(self) -> bool:
        """No process of this run, and no socket file."""
        pools = [pool for pool in POOLS if pool in self.config]
        sockets = [self.config[pool]["socket"].get("address") for pool in pools]
        return not self.processes() and not any(
            Path(f"/tmp/ipi_{address}").exists() for address in sockets if address
        )


def clean_environment() -> dict[str, str]:
    return dict(os.environ, OMP_NUM_THREADS="1", PYTHONWARNINGS="ignore")


def mixpi(*arguments: str, cwd: Path, timeout: float = 120.0) -> subprocess.CompletedProcess:
    """A command, in a process of its own from the start."""
    return subprocess.run(
        [sys.executable, "-m", "mixpi.cli", *arguments],
        cwd=cwd,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def wait_for(condition, seconds: float = 60.0) -> None:
    """Fail unless something comes true within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def evaluations(case: Case) -> int:
    """Rows of the steps file of a run."""
    path = case.folder / "mix.steps"
    return len(read_steps(path)["evaluation"]) if path.exists() else 0


def silicon(repeat: int = 2, *, rattle: float = 0.05, seed: int = 3) -> Atoms:
    atoms = bulk("Si", "diamond", a=5.46, cubic=True) * (repeat, repeat, repeat)
    atoms.rattle(rattle, seed=seed)
    return atoms


def driver_argv(case: Case, pool: str, *, number: int = 0) -> list[str]:
    """The command line of a driver of a pool, with its files written into ``logs``."""
    ipi_input = read_ipi_input(case.input)
    atoms = read_structure(case.folder / ipi_input.config.structure)
    place = place_of(pool, ipi_input, atoms, number=number)
    return getattr(ipi_input.config, pool).driver.argv(place, case.folder / "logs")


def ipi_xml(
    *,
    steps: int,
    beads: int = 1,
    temperature: float = 300.0,
    forcefield: str | None = None,
    forces: str = "<force forcefield='mix'/>",
    dynamics: str = "<dynamics mode='nve'><timestep units='femtosecond'>1</timestep></dynamics>",
    stride: int = 10,
    checkpoint: int = 0,
) -> str:
    """An i-PI input; the forcefield is the mixing layer unless another is given."""
    checkpoints = (
        f"<checkpoint filename='checkpoint' stride='{checkpoint}' overwrite='True'/>"
        if checkpoint
        else ""
    )
    batch = f"<batch_size>{beads}</batch_size>" if beads > 1 else ""
    forcefield = forcefield or textwrap.dedent(
        f"""\
        <ffdirect name='mix'><pes>custom</pes><pes_path>mixing_pes.py</pes_path>
        <parameters>{{config: mixing.yaml}}</parameters>{batch}</ffdirect>"""
    )
    return f"""<simulation verbosity='low' safe_stride='1'>
  <total_steps>{steps}</total_steps>
  <output prefix='md'>
    <properties stride='1' filename='out'>
      [ step, time{{femtosecond}}, conserved{{electronvolt}}, temperature{{kelvin}},
        potential{{electronvolt}} ]
    </properties>
    <trajectory filename='pos' stride='{stride}' format='ase' cell_units='ase'>
      positions
    </trajectory>
    <trajectory filename='for' stride='{stride}' format='ase' cell_units='ase'>
      forces
    </trajectory>
    {checkpoints}
  </output>
  <prng><seed>31415</seed></prng>
  {forcefield}
  <system>
    <initialize nbeads='{beads}'>
      <file mode='ase' units='ase'>init.extxyz</file>
      <velocities mode='thermal' units='kelvin'>{temperature}</velocities>
    </initialize>
    <forces>{forces}</forces>
    <motion mode='dynamics'>{dynamics}</motion>
    <ensemble><temperature units='kelvin'>{temperature}</temperature></ensemble>
  </system>
</simulation>
"""


def two_layers(
    *, beads: int = 1, contracted: int = 0, slow: bool = False, cheap: str | None = None
) -> dict:
    """What :func:`ipi_xml` needs for cheap forces and a correction of its own.

    ``slow`` puts the correction on the outer of two levels of multiple time steps.
    """

    def layer(part: str, count: int) -> str:
        batch = f"<batch_size>{count}</batch_size>" if count > 1 else ""
        return (
            f"<ffdirect name='{part}'><pes>custom</pes><pes_path>mixing_pes.py</pes_path>"
            f"<parameters>{{config: mixing.yaml, part: {part}}}</parameters>{batch}</ffdirect>"
        )

    levels = {"cheap": "[0, 1]", "delta": "[1, 0]"} if slow else {"cheap": "[1]", "delta": "[1]"}
    fewer = f" nbeads='{contracted}'" if contracted else ""
    return {
        "beads": beads,
        "forcefield": (cheap or layer("cheap", beads)) + layer("delta", contracted or beads),
        "forces": "".join(
            f"<force forcefield='{part}'{fewer if part == 'delta' else ''}>"
            f"<mts_weights>{levels[part]}</mts_weights></force>"
            for part in ("cheap", "delta")
        ),
    }


def the_rest_slow(values, *now):
    """Parameters of which all but a few are tried before a release only."""
    slow = pytest.mark.slow
    return [
        v if v in now else pytest.param(*(v if isinstance(v, tuple) else (v,)), marks=slow)
        for v in values
    ]


def command_driver(kind: str) -> str:
    """A YAML ``command`` for one of the package's toy drivers."""
    return f"{sys.executable} -m mixpi.cli driver {kind} --address {{address}}"


def faulty_driver(fault: str, *arguments: object) -> str:
    """A YAML ``command`` for a driver that misbehaves (tests/faulty_driver.py)."""
    script = ROOT / "tests" / "faulty_driver.py"
    words = " ".join(str(a) for a in arguments)
    return f"{sys.executable} {script} {{address}} {fault} {words}".strip()


def new_case(
    parent: Path,
    atoms: Atoms | None = None,
    *,
    seeds=(0,),
    regions=None,
    cheap: dict | None = None,
    expensive: dict | None = None,
    cheap_cluster: dict | None = None,
    folder: str = "case",
    **xml,
) -> Case:
    """A folder to run in: toy drivers on a small silicon cell unless told otherwise."""
    path = parent / folder
    path.mkdir()
    atoms = silicon() if atoms is None else atoms
    atoms.write(path / "init.extxyz")
    (path / "mixing_pes.py").write_text(PES)
    (path / "input.xml").write_text(ipi_xml(**{"steps": 5, **xml}))
    tag = uuid.uuid4().hex[:10]
    config = {
        "structure": "init.extxyz",
        "seeds": seeds if isinstance(seeds, str | dict) else [int(s) for s in seeds],
        "regions": regions or {"core": 2.5, "blend": 2.0, "buffer": 3.0},
        "cheap": dict(cheap or {"command": command_driver("zero")}),
        "expensive": dict(expensive or {"command": command_driver("toy")}),
    }
    if cheap_cluster:
        config["cheap_cluster"] = dict(cheap_cluster)
    for pool in [pool for pool in POOLS if pool in config]:
        address = f"mixpi-test-{tag}-{pool}"
        config[pool]["socket"] = {"address": address, **config[pool].get("socket", {})}
    case = Case(path, config)
    case.write()
    return case


@pytest.fixture
def make_case(tmp_path):
    """Factory of :class:`Case`, in a folder of this test alone (:func:`new_case`)."""
    return functools.partial(new_case, tmp_path)


@pytest.fixture
def warm_probe(monkeypatch):
    """``check`` without the second that a new process takes to load i-PI."""
    monkeypatch.setattr("mixpi.ipi.view.run_to_end", warm.run_to_end)


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    return MODELS / "si-tiny.model"


@pytest.fixture(scope="session")
def mace_tiny(tiny_model) -> dict:
    """The expensive driver of most tests with real engines."""
    return {"mace": {"model": str(tiny_model), "threads": 1}}
