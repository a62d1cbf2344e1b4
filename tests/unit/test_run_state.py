"""The state of the mixing layer in a comment of i-PI's checkpoints."""

import numpy as np
import pytest
from ipi.utils.io.inputs.io_xml import xml_parse_file
from mixpi.errors import MixpiError
from mixpi.files.xml_files import parse_xml
from mixpi.output.run_state import append_state, read_state


XML = "<simulation><step>7</step><x> 1 &amp; 2 </x></simulation>"
STATE = {
    "weights": np.random.default_rng(1).random(5000),
    "core": np.arange(5000) % 3 == 0,
    "step": np.array(7),
    "names": np.array(["a", "bc"]),
    "none": np.empty(0),
}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "RESTART"
    path.write_text(XML)
    append_state(path, STATE)
    return path


def test_a_state_comes_back_to_the_last_bit(checkpoint):
    found = read_state(checkpoint)
    assert found.keys() == STATE.keys()
    for name, value in STATE.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == np.asarray(value).dtype


def test_i_pi_and_we_read_the_file_as_before(checkpoint):
    assert parse_xml(checkpoint, "the state").findtext("step") == "7"
    with checkpoint.open() as stream:
        assert "simulation" in dict(xml_parse_file(stream).fields)


def test_a_file_without_a_state(tmp_path):
    path = tmp_path / "RESTART"
    path.write_text(XML)
    assert read_state(path) is None


@pytest.mark.parametrize("damage", [
    lambda text: text[: len(text) // 2] + text[len(text) // 2 + 40 :],  # lines are missing
    lambda text: text.replace("U", "V"),
    lambda text: text[:200] + "\n-->\n",
])  # fmt: skip
def test_a_damaged_state_is_named(checkpoint, damage):
    checkpoint.write_text(damage(checkpoint.read_text()))
    with pytest.raises(MixpiError, match="is damaged"):
        read_state(checkpoint)


def test_objects_are_not_read(tmp_path):
    """A checkpoint of a stranger must not run code."""
    path = tmp_path / "RESTART"
    path.write_text(XML)
    with pytest.raises(ValueError, match="allow_pickle"):
        append_state(path, {"evil": np.array([object()], dtype=object)})
