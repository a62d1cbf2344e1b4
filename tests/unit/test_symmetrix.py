"""MACE by symmetrix: what mace-torch says, for whatever structure, and from a cache that lasts."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from conftest import MODELS, silicon
from mixpi import MixpiError
from mixpi.drivers.mace import MaceEngine
from mixpi.drivers.mace_files import file_hash
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from numpy.testing import assert_allclose
from test_mace_files import Evil


pytest.importorskip("symmetrix")

#: Said by torch when models are made here, not when mixpi reads them.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:To copy construct")

#: Further cases of what is tested anyway.
SLOW = pytest.mark.slow

#: Of the largest force: the tables of radial functions, of which 5e-8 was measured.
CLOSE = 2e-7


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of these tests alone."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXPI_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def engine(cache, tiny_model) -> SymmetrixEngine:
    return SymmetrixEngine(tiny_model)


@pytest.fixture(scope="module")
def torch_engine(tiny_model) -> MaceEngine:
    return MaceEngine(tiny_model, threads=1)


def same(one, two, *, close: float = CLOSE) -> None:
    """Energies, forces and virials agree."""
    energy, forces, virial = two
    scale = close * max(np.abs(forces).max(initial=0.0), 1.0)
    assert one[0] == pytest.approx(energy, abs=scale * max(len(forces), 1))
    assert_allclose(one[1], forces, atol=scale, rtol=0.0)
    assert_allclose(one[2], virial, atol=20 * scale * max(len(forces), 1), rtol=0.0)


def cells():
    """Structures that differ in what may go wrong."""
    generator = np.random.default_rng(1)
    crystal = silicon(2, rattle=0.1)
    yield "bulk", crystal.numbers, crystal.positions, crystal.cell.array
    few = silicon(1, rattle=0.2)
    skewed = few.cell.array @ (np.eye(3) + generator.uniform(-0.3, 0.3, size=(3, 3)))
    yield "triclinic", few.numbers, few.get_scaled_positions() @ skewed, skewed
    left = few.cell.array[[1, 0, 2]]
    yield "left-handed", few.numbers, few.get_scaled_positions() @ left, left
    primitive = bulk("Si", "diamond", a=5.4)
    primitive.rattle(0.1, seed=2)
    yield "smaller than the cutoff", primitive.numbers, primitive.positions, primitive.cell.array
    yield "one atom, sees itself", [14], [[0.3, 0.1, 7.0]], 2.4 * np.eye(3) + 0.1
    yield "one atom alone", [14], [[0.3, 0.1, 0.2]], 20.0 * np.eye(3)
    cluster = crystal.positions[:20]
    yield "cluster", crystal.numbers[:20], cluster, 40.0 * np.eye(3)
    strewn = crystal.positions + generator.integers(-9, 9, crystal.positions.shape) @ crystal.cell
    yield "far from home", crystal.numbers, strewn, crystal.cell.array
    yield "no atoms", np.zeros(0, dtype=int), np.zeros((0, 3)), 10.0 * np.eye(3)


@pytest.mark.parametrize("numbers, positions, cell", [c[1:] for c in cells()],
                         ids=[c[0] for c in cells()])  # fmt: skip
def test_what_mace_torch_says(engine, torch_engine, numbers, positions, cell):
    found = engine.evaluate(numbers, positions, cell)
    same(found, torch_engine.evaluate(numbers, positions, cell))
    sites, wanted = (e.site_energies(numbers, positions, cell) for e in (engine, torch_engine))
    assert_allclose(sites, wanted, atol=1e-6)
    assert sites.sum() == pytest.approx(found[0], abs=1e-9)
    for chosen in (np.arange(len(numbers)) % 3 == 0, np.zeros(len(numbers), dtype=bool)):
        one, two = (e.evaluate(numbers, positions, cell, chosen) for e in (engine, torch_engine))
        assert np.isnan(one[2]).all() and np.isnan(two[2]).all()
        same((*one[:2], 0.0), (*two[:2], 0.0))


def test_forces_and_virial_are_derivatives(engine):
    atoms = silicon(1, rattle=0.2)
    cell = atoms.cell.array @ (np.eye(3) + 0.1 * np.random.default_rng(2).normal(size=(3, 3)))
    positions, h = atoms.get_scaled_positions() @ cell, 1e-4
    _, forces, virial = engine.evaluate(atoms.numbers, positions, cell)

    def energy(moved=positions, box=cell):
        return engine.evaluate(atoms.numbers, moved, box)[0]

    for atom, axis in ((0, 0), (3, 1), (7, 2)):
        step = np.zeros_like(positions)
        step[atom, axis] = h
        slope = (energy(positions + step) - energy(positions - step)) / (2 * h)
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-6)
    for a, b in ((0, 0), (1, 2), (2, 1)):
        strain = np.zeros((3, 3))
        strain[a, b] = h
        up, down = np.eye(3) + strain, np.eye(3) - strain
        slope = (energy(positions @ up, cell @ up) - energy(positions @ down, cell @ down)) / 2 / h
        # strains here act from the right: d x_b = x_a strain_ab
        assert virial[a, b] == pytest.approx(-slope, abs=1e-5)
    assert_allclose(virial, virial.T, atol=1e-8)


def test_symmetries(engine):
    from scipy.spatial.transform import Rotation

    atoms = silicon(1, rattle=0.2)
    energy, forces, _ = engine.evaluate(atoms.numbers, atoms.positions, atoms.cell.array)
    turn = Rotation.random(rng=np.random.default_rng(3)).as_matrix().T * [1, 1, -1]
    turned = engine.evaluate(atoms.numbers, atoms.positions @ turn + 3.0, atoms.cell.array @ turn)
    assert turned[0] == pytest.approx(energy, abs=1e-8)
    assert_allclose(turned[1], forces @ turn, atol=1e-8)
    order = np.random.default_rng(4).permutation(len(atoms))
    mixed = engine.evaluate(atoms.numbers[order], atoms.positions[order], atoms.cell.array)
    assert_allclose(mixed[1], forces[order], atol=1e-8)


def test_nothing_of_the_last_call_is_left(engine):
    """Structures of changing size, in one engine, as in a new one each."""
    calls = [c[1:] for c in cells()]
    wanted = [engine.evaluate(*call) for call in calls]
    for number in np.random.default_rng(5).permutation(3 * len(calls)) % len(calls):
        same(engine.evaluate(*calls[number]), wanted[number], close=1e-12)
    # the same arrays with other content
    atoms = silicon(1, rattle=0.1)
    positions = atoms.positions
    before = engine.evaluate(atoms.numbers, positions, atoms.cell.array)
    positions[0, 0] += 0.3
    after = engine.evaluate(atoms.numbers, positions, atoms.cell.array)
    assert np.abs(after[1] - before[1]).max() > 0.1


@pytest.mark.full
def test_single_precision(cache, tiny_model, torch_engine):
    engine = SymmetrixEngine(tiny_model, dtype="float32")
    for _, *structure in cells():
        same(engine.evaluate(*structure), torch_engine.evaluate(*structure), close=3e-5)


def test_large_structures_take_less_memory(engine, monkeypatch):
    """Radial functions are computed again where they are needed."""
    atoms = silicon(2, rattle=0.1)
    structure = atoms.numbers, atoms.positions, atoms.cell.array
    wanted = engine.evaluate(*structure)
    monkeypatch.setattr("mixpi.drivers.symmetrix_network.MOST_BYTES", 1000)
    same(engine.evaluate(*structure), wanted, close=1e-11)
    assert engine._network._evaluator.streamed_edges_mode == "generic"
    # and partial evaluation has them again
    chosen = np.arange(len(atoms)) < 9
    masked = engine.evaluate(*structure, mask=chosen)
    monkeypatch.undo()
    same((*masked[:2], 0.0), (*engine.evaluate(*structure, mask=chosen)[:2], 0.0), close=1e-11)


def test_what_it_says_of_the_model(engine, torch_engine):
    for fact in ("numbers", "cutoff", "interaction_range", "heads", "head", "sha256", "species"):
        assert getattr(engine, fact) == getattr(torch_engine, fact)
    assert engine.has_site_energies
    with pytest.raises(MixpiError, match="does not know Ge; it was trained for Si"):
        engine.evaluate([14, 32], [[0, 0, 0], [2, 0, 0]], 10 * np.eye(3))
    with pytest.raises(MixpiError, match="does not know U"):
        engine.evaluate([92], [[0, 0, 0]], 10 * np.eye(3))


@pytest.mark.parametrize("cell, position, reason", [
    (np.zeros((3, 3)), 0.0, "singular"),
    (np.full((3, 3), np.nan), 0.0, "NaN"),
    (10 * np.eye(3), np.inf, "positions contain NaN or infinity"),
])  # fmt: skip
def test_structures_that_are_none(engine, cell, position, reason):
    with pytest.raises(MixpiError, match=reason):
        engine.evaluate([14], [[position, 0.0, 0.0]], cell)


def test_settings_that_are_none(tiny_model, tmp_path):
    with pytest.raises(MixpiError, match="float64 or float32, not in 'float16'"):
        SymmetrixEngine(tiny_model, dtype="float16")
    with pytest.raises(MixpiError, match="modes plain and direct, not 'fast'"):
        SymmetrixEngine(tiny_model, mode="fast")
    with pytest.raises(MixpiError, match="has no head 'dft'"):
        SymmetrixEngine(tiny_model, head="dft")
    with pytest.raises(MixpiError, match="foundation models are known by name to mace-torch"):
        SymmetrixEngine("medium-mpa-0")


def test_it_is_not_installed(tiny_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "symmetrix", None)
    with pytest.raises(MixpiError, match=r"needs symmetrix-xl .*pip install 'mixpi\[symmetrix\]'"):
        SymmetrixEngine(tiny_model)


def without_torch(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """A process in which torch and mace-torch cannot be imported evaluates an atom."""
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['mace'] = None\n"
        "from mixpi.drivers.symmetrix_engine import SymmetrixEngine\n"
        "engine = SymmetrixEngine(sys.argv[1])\n"
        "print(engine.evaluate([14], [[0, 0, 0]], [[9, 0, 0], [0, 9, 0], [0, 0, 9]])[0])\n"
    )
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


class TestCache:
    """A model is converted once, whatever happens to the cache."""

    @staticmethod
    def files(folder: Path, model: Path) -> list[Path]:
        return sorted((folder / "symmetrix").glob(f"{model.stem}-*.json"))

    def test_torch_is_not_needed_again(self, cache, engine, tiny_model):
        done = without_torch(str(tiny_model))
        assert done.returncode == 0, done.stderr
        alone = engine.evaluate([14], [[0, 0, 0]], 9 * np.eye(3))[0]
        assert float(done.stdout) == pytest.approx(alone, abs=1e-9) and not done.stderr

    def test_it_is_needed_for_the_first_time(self, tiny_model, tmp_path):
        done = without_torch(str(tiny_model), MIXPI_CACHE=str(tmp_path))
        assert done.returncode and "needs mace-torch" in done.stderr

    @pytest.mark.full
    def test_damaged_files_are_converted_anew(self, cache, engine, tiny_model):
        from mixpi.drivers.symmetrix_files import _facts

        [file] = (f for f in self.files(cache, tiny_model) if b'points":2048' in f.read_bytes())
        good = file.read_bytes()
        assert _facts(file).layers == 2
        middle = good.index(b".", len(good) // 2) + 3
        other = b"1" if good[middle : middle + 1] != b"1" else b"2"
        for damage in (
            b"",
            b"no model",
            good[:middle],
            good[:-1],
            good.replace(b'"layers": 2', b'"layers": 1'),
            good[:middle] + other + good[middle + 1 :],
        ):
            file.write_bytes(damage)
            assert damage != good and _facts(file) is None
        again = SymmetrixEngine(tiny_model)
        assert again.interaction_range == engine.interaction_range
        assert file.read_bytes() == good
        assert list(file.parent.glob(".part*")) == []

    @pytest.mark.parametrize("name", ["MIXPI_CACHE", "XDG_CACHE_HOME", "HOME"])
    def test_where_it_is(self, name, tmp_path, monkeypatch):
        from mixpi.drivers.cache import cache_folder

        monkeypatch.delenv("MIXPI_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv(name, str(tmp_path))
        below = {"MIXPI_CACHE": "", "XDG_CACHE_HOME": "mixpi", "HOME": ".cache/mixpi"}[name]
        assert cache_folder() == tmp_path / below
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        assert cache_folder().is_absolute()

    @pytest.mark.full
    def test_a_folder_that_cannot_be_written(self, tiny_model, tmp_path, monkeypatch, capfd):
        (tmp_path / "file").touch()
        monkeypatch.setenv("MIXPI_CACHE", str(tmp_path / "file"))
        engine = SymmetrixEngine(tiny_model)
        assert engine.evaluate([14], [[0, 0, 0]], 9 * np.eye(3))[1].shape == (1, 3)
        said = capfd.readouterr().err
        assert "cannot be kept in" in said and "MIXPI_CACHE" in said

    @pytest.mark.slow
    def test_several_at_once(self, tiny_model, tmp_path):
        """Each finds a whole file, and one of them has made it."""
        code = (
            "import sys, mixpi.drivers.symmetrix_files as files\n"
            "make = files._convert\n"
            "def told(*a, **k):\n"
            "    print('converts'); make(*a, **k)\n"
            "files._convert = told\n"
            "from mixpi.drivers.symmetrix_engine import SymmetrixEngine\n"
            "print(SymmetrixEngine(sys.argv[1]).evaluate([14], [[0, 0, 0]], "
            "[[9, 0, 0], [0, 9, 0], [0, 0, 9]])[0])\n"
        )
        said: list[str] = []

        def start():
            done = subprocess.run(
                [sys.executable, "-c", code, str(tiny_model)],
                capture_output=True,
                text=True,
                timeout=240,
                env={**os.environ, "MIXPI_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"},
            )
            said.append(done.stdout + done.stderr * (done.returncode != 0))

        threads = [threading.Thread(target=start) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        words = " ".join(said).split()
        assert words.count("converts") == 1 and len(words) == 4, said
        assert len({w for w in words if w != "converts"}) == 1

    def test_another_model_is_not_loaded(self, cache, tiny_model, tmp_path):
        mark, path = tmp_path / "pwned", tmp_path / "evil.model"
        path.write_bytes(pickle.dumps(Evil(mark)))
        with pytest.raises(MixpiError, match="is not the one that was meant"):
            SymmetrixEngine(path, sha256=file_hash(tiny_model))
        assert not mark.exists() and not self.files(cache, path)
        assert SymmetrixEngine(tiny_model, sha256=file_hash(tiny_model)).sha256


def made(path: Path, **settings) -> Path:
    """An untrained model, of two layers and two species unless told otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mace.calculators  # noqa: F401  with it, torch reads what e3nn has written
        import torch
        from e3nn import o3
        from mace import modules

    torch.manual_seed(0)
    blocks = modules.interaction_classes
    first = settings.pop("first", "RealAgnosticInteractionBlock")
    others = settings.pop("others", "RealAgnosticResidualInteractionBlock")
    hidden, kind = settings.pop("hidden", "4x0e"), settings.pop("kind", "ScaleShiftMACE")
    heads = settings.setdefault("heads", ["Default"])
    shifted = {"atomic_inter_scale": [1.5] * len(heads), "atomic_inter_shift": [0.1] * len(heads)}
    values = {
        "r_max": 4.0,
        "num_bessel": 5,
        "num_polynomial_cutoff": 5,
        "max_ell": 3,
        "num_interactions": 2,
        "num_elements": 2,
        "MLP_irreps": o3.Irreps("4x0e"),
        "gate": torch.nn.functional.silu,
        "atomic_energies": np.array([[-1.0 - k, -2.0] for k in range(len(heads))]),
        "avg_num_neighbors": 8.0,
        "atomic_numbers": [8, 14],
        "correlation": 3,
        **(shifted if kind == "ScaleShiftMACE" else {}),
        **settings,
    }
    model = getattr(modules, kind)(
        interaction_cls=blocks[others],
        interaction_cls_first=blocks[first],
        hidden_irreps=o3.Irreps(hidden),
        **values,
    )
    torch.save(model.double(), path)
    return path


DENSITY = {
    "first": "RealAgnosticDensityInteractionBlock",
    "others": "RealAgnosticDensityResidualInteractionBlock",
}


def mixture(seed: int = 1):
    """Sixteen atoms of two species."""
    atoms = silicon(1, rattle=0.2, seed=seed) * (2, 1, 1)
    atoms.numbers[[1, 4, 6, 11]] = 8
    return atoms.numbers, atoms.positions, atoms.cell.array


#: What architectures may differ in, each in one of them.
ARCHITECTURES = {
    "vectors": {"hidden": "4x0e + 4x1o", "heads": ["dft", "cc"], "pair_repulsion": True},
    "density": {**DENSITY, "distance_transform": "Agnesi", "radial_MLP": [16, 16]},
    "residual": {"first": "RealAgnosticResidualInteractionBlock", "hidden": "4x0e + 4x1o"},
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_architectures(tmp_path, settings):
    model = made(tmp_path / "some.model", **settings)
    head = settings.get("heads", [None])[-1]
    engine = SymmetrixEngine(model, head=head)
    torch_engine = MaceEngine(model, head=head, threads=1)
    assert engine.heads == torch_engine.heads and engine.head == torch_engine.head
    numbers, positions, cell = mixture()
    same(engine.evaluate(numbers, positions, cell), torch_engine.evaluate(*mixture()))
    # species that come and go
    same(
        engine.evaluate([8], positions[:1], 3.0 * np.eye(3)),
        torch_engine.evaluate([8], positions[:1], 3.0 * np.eye(3)),
    )
    assert_allclose(
        engine.site_energies(*mixture()), torch_engine.site_energies(*mixture()), atol=1e-7
    )
    chosen = np.arange(len(numbers)) % 3 == 0
    one, two = (e.evaluate(numbers, positions, cell, chosen) for e in (engine, torch_engine))
    same((*one[:2], 0.0), (*two[:2], 0.0))
    if head:
        with pytest.raises(MixpiError, match=r"several heads.*: dft, cc; choose one"):
            SymmetrixEngine(model)
        with pytest.raises(MixpiError, match="has no head 'DFT'"):
            SymmetrixEngine(model, head="DFT")


@pytest.mark.full
@pytest.mark.parametrize("settings, reason", [
    ({"num_interactions": 1}, "does not convert"),
    ({"num_interactions": 3}, "does not convert"),
    ({"kind": "MACE"}, "does not convert"),
    pytest.param({"max_ell": 2}, "l_max=3", marks=SLOW),
    pytest.param({"correlation": 2}, "does not convert|differ from mace-torch's", marks=SLOW),
    pytest.param({"radial_type": "gaussian"}, "does not convert", marks=SLOW),
    ({"use_last_readout_only": True}, "does not convert|differ from mace-torch's"),
], ids=["one layer", "three layers", "no shift", "l 2", "pairs", "gauss", "readout"])  # fmt: skip
def test_models_that_it_cannot_evaluate(tmp_path, settings, reason):
    model = made(tmp_path / "odd.model", **settings)
    with pytest.raises(MixpiError, match=f"symmetrix cannot evaluate .*odd.model.*({reason})") as e:
        SymmetrixEngine(model)
    assert "\n" not in str(e.value) and "mace-torch" in str(e.value)
    # the way out
    assert np.isfinite(MaceEngine(model, threads=1).evaluate(*mixture())[1]).all()


def test_files_that_are_no_models(cache, tmp_path):
    (tmp_path / "text.model").write_text("r_max: 4.0\n")
    (tmp_path / "empty.model").touch()
    for name, reason in (("text", "torch cannot read it"), ("empty", "it is empty")):
        with pytest.raises(MixpiError, match=reason):
            SymmetrixEngine(tmp_path / f"{name}.model")
        assert not TestCache.files(cache, tmp_path / f"{name}.model")
    with pytest.raises(MixpiError, match="it is a folder"):
        SymmetrixEngine(tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("name, case", [
    pytest.param("si-small", "si_vacancy_md", marks=SLOW),
    pytest.param("w-he-small", "w_he_md"),
    pytest.param("fe-small", "fe_dumbbell_md", marks=SLOW),
])  # fmt: skip
def test_the_models_of_the_examples(name, case):
    """Clusters of some 120 atoms from the examples, displaced."""
    from ase.io import read

    atoms = read(MODELS.parent / case / "init.extxyz")
    centre = int(np.argmin(atoms.numbers))  # helium, where there is one
    atoms = atoms[np.argsort(atoms.get_distances(centre, range(len(atoms)), mic=True))[:120]]
    atoms.rattle(0.08, seed=4)
    structure = atoms.numbers, atoms.positions, atoms.cell.array
    model = MODELS / f"{name}.model"
    wanted = MaceEngine(model, threads=1).evaluate(*structure)
    same(SymmetrixEngine(model).evaluate(*structure), wanted)
    same(SymmetrixEngine(model, dtype="float32").evaluate(*structure), wanted, close=5e-5)


class TestCompiled:
    """Mode "direct"."""

    @pytest.mark.full
    @pytest.mark.skipif(not shutil.which("c++"), reason="needs a compiler")
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_what_the_plain_one_says(self, tiny_model, tmp_path, dtype, monkeypatch):
        monkeypatch.setenv("SYMMETRIX_JIT_CACHE", str(tmp_path / "jit"))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        plain = SymmetrixEngine(tiny_model, dtype=dtype)
        compiled = SymmetrixEngine(tiny_model, dtype=dtype, mode="direct")
        for _, *structure in [*cells(), *cells()]:
            close = 1e-9 if dtype == "float64" else 3e-5
            same(compiled.evaluate(*structure), plain.evaluate(*structure), close=close)

    def test_no_compiler(self, engine, tiny_model, tmp_path, monkeypatch):
        monkeypatch.setenv("SYMMETRIX_JIT_CACHE", str(tmp_path / "jit"))
        monkeypatch.setenv("CXX", "no-such-compiler")
        with pytest.raises(MixpiError, match=r"need a C\+\+20 compiler.*or leave out threads"):
            SymmetrixEngine(tiny_model, mode="direct")
