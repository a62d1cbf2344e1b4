"""Whoever computes wrongly is refused at the start."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import numpy as np
import pytest
from conftest import TERSOFF
from mixpi import MixpiError
from mixpi.drivers import known_answer, mace
from mixpi.drivers.config import DriverConfig
from mixpi.drivers.known_answer import Answer, answer_of, kept_answer, known_structure
from mixpi.drivers.mace import MaceEngine
from mixpi.drivers.mace_driver import MaceDriver
from mixpi.drivers.mace_files import file_hash
from mixpi.drivers.mace_layers import TorchLayers
from mixpi.drivers.symmetrix_engine import SymmetrixEngine
from mixpi.drivers.symmetrix_network import Network
from numpy.testing import assert_allclose
from pydantic import ValidationError


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of these tests alone."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXPI_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def plain(cache, tiny_model) -> MaceEngine:
    return MaceEngine(tiny_model, threads=1)


def test_the_answer_is_that_of_mace_torch_in_double_precision(plain, tiny_model):
    energy, forces, _ = plain.evaluate(*known_structure(plain.numbers))
    assert len(forces) == 27 and np.abs(forces).max() > 1.0
    for engine in (
        plain,
        MaceEngine(tiny_model, dtype="float32"),
        SymmetrixEngine(tiny_model),
        SymmetrixEngine(tiny_model, dtype="float32"),
    ):
        assert engine.known.energy == pytest.approx(energy, abs=1e-9)
        assert_allclose(engine.known.forces, forces, atol=1e-9)
        # each was tried; its answer is its own, and not the known one
        own = answer_of(engine, engine.numbers)
        assert own.energy == pytest.approx(energy, abs=1e-3)
        assert (own.forces != engine.known.forces) or engine is plain


def test_all_species_are_in_the_structure_or_the_first_and_last():
    assert set(known_structure([2, 74]).numbers) == {2, 74}
    assert set(known_structure(range(1, 90)).numbers) == {1, 2, 3, 87, 88, 89}


@pytest.mark.parametrize("dtype, share", [("float64", 1e-4), ("float32", 1e-2)])
def test_other_weights(plain, tiny_model, monkeypatch, dtype, share):
    """A network that is a little wrong, as by a kernel that is."""
    import torch

    load = mace.load_network

    def perturbed(*given):
        network, sha256 = load(*given)
        with torch.no_grad():
            network.interactions[1].linear.weight *= 1 + share
        return network, sha256

    monkeypatch.setattr(mace, "load_network", perturbed)
    with pytest.raises(MixpiError) as raised:
        MaceEngine(tiny_model, dtype=dtype)
    text = str(raised.value)
    assert f"mace-torch on cpu in {dtype} gives other values" in text
    assert "eV/Å" in text and "eV an atom" in text
    way = {"float64": "install torch", "float32": "take 'dtype: float64'"}[dtype]
    assert text.split(": ")[-1].startswith(way) or way in text


def jumping(evaluate, *, after: int, energy: float = 0.0, force: float = 0.0):
    """What is right so many times, then wrong once."""
    calls = []

    def evaluated(*given, **options):
        found, forces, virial = evaluate(*given, **options)
        calls.append(0)
        if len(calls) == after + 1:
            found, forces = found + energy, forces + force
        return found, forces, virial

    return evaluated


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(
    "wrong", [{"energy": 0.05}, {"energy": np.nan}, {"force": 0.05}, {"force": np.nan}], ids=str
)
@pytest.mark.parametrize(
    "make", [lambda m: SymmetrixEngine(m), lambda m: MaceEngine(m, dtype="float32")]
)
def test_a_jump_now_and_then(plain, tiny_model, monkeypatch, make, wrong, after):
    kind = type(make(tiny_model))
    evaluate = kind.evaluate
    monkeypatch.setattr(kind, "evaluate", jumping(evaluate, after=after, **wrong))
    with pytest.raises(MixpiError, match="gives other values for a small known structure"):
        make(tiny_model)


def test_what_fails_is_said_in_a_line(plain, tiny_model, monkeypatch):
    """As a GPU does that torch was not built for."""

    def fails(*_):
        raise RuntimeError("CUDA error: no kernel image is available\nmore of it\n")

    monkeypatch.setattr(SymmetrixEngine, "evaluate", fails)
    with pytest.raises(MixpiError) as raised:
        SymmetrixEngine(tiny_model)
    assert "(RuntimeError: CUDA error: no kernel image is available)" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_by_default_another_engine_is_taken(plain, tiny_model, monkeypatch, tmp_path):
    monkeypatch.setattr(Network, "everything", lambda *_: (np.zeros(27), np.zeros((1, 3))))
    monkeypatch.setattr(
        SymmetrixEngine, "evaluate", lambda *_: (0.0, np.zeros((27, 3)), np.zeros((3, 3)))
    )
    engine = MaceDriver(model=str(tiny_model)).load(tmp_path)
    assert isinstance(engine, MaceEngine)
    assert "symmetrix on cpu in float64 gives other values" in engine.notes[0]
    with pytest.raises(MixpiError, match="take 'engine: mace-torch'"):
        MaceDriver(model=str(tiny_model), engine="symmetrix").load(tmp_path)


@pytest.mark.parametrize("engine, layers", [("symmetrix", Network), ("mace-torch", TorchLayers)])
def test_partial_evaluation_is_tried_too(plain, tiny_model, monkeypatch, engine, layers, tmp_path):
    partial = {"sites": 4.0, "features": 3.0, "fill": "none"}
    section = MaceDriver(model=str(tiny_model), engine=engine, threads=1, partial=partial)
    section.serving_engine(tmp_path, None)
    some = layers.some

    def wrong(*given, **options):
        energies, pairs = some(*given, **options)
        return energies + 0.01, pairs

    monkeypatch.setattr(layers, "some", wrong)
    with pytest.raises(MixpiError, match=f"{engine} on cpu in float64 gives other values"):
        section.serving_engine(tmp_path, None)


class TestKept:
    """The answer is found once for a model, whatever happens to the cache."""

    @pytest.fixture
    def found(self):
        """How often an answer was looked for, and what it is."""

        def find() -> Answer:
            find.calls += 1
            return Answer(1.5, [[0.1, 0.2, 0.3]])

        find.calls = 0
        return find

    def test_once(self, found, monkeypatch, tmp_path):
        monkeypatch.setenv("MIXPI_CACHE", str(tmp_path / "new" / "cache"))
        for _ in range(2):
            assert kept_answer("ab", "head", found) == Answer(1.5, [[0.1, 0.2, 0.3]])
        assert found.calls == 1
        kept_answer("ab", "other head", found)
        kept_answer("cd", "head", found)
        assert found.calls == 3

    def test_without_a_file_it_is_not_kept(self, found, monkeypatch, tmp_path):
        monkeypatch.setenv("MIXPI_CACHE", str(tmp_path / "cache"))
        for _ in range(2):
            kept_answer(None, "head", found)
        assert found.calls == 2 and not (tmp_path / "cache").exists()

    @pytest.mark.parametrize("damage", [
        lambda text: text[:-20], lambda text: "", lambda text: "[]", lambda text: "null",
        lambda text: text.replace("0.2", "0.21"), lambda text: text.replace("1.5", '"x"'),
    ])  # fmt: skip
    def test_what_is_damaged_is_found_again(self, found, monkeypatch, tmp_path, damage):
        monkeypatch.setenv("MIXPI_CACHE", str(tmp_path))
        kept_answer("ab", "head", found)
        [file] = tmp_path.glob("answers/*")
        file.write_text(damage(file.read_text()))
        assert kept_answer("ab", "head", found).energy == 1.5
        kept_answer("ab", "head", found)
        assert found.calls == 2

    def test_a_cache_that_cannot_be_written(self, found, monkeypatch, tmp_path):
        (tmp_path / "file").touch()
        monkeypatch.setenv("MIXPI_CACHE", str(tmp_path / "file" / "cache"))
        for _ in range(2):
            assert kept_answer("ab", "head", found).energy == 1.5
        assert found.calls == 2


@pytest.mark.full
@pytest.mark.parametrize("command", [pytest.param("check", marks=pytest.mark.slow), "run"])
def test_the_user_is_told(make_case, tiny_model, monkeypatch, tmp_path, command, plain):
    """With an answer that the model does not give: as if this machine computed wrongly."""
    monkeypatch.setenv("MIXPI_CACHE", str(tmp_path / "cache"))
    wrong = Answer(plain.known.energy + 0.1, plain.known.forces)
    file = known_answer._file(file_hash(tiny_model), plain.head)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({**asdict(wrong), "sha256": known_answer._seal(wrong)}))
    expensive = {"mace": {"model": str(tiny_model), "engine": "mace-torch", "threads": 1}}
    case = make_case(cheap={"lammps": {"potential": TERSOFF}}, expensive=expensive)
    done = case.mixpi(command, "input.xml")
    assert done.returncode == 1 and case.nothing_left()
    assert "mace-torch on cpu in float64 gives other values" in done.stderr
    assert "the energy by 0.0037 eV an atom" in done.stderr and "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def fast(plain, tiny_model) -> MaceEngine:
    pytest.importorskip("cuequivariance_torch")
    return MaceEngine(tiny_model, threads=1, cueq=True)


@pytest.mark.slow
class TestCuEquivariance:
    """On the CPU, where it computes with torch alone: the conversion is the same."""

    def test_the_model_is_the_same(self, plain, fast):
        assert fast.evaluated_by == "mace-torch with cuEquivariance"
        assert any("cuequivariance" in type(m).__module__ for m in fast.network.modules())
        structure = known_structure(plain.numbers)
        for one, two in zip(fast.evaluate(*structure), plain.evaluate(*structure), strict=True):
            assert_allclose(one, two, rtol=1e-6, atol=1e-5)
        for mask in (np.arange(27) < 4, None):
            one, two = fast.evaluate(*structure, mask), plain.evaluate(*structure, mask)
            assert one[0] == pytest.approx(two[0], abs=1e-5)

    def test_partial_evaluation(self, plain, fast):
        structure = known_structure(plain.numbers)
        radii = {"distance": np.arange(27) / 5.0, "sites": 3.0, "features": 2.5}
        one, two = (e.evaluate_partial(*structure, **radii) for e in (fast, plain))
        assert one[0] == pytest.approx(two[0], abs=1e-5)
        assert_allclose(one[1], two[1], rtol=1e-6, atol=1e-4)

    def test_kernels_that_are_missing_are_noted(self, fast, tiny_model, tmp_path):
        pytest.importorskip("cuequivariance_torch")
        engine = MaceDriver(model=str(tiny_model), cueq=True).load(tmp_path)
        assert isinstance(engine, MaceEngine) and "has no kernels here" in engine.notes[0]


def test_cuequivariance_is_not_installed(tiny_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "cuequivariance_torch", None)
    with pytest.raises(MixpiError, match=r"'cueq: true' needs .*pip install 'mixpi\[cueq\]'"):
        MaceEngine(tiny_model, cueq=True)


def test_cuequivariance_is_for_mace_torch():
    given = {"mace": {"model": "x.model", "engine": "symmetrix", "cueq": True}}
    with pytest.raises(ValidationError, match="cueq is for mace-torch"):
        DriverConfig.model_validate(given)
    flags = MaceDriver(model="x.model", cueq=True).model_copy(update={"model": "/x"})
    assert "--cueq=true" in [
        word for word in flags.command(known_answer.cache_folder()) if "cueq" in word
    ]
