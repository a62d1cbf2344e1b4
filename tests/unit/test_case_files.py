"""The text of the files of a simulation's folder."""

from __future__ import annotations

import pytest
import yaml
from mixpi.config import MixingConfig
from mixpi.drivers.mace_driver import MaceDriver
from mixpi.files.yaml_files import UniqueKeys
from mixpi.init.case_files import mixing_yaml
from mixpi.init.starting_radii import StartingRadii


@pytest.mark.parametrize("head", ["pbe", "1e5", "010", "yes", "a: b", "1:30", "#1", "0.5"])
def test_words_come_back_as_they_were(head):
    """Also those that look like numbers to the reader of the configuration."""
    text = mixing_yaml(
        seeds=[3],
        seeds_why="as given",
        radii=StartingRadii(3.0, 3.0, 5.0, "by rule"),
        potential=["pair_style zero 3", "pair_coeff * *"],
        species=["No", "Y"],
        mace=MaceDriver(model="a.model", head=head),
    )
    config = MixingConfig.model_validate(yaml.load(text, UniqueKeys))
    assert config.expensive.mace.head == head
    assert config.cheap.lammps.species == ["No", "Y"]
