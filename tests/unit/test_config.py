"""The YAML file: defaults, what is refused, and that every key explains itself."""

from __future__ import annotations

import pytest
import yaml
from conftest import silicon
from mixpi import MixpiError
from mixpi.config import MixingConfig, load_config, without_quotes
from mixpi.config_help import describe_config
from mixpi.distil.config import DistilConfig
from pydantic import BaseModel


MINIMAL = {
    "structure": "init.extxyz",
    "seeds": [3, 1],
    "regions": {"core": 4.0, "blend": 4.0, "buffer": 6.0},
    "cheap": {"lammps": {"potential": ["pair_style sw", "pair_coeff * * Si.sw Si"]}},
    "expensive": {"mace": {"model": "a.model"}},
}


def load(tmp_path, change=None, name="mixing.yaml"):
    path = tmp_path / name
    path.write_text(yaml.safe_dump({**MINIMAL, **(change or {})}))
    return load_config(path)


def test_defaults(tmp_path):
    config = load(tmp_path)
    assert config.seed_indices == [3, 1]
    assert config.regions.profile == "linear" and config.remove_net_force
    assert config.cheap.kind == "lammps" and config.expensive.kind == "mace"
    assert config.output.stride == 10 and config.expensive.count == 1


def test_addresses_are_stable_and_differ_between_pools_and_files(tmp_path):
    a, again, b = load(tmp_path), load(tmp_path), load(tmp_path, name="other.yaml")
    addresses = [c.socket.address for c in (a.cheap, a.expensive, b.cheap, b.expensive)]
    assert len(set(addresses)) == 4
    assert a.cheap.socket.address == again.cheap.socket.address


def test_given_address_is_kept(tmp_path):
    config = load(tmp_path, {"cheap": {"external": True, "socket": {"address": "mine"}}})
    assert config.cheap.socket.address == "mine"


def test_no_seeds_on_purpose(tmp_path):
    config = load(tmp_path, {"seeds": "none"})
    assert config.seed_indices == [] and config.everywhere == "cheap" and not config.mixes
    assert config.pools(["force"]) == ("cheap",)
    assert config.pools(["cheap", "delta"]) == ("cheap",)


def test_all_atoms_on_purpose(tmp_path):
    silicon(2).write(tmp_path / MINIMAL["structure"])
    config = load(tmp_path, {"seeds": " ALL "})
    assert config.seed_indices == list(range(64))
    assert config.everywhere == "expensive" and not config.mixes
    assert config.pools(["force"]) == ("expensive",)
    # a correction is one of cheap forces
    assert config.pools(["cheap", "delta"]) == ("cheap", "cheap_cluster", "expensive")
    by_words = load(tmp_path, {"seeds": "where z > -1"})
    with pytest.raises(MixpiError, match="all 64 atoms match"):
        _ = by_words.seed_indices


@pytest.mark.parametrize(("seeds", "acts_on"), [("none", "expensive"), ("all", "cheap")])
def test_a_thermostat_on_nothing(tmp_path, seeds, acts_on):
    with pytest.raises(MixpiError, match=f"no atom is {acts_on}, so nothing would be"):
        load(tmp_path, {"seeds": seeds, "thermostat": {"acts_on": acts_on}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "seeds: no seeds"),
        ({"seeds": None}, "seeds: no seeds"),
        ({"seeds": [1, -4]}, "seed -4 is negative"),
        ({"seeds": [True]}, "seeds: true is no index of an atom"),
        ({"seeds": [1.0]}, "seeds: 1.0 is no index of an atom"),
        ({"seeds": ["1"]}, "seeds: '1' is no index of an atom"),
        ({"seeds": [4, 7, 4]}, "seed 4 stands twice"),
        ({"seeds": 3}, "3 is no list of atoms"),
        ({"seeds": "every"}, "seeds: 'every' is not understood; it can be"),
        ({"seeds": "species"}, "seeds: 'species' is not understood"),
        ({"seeds": "where q > 2"}, "seeds: 'q' in 'q > 2' is not understood; there are x, y, z"),
        ({"seeds": {}}, "seeds.bounds: missing"),
        ({"seeds": False}, "false is no list of atoms"),
        ({"regions": {"core": True, "blend": 1, "buffer": 1}}, "regions.core: true is no value"),
        ({"cheap": {"external": True, "count": True}}, "cheap.count: true is no value"),
        ({"cheap": {"lammps": {"potential": ["a"], "launch": False}}}, "launch: false is no value"),
        ({"sedes": [1]}, "sedes: unknown key"),
        ({"regions": {"core": 1, "blend": 1}}, "regions.buffer: missing"),
        ({"cheap": {}}, "cheap: give exactly one of lammps, mace, .*command, external"),
        ({"cheap": {"lammps": {"potential": []}}}, "cheap.lammps.potential"),
        ({"cheap": {"external": True, "count": 0}}, "cheap.count"),
        ({"cheap": {"external": True, "socket": {"port": 80}}}, "cheap.socket.port"),
        ({"cheap": {"external": True, "socket": {"port": 31415}}}, "port is for mode inet"),
        ({"cheap": {"external": True, "socket": {"address": "a/b"}}}, "plain name without '/'"),
        ({"cheap": {"external": True, "socket": {"reply_deadline": 0}}}, "reply_deadline"),
        ({"expensive": {"mace": {"model": "m", "dtype": "float16"}}}, "expensive.mace.dtype"),
        ({"cheap": {"external": True, "socket": {"address": "a\nb"}}}, "one line without tabs"),
        ({"cheap": {"external": True, "socket": {"address": "ü" * 60}}}, "98 bytes at most"),
        ({"cheap": {"external": True, "max_restarts": 10**400}}, "beyond all that can be meant"),
        ({"structure": "a\tb"}, "structure: a file's name is needed"),
        ({"structure": "x" * 300}, "structure: no file's name is longer than 255"),
        ({"expensive": {"mace": {"model": "m", "sha256": "A" * 64}}}, "expensive.mace.sha256"),
        (
            {"seeds": {"spread": {}, "bounds": [0.1, 1]}, "expensive": {"mace": {"model": "m"}}},
            "spread needs several models that can disagree",
        ),
        ({"seeds": {"spread": {}, "coordination": 2.0, "bounds": [0.1, 1]}}, "exactly one of"),
        ({"seeds": {"spread": {"patch": 0.0}, "bounds": [0.1, 1]}}, "spread.patch"),
        ({"seeds": {"spread": {"every": 0}, "bounds": [0.1, 1]}}, "spread.every"),
        ({"seeds": {"spread": 5.0, "bounds": [0.1, 1]}}, "seeds.spread"),
        ({"output": {"steps": "logs/.."}}, "is a folder's name, not a file's"),
        ({"output": {"stride": 0}}, "output.stride"),
        ({"output": {"steps": ""}}, "output.steps"),
        ({"output": {"trajectory": ""}}, "output.trajectory"),
    ],
)
def test_refused(tmp_path, change, message):
    with pytest.raises(MixpiError, match=message) as error:
        load(tmp_path, change)
    assert "mixing.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("structure: init.extxyz", "structure: init.extxyz\nstructure: b.extxyz", "'structure'"),
        ("  core: 4.0", "  core: 4.0\n  core: 3.0", "'core'"),
        ("- 3\n- 1", "- {a: 1, a: 2}", "'a'"),
    ],
)
def test_key_that_stands_twice(tmp_path, old, new, lines):
    path = tmp_path / "mixing.yaml"
    text = yaml.safe_dump(MINIMAL)
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(MixpiError, match=rf"the key {lines} stands twice, in lines \d+ and \d+"):
        load_config(path)


def test_anchors_may_be_merged_and_overridden(tmp_path):
    path = tmp_path / "mixing.yaml"
    text = yaml.safe_dump(MINIMAL)
    old = "regions:\n  blend: 4.0\n  buffer: 6.0\n  core: 4.0\n"
    assert old in text
    path.write_text(
        "output: {}\n"
        + text.replace(old, "regions: {<<: {core: 1, blend: 4, buffer: 6}, core: 2}\n")
    )
    assert load_config(path).regions.core == 2.0


def test_exponents_are_numbers(tmp_path):
    """YAML 1.1 calls 1e1 a text."""
    path = tmp_path / "mixing.yaml"
    path.write_text(yaml.safe_dump(MINIMAL).replace("core: 4.0", "core: 4e0"))
    assert load_config(path).regions.core == 4.0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("- 3\n", "- 010\n", "seeds: '010' is no index"),
        ("- 3\n", "- 1:30\n", "seeds: '1:30' is no index"),
        ("core: 4.0", "core: 1:30", "regions.core: .*found '1:30'"),
        ("core: 4.0", "core: 0x4", "regions.core: .*found '0x4'"),
    ],
)
def test_numbers_that_yaml_takes_for_others(tmp_path, old, new, message):
    """Octal and to the base of 60."""
    text = yaml.safe_dump(MINIMAL)
    assert old in text
    (tmp_path / "mixing.yaml").write_text(text.replace(old, new))
    with pytest.raises(MixpiError, match=message):
        load_config(tmp_path / "mixing.yaml")


@pytest.mark.parametrize(
    ("written", "read"), [("4", 4.0), ("+4.", 4.0), (".5", 0.5), ("25e-1", 2.5), ("0.4E+1", 4.0)]
)
def test_numbers(tmp_path, written, read):
    text = yaml.safe_dump(MINIMAL).replace("core: 4.0", f"core: {written}")
    (tmp_path / "mixing.yaml").write_text(text)
    assert load_config(tmp_path / "mixing.yaml").regions.core == read


def test_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(tmp_path, {"structure": "~/a.xyz"}).structure == str(tmp_path / "a.xyz")


@pytest.mark.parametrize(
    "written", ["a.yaml", '"a.yaml"', "'a.yaml'", ' "a.yaml" ', "my file.yaml", '"my file.yaml"']
)
def test_quotes_of_i_pi_s_parameters(written):
    assert without_quotes(written) == written.strip(" \"'")


@pytest.mark.parametrize("content", ["", "a list", "- 1\n- 2", "key: [unclosed"])
def test_not_a_mapping(tmp_path, content):
    path = tmp_path / "mixing.yaml"
    path.write_text(content)
    with pytest.raises(MixpiError, match=str(path)):
        load_config(path)


@pytest.mark.parametrize("whole", [MixingConfig, DistilConfig])
def test_every_field_has_help(whole):
    def fields(model: type[BaseModel]):
        for name, info in model.model_fields.items():
            yield model, name, info
            for part in (info.annotation, *getattr(info.annotation, "__args__", ())):
                part = getattr(part, "__origin__", part)  # of an annotated one
                if isinstance(part, type) and issubclass(part, BaseModel):
                    yield from fields(part)

    found = list(fields(whole))
    assert len(found) > 30
    for model, name, info in found:
        assert info.description and len(info.description) > 10, (model, name)
    text = describe_config(whole)
    assert all(f"{name}:" in text for _, name, _ in found)
    assert " true" not in [line.split(":", 1)[1] for line in text.splitlines() if "count:" in line]
