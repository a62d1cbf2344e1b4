"""What is given as a MACE model: it works, or is called what it is; heads are chosen by name."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import driver_argv, silicon
from mixpi import MixpiError
from mixpi.check.checking import check
from mixpi.cli import main
from mixpi.drivers.mace import MaceEngine
from mixpi.drivers.mace_driver import MaceDriver
from mixpi.drivers.mace_files import file_hash
from numpy.testing import assert_allclose


#: Said by torch when models are made here, not when mixpi reads them.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit", "ignore:To copy construct")


@pytest.fixture(scope="module", autouse=True)
def torch():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mace.calculators  # noqa: F401  with it, torch reads and writes its models
        import torch
    return torch


def two_heads(torch, *heads: str, numbers: tuple[int, ...] = (14,)):
    """A small untrained model, in which each head has weights of its own."""
    from e3nn import o3
    from mace import modules

    torch.manual_seed(0)
    blocks = modules.interaction_classes
    model = modules.ScaleShiftMACE(
        r_max=3.5,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=1,
        interaction_cls=blocks["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=blocks["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=len(numbers),
        hidden_irreps=o3.Irreps("4x0e"),
        MLP_irreps=o3.Irreps("4x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.array([len(numbers) * [-1.0 - k] for k in range(len(heads))]),
        avg_num_neighbors=8.0,
        atomic_numbers=list(numbers),
        correlation=1,
        atomic_inter_scale=[1.0 + k for k in range(len(heads))],
        atomic_inter_shift=[0.0] * len(heads),
        heads=list(heads),
    )
    return model.double()


def evaluate(engine: MaceEngine, mask=None):
    atoms = silicon(1, rattle=0.1)
    return engine.evaluate(atoms.numbers, atoms.positions, atoms.cell.array, mask)


@pytest.fixture(scope="module")
def not_models(torch, tmp_path_factory, tiny_model) -> Path:
    """A folder with one file of each kind that people give by mistake."""
    folder = tmp_path_factory.mktemp("models")
    network = torch.load(tiny_model, map_location="cpu", weights_only=False)
    torch.save(network.state_dict(), folder / "state.pt")
    torch.save(
        {"model": network.state_dict(), "optimizer": {}, "lr_scheduler": {}},
        folder / "run_epoch-10.pt",
    )
    torch.save({"epoch": 3, "state_dict": network.state_dict()}, folder / "other.ckpt.pt")
    torch.save([network], folder / "list.model")
    torch.save(torch.nn.Linear(3, 3), folder / "linear.model")
    raw = tiny_model.read_bytes()
    (folder / "cut.model").write_bytes(raw[: len(raw) // 2])
    (folder / "empty.model").touch()
    (folder / "text.model").write_text("r_max: 4.0\n")
    (folder / "lfs.model").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (folder / "folder.model").mkdir()
    return folder


@pytest.mark.parametrize("name, reason", [
    ("state.pt", "parameters alone .a state dict.*give the .model file"),
    ("run_epoch-10.pt", "it is a checkpoint of a training; give the .model file"),
    ("other.ckpt.pt", "it is a checkpoint of a training; give the .model file"),
    ("list.model", "it holds a list; give the .model file"),
    ("linear.model", "a torch module Linear without atomic_numbers, r_max, num_interactions"),
    ("cut.model", r"damaged or cut short \(\d+ bytes.*copy it again"),
    ("empty.model", "it is empty"),
    ("text.model", "torch cannot read it"),
    ("lfs.model", "git lfs pull"),
    ("folder.model", "it is a folder"),
    ("gone.model", "does not exist"),
])  # fmt: skip
def test_files_that_are_no_models(not_models, name, reason):
    with pytest.raises(MixpiError, match=reason) as caught:
        MaceEngine(not_models / name)
    assert str(not_models / name) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.full
def test_models_converted_for_lammps(torch, tmp_path):
    from e3nn.util import jit
    from mace.calculators import LAMMPS_MACE
    from mace.calculators.lammps_mliap_mace import LAMMPS_MLIAP_MACE

    network = two_heads(torch, "dft", "cc")
    torch.save(LAMMPS_MLIAP_MACE(network, head="cc"), tmp_path / "x-mliap_lammps.pt")
    jit.compile(LAMMPS_MACE(network)).save(str(tmp_path / "x-lammps.pt"))
    for path in tmp_path.iterdir():
        with pytest.raises(MixpiError, match=r"converted for LAMMPS; give the \.model file"):
            MaceEngine(path)


@pytest.mark.full
def test_compiled_models(torch, tmp_path):
    """As training writes them beside the model: they give the same, masked or not."""
    from e3nn.util import jit

    model = two_heads(torch, "dft", "cc")
    torch.save(model, tmp_path / "x.model")
    torch.jit.save(jit.compile(model), str(tmp_path / "x_compiled.model"))
    with pytest.raises(MixpiError, match="several heads"):
        MaceEngine(tmp_path / "x_compiled.model")
    wanted, got = (MaceEngine(tmp_path / f"x{c}.model", head="cc") for c in ("", "_compiled"))
    assert (got.heads, got.numbers, got.cutoff) == (wanted.heads, wanted.numbers, wanted.cutoff)
    for mask in (None, np.arange(8) < 3):
        for one, two in zip(evaluate(got, mask), evaluate(wanted, mask), strict=True):
            assert_allclose(one, two, atol=1e-10)


@pytest.mark.full
def test_a_head_is_chosen_by_name(torch, tmp_path):
    from mace.tools.scripts_utils import remove_pt_head

    model = two_heads(torch, "dft", "cc")
    torch.save(model, tmp_path / "two.model")
    found = {head: evaluate(MaceEngine(tmp_path / "two.model", head=head)) for head in model.heads}
    assert abs(found["dft"][0] - found["cc"][0]) > 1.0
    assert np.abs(found["dft"][1] - found["cc"][1]).max() > 1e-3
    for index, head in enumerate(model.heads):
        # a model that has this head alone: mace-torch's own way to take one out
        alone = remove_pt_head(two_heads(torch, "dft", "cc"), head)
        torch.save(alone, tmp_path / f"{index}.model")
        single = MaceEngine(tmp_path / f"{index}.model")
        assert single.heads == [head]
        energy, forces, _ = evaluate(single)
        assert energy == pytest.approx(found[head][0], abs=1e-9)
        assert_allclose(forces, found[head][1], atol=1e-10)
        # the masked sum too is that of the head
        masked = evaluate(MaceEngine(tmp_path / "two.model", head=head), np.ones(8, bool))
        assert masked[0] == pytest.approx(energy, abs=1e-9)
        assert_allclose(masked[1], forces, atol=1e-10)


@pytest.mark.parametrize("heads", [("dft", "cc"), ("pt_head", "Default")], ids=str)
def test_mixpi_does_not_choose_a_head(torch, tmp_path, heads):
    path = tmp_path / "two.model"
    torch.save(two_heads(torch, *heads), path)
    with pytest.raises(MixpiError, match=f"several heads.*: {', '.join(heads)}; choose one"):
        MaceEngine(path)
    with pytest.raises(MixpiError, match=f"has no head 'DFT'; it has {', '.join(heads)}"):
        MaceEngine(path, head="DFT")


def test_models_with_one_head(tiny_model):
    engine = MaceEngine(tiny_model)
    assert engine.heads == ["Default"] and engine.head == "Default"
    assert evaluate(MaceEngine(tiny_model, head="Default"))[0] == evaluate(engine)[0]
    with pytest.raises(MixpiError, match="has no head 'dft'; it has Default"):
        MaceEngine(tiny_model, head="dft")


@pytest.mark.slow
def test_the_head_reaches_the_driver(torch, tmp_path, make_case, capsys):
    path = tmp_path / "two heads.model"
    torch.save(two_heads(torch, "dft", "cc"), path)
    case = make_case(expensive={"mace": {"model": str(path), "head": "cc"}})
    assert "--head=cc" in driver_argv(case, "expensive")
    assert MaceDriver(model=str(path), head="cc").load(tmp_path).head == "cc"
    assert main(["driver", "mace", "--model", str(path), "--head", "cc", "--describe"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (facts["heads"], facts["head"]) == (["dft", "cc"], "cc")
    case.config["expensive"]["mace"].pop("head")
    done = case.mixpi("check", "input.xml")
    assert done.returncode == 1 and "several heads" in done.stderr and "dft, cc" in done.stderr


@pytest.mark.full
def test_distil_keeps_data_of_each_head(torch, tmp_path, tiny_model):
    from mixpi.distil.config import load_distil_config
    from mixpi.distil.preparing import _expensive

    shutil.copy(tiny_model, tmp_path / "one.model")
    torch.save(two_heads(torch, "dft", "cc"), tmp_path / "two.model")
    silicon(1).write(tmp_path / "crystal.extxyz")

    def identity(mace: str):
        (tmp_path / "d.yaml").write_text(
            f"name: x\nstructure: crystal.extxyz\nexpensive: {mace}\nbasis: {{snap: {{}}}}\n"
        )
        config = load_distil_config(tmp_path / "d.yaml")
        return _expensive(config, tmp_path, ["Si"], None, None)[0]

    heads = [identity(f"{{model: two.model, head: {head}}}") for head in ("dft", "cc")]
    assert heads[0] != heads[1]
    assert set(identity("{model: one.model}")) == {"model"}


class TestHash:
    """What has another hash is not loaded, because loading a model runs what is in it."""

    @pytest.fixture
    def model(self, tmp_path, tiny_model):
        path = tmp_path / "a.model"
        shutil.copy(tiny_model, path)
        return path

    def test_the_right_one(self, model):
        found = MaceEngine(model).sha256
        assert found == hashlib.sha256(model.read_bytes()).hexdigest() == file_hash(model)
        assert MaceEngine(model, sha256=found).sha256 == found

    def test_another_one_is_not_loaded(self, tmp_path):
        path, mark = tmp_path / "evil.model", tmp_path / "pwned"
        path.write_bytes(pickle.dumps(Evil(mark)))
        with pytest.raises(MixpiError, match=r"is not the one that was meant: its sha256 is"):
            MaceEngine(path, sha256="0" * 64)
        assert main(["driver", "mace", "--model", str(path), "--sha256", "0" * 64, "--describe"])
        assert not mark.exists()
        with pytest.raises(MixpiError):  # as the README says
            MaceEngine(path)
        assert mark.exists()

    def test_what_is_loaded_is_what_was_hashed(self, model, torch, monkeypatch):
        """Another file at its place, between the two, is not."""
        wanted, load = file_hash(model), torch.load

        def replaced(source, **options):
            model.write_bytes(b"another")
            return load(source, **options)

        monkeypatch.setattr(torch, "load", replaced)
        assert MaceEngine(model, sha256=wanted).sha256 == wanted
        assert model.read_bytes() == b"another"

    @pytest.mark.full
    def test_check_and_driver_are_told(self, make_case, model):
        case = make_case(expensive={"mace": {"model": str(model), "sha256": file_hash(model)}})
        assert any(
            "has the sha256 that is expected" in line for line in check(case.input, drivers=False)
        )
        argv = driver_argv(case, "expensive")
        assert f"--sha256={file_hash(model)}" in argv and "-P" in argv
        model.write_bytes(b"another")
        with pytest.raises(MixpiError, match="is not the one that was meant"):
            list(check(case.input, drivers=False))

    def test_names_have_none(self, make_case):
        case = make_case(expensive={"mace": {"model": "medium-mpa-0", "sha256": "0" * 64}})
        with pytest.raises(MixpiError, match="is no file, so it cannot have a sha256"):
            driver_argv(case, "expensive")


class Evil:
    """Writes a file when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)
