"""The YAML file: defaults, what is refused, and that every key explains itself."""

from __future__ import annotations

import pytest
import yaml
from mixpi import MixpiError
from mixpi.config import MixingConfig, load_config
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
    assert load(tmp_path, {"seeds": "none"}).seed_indices == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "seeds: no seeds"),
        ({"seeds": None}, "seeds: no seeds"),
        ({"seeds": [1, -4]}, "seed -4 is negative"),
        ({"sedes": [1]}, "sedes: unknown key"),
        ({"regions": {"core": 1, "blend": 1}}, "regions.buffer: missing"),
        ({"cheap": {}}, "cheap: give exactly one of lammps, mace, command, external"),
        ({"cheap": {"lammps": {"potential": []}}}, "cheap.lammps.potential"),
        ({"cheap": {"external": True, "count": 0}}, "cheap.count"),
        ({"cheap": {"external": True, "socket": {"port": 80}}}, "cheap.socket.port"),
        ({"cheap": {"external": True, "socket": {"port": 31415}}}, "port is for mode inet"),
        ({"cheap": {"external": True, "socket": {"address": "a/b"}}}, "plain name without '/'"),
        ({"cheap": {"external": True, "socket": {"reply_deadline": 0}}}, "reply_deadline"),
        ({"expensive": {"mace": {"model": "m", "dtype": "float16"}}}, "expensive.mace.dtype"),
        ({"output": {"stride": 0}}, "output.stride"),
    ],
)
def test_refused(tmp_path, change, message):
    with pytest.raises(MixpiError, match=message) as error:
        load(tmp_path, change)
    assert "mixing.yaml" in str(error.value)


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
                if isinstance(part, type) and issubclass(part, BaseModel):
                    yield from fields(part)

    found = list(fields(whole))
    assert len(found) > 30
    for model, name, info in found:
        assert info.description and len(info.description) > 10, (model, name)
    text = describe_config(whole)
    assert all(f"{name}:" in text for _, name, _ in found)
    assert " true" not in [line.split(":", 1)[1] for line in text.splitlines() if "count:" in line]
