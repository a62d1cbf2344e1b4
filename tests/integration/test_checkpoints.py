"""A run that is killed while i-PI writes a checkpoint can go on from a whole one."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from conftest import PES


#: Ends i-PI in its Nth checkpoint: the file that it writes is open and empty, or half written.
KILL = """
import os, signal
from ipi.engine import outputs
from ipi.inputs.simulation import InputSimulation

MOMENT, LEFT = "{moment}", [{number}]

def at(moment, function):
    def wrapped(*arguments, **options):
        found = function(*arguments, **options)
        if moment == MOMENT:
            LEFT[0] -= 1
            if LEFT[0] == 0:
                if moment == "half":
                    open_files = [f"/proc/self/fd/{{n}}" for n in os.listdir("/proc/self/fd")]
                    name = [os.readlink(f) for f in open_files if os.path.exists(f)]
                    [name] = [n for n in name if "checkpoint" in os.path.basename(n)]
                    with open(name, "a") as stream:
                        stream.write(found[: len(found) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
        return found
    return wrapped

outputs.get_identification_info_xml = at("empty", outputs.get_identification_info_xml)
InputSimulation.write = at("half", InputSimulation.write)
"""


@pytest.mark.parametrize("moment", ["empty", "half"])
def test_killed_in_a_checkpoint(make_case, moment):
    """Also the first checkpoint of all may be hit: the third is, here, of every fifth step."""
    case = make_case(steps=20, stride=5)
    xml = case.input.read_text()
    line = "<checkpoint filename='checkpoint' stride='5' overwrite='True'/></output>"
    case.input.write_text(xml.replace("</output>", line))
    pes = case.folder / "mixing_pes.py"
    pes.write_text(PES + KILL.format(moment=moment, number=3))
    ended = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert ended.returncode != 0

    left = case.folder / "md.checkpoint"
    assert ElementTree.parse(left).findtext("step").strip() == "5"
    pes.write_text(PES)
    done = case.mixpi("run", "md.checkpoint", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    assert len(case.positions()) == 5
    assert not list(case.folder.glob(".*.part"))
    reference = make_case(folder="reference", steps=20, stride=5)
    assert reference.mixpi("run", "input.xml", "--no-reference", "--quiet").returncode == 0
    np.testing.assert_allclose(case.positions(), reference.positions(), atol=1e-7)
