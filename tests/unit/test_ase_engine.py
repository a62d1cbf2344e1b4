"""Any ASE calculator: right ones in all environments, wrong ones in all ways that people find."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from conftest import clean_environment, silicon
from driver_server import listening
from mixpi.drivers import ase_client
from mixpi.drivers.ase_engine import AseEngine
from mixpi.drivers.ase_environment import ase_command, describe
from mixpi.errors import MixpiError


LJ = "ase.calculators.lj:LennardJones"
ARGUMENTS = {"sigma": 2.3, "epsilon": 0.1, "rc": 6.0, "smooth": True}
#: Calculators as people write them.
OWN = '''
import sys
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

class Base(Calculator):
    """Springs to the origin."""
    implemented_properties = ["energy", "forces"]
    def __init__(self, k=1.0, **options):
        super().__init__(**options)
        self.k, self.calls = k, 0
    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        x = self.atoms.positions
        self.results = {"energy": self.k / 2 * (x**2).sum(), "forces": -self.k * x}
        self.spoil(self.results)
    def spoil(self, results):
        pass

class NaN(Base):
    def spoil(self, results):
        results["forces"][-1, 2] = np.nan

class InfiniteEnergy(Base):
    def spoil(self, results):
        results["energy"] = np.inf

class Few(Base):
    def spoil(self, results):
        results["forces"] = results["forces"][:2]

class Words(Base):
    def spoil(self, results):
        results["forces"] = "none today"

class Raises(Base):
    def spoil(self, results):
        print("about to fail")
        raise RuntimeError("SCF not\\nconverged")

class Leaves(Base):
    def spoil(self, results):
        sys.exit(3)

class Chatty(Base):
    def spoil(self, results):
        print("step", "x" * 5000)

class OnlyEnergy(Base):
    implemented_properties = ["energy"]

class Stress(Base):
    implemented_properties = ["energy", "forces", "stress"]
    def spoil(self, results):
        results["stress"] = np.arange(1.0, 7.0)

class Promises(Base):
    """Declares what it does not give."""
    implemented_properties = ["energy", "forces", "stress", "free_energy", "energies"]

class Sites(Base):
    implemented_properties = ["energy", "forces", "energies"]
    def spoil(self, results):
        results["energies"] = self.k / 2 * (self.atoms.positions**2).sum(axis=1)

class WrongSites(Sites):
    def spoil(self, results):
        super().spoil(results)
        results["energies"] += 0.1

class Free(Base):
    """The forces are those of the free energy."""
    implemented_properties = ["energy", "forces", "free_energy"]
    def spoil(self, results):
        results["free_energy"] = results["energy"]
        results["energy"] = results["energy"] + 0.5

class Stops(Base):
    """As if a signal had come."""
    def spoil(self, results):
        from mixpi.drivers.client import Stopped
        raise Stopped("SIGTERM")

def factory(k, *, units="eV"):
    return Base(k)

def fails():
    raise ValueError("no licence")

def nothing():
    print("nothing here")

def the_class():
    return Base

def shared(k=1.0, kept=[]):
    kept += [] if kept else [Base(k)]
    return kept[0]

number = 7
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a module of calculators, as one lies beside a YAML file."""
    (tmp_path / "springs.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("springs", "broken", "needy", "quits", "late"):
        sys.modules.pop(name, None)


def springs(own: Path, name: str, **options) -> AseEngine:
    return AseEngine(f"springs:{name}", folder=own, **options)


def evaluate(engine: AseEngine, atoms: Atoms):
    return engine.evaluate(atoms.numbers, atoms.positions, atoms.cell.array)


def copper(count: int, seed: int = 1) -> Atoms:
    atoms = bulk("Cu", cubic=True) * (3, 3, 3)
    atoms.set_cell(atoms.cell.array @ [[1, 0.05, 0], [0, 1, 0], [0.1, 0, 1.02]], scale_atoms=True)
    atoms.rattle(0.1, seed=seed)
    return atoms[:count]


class TestEvaluation:
    def test_equals_the_calculator_itself(self):
        """One after another, of any size, as a fresh calculator for each."""
        engine = AseEngine(LJ, arguments=ARGUMENTS)
        for count in (108, 40, 41, 1, 108, 2):
            atoms = copper(count)
            energy, forces, virial = evaluate(engine, atoms)
            atoms.calc = LennardJones(**ARGUMENTS)
            assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
            np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-12)
            wanted = -atoms.get_stress(voigt=False) * atoms.get_volume()
            np.testing.assert_allclose(virial, wanted, atol=1e-10)

    def test_virial_is_minus_the_derivative_by_strain(self):
        engine, atoms, step = AseEngine(LJ, arguments=ARGUMENTS), copper(108), 1e-5
        _, _, virial = evaluate(engine, atoms)
        for a, b in ((0, 0), (0, 1), (1, 2), (2, 0)):
            energies = []
            for h in (step, -step):
                moved, strain = atoms.copy(), np.eye(3)
                strain[a, b] += h
                moved.set_cell(atoms.cell.array @ strain, scale_atoms=True)
                energies.append(evaluate(engine, moved)[0])
            slope = (energies[0] - energies[1]) / (2 * step)
            assert virial[a, b] == pytest.approx(-slope, abs=1e-4 * abs(virial).max())

    def test_far_from_home_and_permuted(self):
        engine, atoms = AseEngine(LJ, arguments=ARGUMENTS), copper(60)
        energy, forces, _ = evaluate(engine, atoms)
        order = np.random.default_rng(0).permutation(60)
        away = np.random.default_rng(1).integers(-30, 31, (60, 3)) @ atoms.cell.array
        moved = atoms[order]
        moved.positions += away
        again, permuted, _ = evaluate(engine, moved)
        assert again == pytest.approx(energy, abs=1e-9)
        np.testing.assert_allclose(permuted, forces[order], atol=1e-9)

    def test_species_may_change(self):
        """Same number of atoms, same places: other forces all the same."""
        engine, atoms = AseEngine("ase.calculators.emt:EMT"), copper(108)
        first = evaluate(engine, atoms)[0]
        atoms.numbers[::2] = 79
        second, forces, _ = evaluate(engine, atoms)
        atoms.calc = EMT()
        assert second == pytest.approx(atoms.get_potential_energy()) and second != first
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-12)

    def test_no_atoms(self):
        engine = AseEngine(LJ)
        energy, forces, virial = engine.evaluate([], np.zeros((0, 3)), np.eye(3) * 9)
        assert energy == 0 and forces.shape == (0, 3) and not virial.any()

    def test_results_of_one_call_are_not_those_of_another(self, own):
        """Who keeps the arrays of a call has them unchanged after the next one."""
        engine = springs(own, "Base")
        atoms = Atoms("Si2", [[1, 1, 1], [2, 2, 2]], cell=[9, 9, 9])
        _, forces, _ = evaluate(engine, atoms)
        kept = forces.copy()
        atoms.positions += 1
        evaluate(engine, atoms)
        np.testing.assert_array_equal(forces, kept)

    def test_the_energy_is_that_of_the_forces(self, own):
        atoms = Atoms("Si", [[1, 0, 0]], cell=[9, 9, 9])
        assert evaluate(springs(own, "Free"), atoms)[0] == pytest.approx(0.5)
        engine = springs(own, "Promises")
        for _ in range(2):
            assert evaluate(engine, atoms)[0] == pytest.approx(0.5)

    def test_stress_is_taken_where_it_is(self, own):
        atoms = Atoms("Si", [[1, 0, 0]], cell=[2, 3, 4])
        _, _, virial = evaluate(springs(own, "Stress"), atoms)
        np.testing.assert_allclose(virial, -24 * np.array([[1, 6, 5], [6, 2, 4], [5, 4, 3]]))
        for name in ("Base", "Promises"):
            engine = springs(own, name)
            assert np.isnan(evaluate(engine, atoms)[2]).all()
            assert engine.calculator.calls == 1 + (name == "Promises")
        with pytest.raises(MixpiError, match="gives no stress, only energy, forces"):
            springs(own, "Base", stress=True)
        with pytest.raises(MixpiError, match="failed for 1 atoms"):
            evaluate(springs(own, "Promises", stress=True), atoms)

    def test_site_energies(self, own):
        atoms = Atoms("Si2", [[1, 1, 1], [2, 2, 2]], cell=[9, 9, 9])
        args = atoms.numbers, atoms.positions, atoms.cell.array
        engine = springs(own, "Sites")
        assert engine.has_site_energies and not engine.has_masked_forces
        np.testing.assert_allclose(engine.site_energies(*args), [1.5, 6.0])
        assert engine.site_energies([], np.zeros((0, 3)), np.eye(3)).shape == (0,)
        with pytest.raises(MixpiError, match=r"sum up to 7\.7 eV, the energy is 7\.5 eV"):
            springs(own, "WrongSites").site_energies(*args)
        assert not springs(own, "Base").has_site_energies
        with pytest.raises(MixpiError, match="declares no energies"):
            springs(own, "Base").site_energies(*args)
        with pytest.raises(MixpiError, match="declares energies of atoms, but gives none"):
            springs(own, "Promises").site_energies(*args)
        with pytest.raises(MixpiError, match="no derivatives of single site energies"):
            engine.evaluate(*args, mask=[True, False])


class TestWrongResults:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("NaN", "returned forces with NaN"),
            ("InfiniteEnergy", "returned energy with NaN or infinity"),
            ("Few", r"returned forces of shape \(2, 3\); \(3, 3\) is expected"),
            ("Words", r"returned forces that are no numbers \(str\)"),
            ("Raises", r"failed for 3 atoms \(CSi2\): RuntimeError: SCF not converged \(.*springs"),
            ("Raises", "It had printed:\nabout to fail"),
            ("Leaves", "failed for 3 atoms .*SystemExit: 3"),
        ],
    )
    def test_are_refused(self, own, name, message):
        atoms = Atoms("SiCSi", np.eye(3), cell=[9, 9, 9])
        with pytest.raises(MixpiError, match=message):
            evaluate(springs(own, name), atoms)

    def test_a_failure_does_not_last(self, own):
        engine = springs(own, "Raises")
        atoms = Atoms("SiCSi", np.eye(3), cell=[9, 9, 9])
        with pytest.raises(MixpiError):
            evaluate(engine, atoms)
        engine.calculator.spoil = lambda results: None
        assert evaluate(engine, atoms)[0] == pytest.approx(1.5)

    def test_species_that_it_does_not_know(self):
        with pytest.raises(MixpiError, match=r"failed for 1 atoms \(W\): NotImplementedError"):
            evaluate(AseEngine("ase.calculators.emt:EMT"), Atoms("W", cell=[9, 9, 9]))
        engine = AseEngine("ase.calculators.emt:EMT", species=["Cu", "Au"])
        assert engine.numbers == (29, 79)
        with pytest.raises(MixpiError, match="is not for W, only for Cu Au"):
            engine.require(["Cu", "W"])
        with pytest.raises(MixpiError, match="is not for W"):
            evaluate(engine, Atoms("W", cell=[9, 9, 9]))
        with pytest.raises(MixpiError, match="Xx1: no chemical symbol"):
            AseEngine(LJ, species=["Xx1"])

    def test_a_signal_is_no_failure(self, own):
        from mixpi.drivers.client import Stopped

        with pytest.raises(Stopped):
            evaluate(springs(own, "Stops"), Atoms("Si", cell=[9, 9, 9]))

    def test_what_it_prints_is_not_passed_on(self, own, capfd):
        engine = springs(own, "Chatty")
        for x in range(3):
            evaluate(engine, Atoms("Si", [[x, 0, 0]], cell=[9, 9, 9]))
        assert capfd.readouterr() == ("", "")


class TestFactories:
    def test_defaults(self):
        engine = AseEngine(LJ)
        assert engine.numbers is None and engine.interaction_range is None
        engine.require(["Og"])
        assert AseEngine(LJ, interaction_range=7.5).interaction_range == 7.5

    def test_functions_and_arguments(self, own):
        engine = springs(own, "factory", arguments={"k": 3.0, "units": "eV"})
        assert engine.calculator.k == 3.0
        assert springs(own, "shared").calculator is springs(own, "shared").calculator

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("springs", "is not of the form module:factory"),
            ("springs:", "is not of the form"),
            ("./springs.py:Base", "is not of the form"),
            ("sprungs:Base", "no module 'sprungs'.*neither a file in .* nor installed"),
            ("ase.calculators.gone:X", "no module 'ase.calculators.gone'"),
            ("springs:Bass", r"springs.py\) has no 'Bass'; do you mean 'Base'\?"),
            ("springs:Base.gone", "has no 'Base.gone'"),
            ("springs:number", "is no class or function but of type int"),
            ("springs:nothing", "returned NoneType, which is no ASE calculator"),
            ("springs:the_class", "returned the class Base"),
            ("springs:OnlyEnergy", "gives no forces, only energy"),
            ("springs:fails", r"springs:fails\(\) cannot be made: ValueError: no licence \(.*line"),
        ],
    )
    def test_wrong_names(self, own, target, message):
        with pytest.raises(MixpiError, match=message):
            AseEngine(target, folder=own)

    @pytest.mark.parametrize(
        ("name", "arguments", "message"),
        [
            ("factory", {}, "missing a required argument: 'k'; its arguments are .k, .*units"),
            ("factory", {"k": 1, "kk": 2}, "unexpected keyword argument 'kk'"),
            ("Base", {"k": 1, "label": 5}, r"springs:Base\(k=1, label=5\) cannot be made"),
        ],
    )
    def test_wrong_arguments(self, own, name, arguments, message):
        with pytest.raises(MixpiError, match=message):
            springs(own, name, arguments=arguments)

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("broken", "def f(:\n", "module broken .* cannot be imported: SyntaxError: .*line 1"),
            ("needy", "import no_such_thing\n", "needs 'no_such_thing', which is not installed"),
            ("quits", "import sys; print('bye'); sys.exit(1)\n", "SystemExit: 1.*\n.*\nbye"),
        ],
    )
    def test_modules_that_cannot_be_imported(self, own, name, text, message):
        (own / f"{name}.py").write_text(text)
        with pytest.raises(MixpiError, match=message):
            AseEngine(f"{name}:f", folder=own)

    def test_a_file_is_not_taken_for_an_installed_module(self, own):
        (own / "json.py").write_text("raise RuntimeError\n")
        (own / "late.py").write_text("import json\nfrom springs import Base\njson.dumps({})\n")
        assert AseEngine("late:Base", folder=own).calculator.k == 1.0


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> Path:
    """An environment with a Python alone."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    return folder


@pytest.fixture(scope="module")
def ase_python(tmp_path_factory) -> Path:
    """An environment with ase and what it needs, without mixpi, i-PI and torch."""
    folder = tmp_path_factory.mktemp("ase") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for name in ("ase", "numpy", "numpy.libs", "scipy", "scipy.libs"):
        source = next(Path(p) / name for p in sys.path if (Path(p) / name).is_dir())
        (packages / name).symlink_to(source)
    return folder


def script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


class TestEnvironments:
    def test_another_environment(self, ase_python, own):
        code = "import ase, importlib.util as u; assert not u.find_spec('mixpi')"
        subprocess.run([ase_python / "bin" / "python", "-c", code], check=True)
        command = ase_command(
            "springs:Sites",
            arguments={"k": 2.0},
            python=str(ase_python),
            folder=own,
            species=["Si"],
            interaction_range=3.5,
        )
        found = describe(command, environment=clean_environment())
        assert found["evaluated_by"] == "Sites" and found["numbers"] == [14]
        assert found["interaction_range"] == 3.5 and found["has_site_energies"] is True
        with pytest.raises(MixpiError, match="is not for W, only for Si"):
            describe([*command, "--require", "Si,W"], environment=clean_environment())

    def test_says_what_the_calculator_says(self, ase_python, own):
        command = ase_command("springs:fails", python=str(ase_python), folder=own)
        with pytest.raises(MixpiError, match=r"^ASE calculator springs:fails\(\) .*no licence"):
            describe(command, environment=clean_environment())

    def test_of_mixpi_itself(self, own, tmp_path):
        """What the calculator prints does not come into the answer."""
        command = ase_command("springs:nothing", folder=own)
        with pytest.raises(MixpiError, match="NoneType"):
            describe(command, environment=clean_environment())
        (own / "late.py").write_text(
            "import os\nos.write(1, b'hello\\n')\nfrom mixpi import MixingCalculator\n"
            "from springs import *\n"
        )
        found = describe(ase_command("late:Base", folder=own), environment=clean_environment())
        assert found["evaluated_by"] == "Base"

    @pytest.mark.full
    def test_what_fails_at_the_first_evaluation(self, own):
        """As ``check`` asks: many a calculator is made, and then has no parameters."""
        (own / "fails.py").write_text(
            "from ase.calculators.emt import EMT\n"
            "class Fails(EMT):\n"
            "    def calculate(self, atoms, *given):\n"
            "        raise ValueError(f'nothing is known of {len(atoms)} atoms')\n"
        )
        command = ase_command("fails:Fails", folder=own)
        assert describe(command, environment=clean_environment())["evaluated_by"] == "Fails"
        empty = silicon(1)[:0]
        assert describe(command, environment=clean_environment(), structure=empty)
        with pytest.raises(MixpiError, match=r"fails:Fails failed for 8 atoms .*nothing is known"):
            describe(command, environment=clean_environment(), structure=silicon(1))

    def test_without_ase(self, bare_python):
        command = ase_command(LJ, python=str(bare_python / "bin" / "python"))
        with pytest.raises(MixpiError, match=r"has no ase .*venv/bin/python -m pip install ase"):
            describe(command, environment=clean_environment())

    def test_too_old(self, monkeypatch):
        monkeypatch.setattr(ase_client, "OLDEST", (99, 1))
        monkeypatch.setattr(sys, "path", list(sys.path))
        with pytest.raises(SystemExit, match=r"is of version 3\.\d+; 99\.1 is needed"):
            ase_client.start()

    def test_what_is_no_python(self, tmp_path):
        for text in (
            "#!/bin/sh\nexit 0\n",
            "#!/bin/sh\necho '7'\n",
            "#!/bin/sh\necho no; exit 2\n",
        ):
            command = ase_command(LJ, python=script(tmp_path / "python", text))
            with pytest.raises(MixpiError, match="is no Python that can run an ASE calculator"):
                describe(command, environment=clean_environment())
        command = ase_command(LJ, python=script(tmp_path / "python", "#!/no/such/program\n"))
        with pytest.raises(MixpiError, match="python"):
            describe(command, environment=clean_environment())

    def test_what_does_not_exist(self, tmp_path):
        (tmp_path / "text").write_text("")
        for python, message in (
            ("gone/bin/python", "gone/bin/python does not exist"),
            ("no-such-python", "no-such-python does not exist"),
            ("./text", "text is not executable"),
            (".", "has no bin/python"),
        ):
            with pytest.raises(MixpiError, match=message):
                ase_command(LJ, python=python, folder=tmp_path)

    def test_a_bare_name_is_looked_for_on_the_path(self, tmp_path, monkeypatch):
        """Not beside the Python of mixpi, which is another environment."""
        monkeypatch.setenv("PATH", str(tmp_path))
        wanted = script(tmp_path / Path(sys.executable).name, "#!/bin/sh\n")
        assert ase_command(LJ, python=Path(sys.executable).name)[0] == wanted

    def test_relative_places_are_those_of_the_configuration(self, tmp_path, monkeypatch):
        home = tmp_path / "home"
        (home / "venv" / "bin").mkdir(parents=True)
        (home / "model.pt").write_text("")
        (home / "cpu").write_text("")
        (home / "venv" / "bin" / "python").symlink_to(sys.executable)
        monkeypatch.chdir(tmp_path)
        arguments = {"model": "model.pt", "device": "cpu", "list": ["model.pt", "gone.pt", 3]}
        for python in ("venv", "venv/bin/python"):
            argv = ase_command(LJ, arguments=arguments, python=python, folder=Path("home"))
            assert argv[0] == str(home / "venv" / "bin" / "python")
            model = str(home / "model.pt")
            assert json.loads(argv[argv.index("--arguments") + 1]) == {
                "model": model,
                "device": "cpu",
                "list": [model, "gone.pt", 3],
            }
            assert argv[argv.index("--folder") + 1] == str(home)

    @pytest.mark.parametrize("value", [np.eye(2), float("nan"), object()])
    def test_arguments_that_cannot_be_handed_over(self, value):
        with pytest.raises(MixpiError, match="can be handed over"):
            ase_command(LJ, arguments={"x": value})


class TestDriver:
    @pytest.fixture
    def started(self):
        processes = []

        def start(command, *flags) -> subprocess.Popen:
            processes.append(
                subprocess.Popen(
                    [*command, *flags],
                    env=clean_environment(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
            return processes[-1]

        yield start
        for process in processes:
            process.kill()
            process.communicate(timeout=60)

    def test_serves_from_its_environment(self, ase_python, started):
        command = ase_command(LJ, arguments=ARGUMENTS, python=str(ase_python))
        with listening() as server:
            process = started(command, "--address", server.address)
            driver = server.accept()
            for count in (40, 108, 1):
                atoms = copper(count)
                energy, forces, virial, facts = driver.ask(atoms)
                atoms.calc = LennardJones(**ARGUMENTS)
                assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
                np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-9)
                wanted = -atoms.get_stress(voigt=False) * atoms.get_volume()
                np.testing.assert_allclose(virial, wanted, atol=1e-8)
                assert facts["driver_seconds"] > 0
            driver.end()
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and "ase: the server has ended, 3 evaluations" in output

    def test_a_failure_ends_it_with_words(self, ase_python, own, started):
        command = ase_command("springs:Raises", python=str(ase_python), folder=own)
        with listening() as server:
            process = started(command, "--address", server.address)
            driver = server.accept()
            with pytest.raises((OSError, AssertionError)):
                driver.ask(copper(5))
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 1 and "Traceback" not in output
        assert "ase: error: ASE calculator springs:Raises failed for 5 atoms" in output

    def test_a_signal_ends_it(self, ase_python, started):
        with listening() as server:
            process = started(ase_command(LJ, python=str(ase_python)), "--address", server.address)
            server.accept().ask(copper(5))
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and "stopped by SIGTERM" in output

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ([], "--address is needed"),
            (["--address", "x", "--template", "gone.xyz"], "template gone.xyz: FileNotFoundError"),
            (["--address", "x", "--arguments", "["], "no JSON"),
            (["--address", "x", "--arguments", "[1]"], "a JSON object is needed"),
        ],
    )
    def test_flags(self, started, flags, message):
        process = started([sys.executable, ase_client.__file__, LJ], *flags)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1 and message in output and "Traceback" not in output


@pytest.mark.slow
def test_in_an_environment_from_the_registry(tmp_path, own):
    """ase installed as users do it, and nothing else."""
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip"]
    subprocess.run([*pip, "install", "--quiet", "ase"], check=True)
    installed = subprocess.run([*pip, "list"], check=True, capture_output=True, text=True).stdout
    assert "mixpi" not in installed and "torch" not in installed
    command = ase_command(LJ, arguments=ARGUMENTS, python=str(folder))
    assert describe(command, environment=clean_environment())["evaluated_by"] == "LennardJones"
    with listening() as server:
        process = subprocess.Popen([*command, "--address", server.address])
        driver = server.accept()
        atoms = copper(30)
        _, forces, _, _ = driver.ask(atoms)
        driver.end()
        assert process.wait(60) == 0
    atoms.calc = LennardJones(**ARGUMENTS)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-9)
