"""The text of the files of a simulation's folder."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

import yaml

from ..drivers.mace_driver import MaceDriver
from ..files.yaml_files import UniqueKeys
from .starting_radii import StartingRadii


#: ``mixing_pes.py``.
PES = '''\
"""Tells i-PI where the mixing layer is (<pes_path> in input.xml)."""

from mixpi.ipi_pes import MixingPES  # noqa: F401


__DRIVER_NAME__, __DRIVER_CLASS__ = "mixpi", "MixingPES"
'''

#: Indices on a line of a long list.
PER_LINE = 12


def input_xml(
    *,
    title: str,
    steps: int,
    timestep: float,
    ensemble: str,
    temperature: float,
    velocities: float,
    velocities_why: str,
    fixed: Sequence[int] = (),
    masses: Sequence[float] = (),
) -> str:
    """An i-PI input that reads ``init.extxyz`` and mixes as ``mixing.yaml`` says.

    Parameters
    ----------
    title : str
        What is simulated.
    steps : int
        Length.
    timestep : float
        fs.
    ensemble : {"nve", "nvt"}
        nvt: with a Langevin thermostat.
    temperature, velocities : float
        K; of the thermostat, and at which the velocities are drawn.
    velocities_why : str
        Why that.
    fixed : sequence of int
        Atoms that do not move.
    masses : sequence of float
        In dalton, if they are not those of the elements.

    Returns
    -------
    str
    """
    thermostat = (
        "\n        <thermostat mode='langevin'><tau units='femtosecond'>100</tau></thermostat>"
        if ensemble == "nvt"
        else ""
    )
    fixed_tag = f"\n      <fixatoms>{_array(fixed)}</fixatoms>" if len(fixed) else ""
    masses_tag = (
        f"\n      <masses mode='manual' units='dalton'>{_array(masses)}</masses>"
        if len(masses)
        else ""
    )
    return f"""\
<!-- {title.replace("--", "- -")} -->
<simulation verbosity='low' safe_stride='10'>
  <total_steps>{steps}</total_steps>
  <output prefix='md'>
    <properties stride='1' filename='out'>
      [ step, time{{femtosecond}}, conserved{{electronvolt}}, temperature{{kelvin}},
        potential{{electronvolt}}, kinetic_md{{electronvolt}} ]
    </properties>
    <trajectory filename='pos' stride='10' format='ase' cell_units='ase'> positions </trajectory>
    <checkpoint filename='checkpoint' stride='100' overwrite='True'/>
  </output>
  <prng><seed>20261122</seed></prng>
  <ffdirect name='mix'>
    <pes>custom</pes>
    <pes_path>mixing_pes.py</pes_path>
    <parameters>{{config: mixing.yaml}}</parameters>
  </ffdirect>
  <system>
    <initialize nbeads='1'>
      <file mode='ase' units='ase'>init.extxyz</file>{masses_tag}
      <!-- {_wrapped(velocities_why, 84, " " * 11)} -->
      <velocities mode='thermal' units='kelvin'>{velocities:g}</velocities>
    </initialize>
    <forces><force forcefield='mix'/></forces>
    <motion mode='dynamics'>{fixed_tag}
      <dynamics mode='{ensemble}'>
        <timestep units='femtosecond'>{timestep:g}</timestep>{thermostat}
      </dynamics>
    </motion>
    <ensemble><temperature units='kelvin'>{temperature:g}</temperature></ensemble>
  </system>
</simulation>
"""


def mixing_yaml(
    *,
    seeds: Sequence[int],
    seeds_why: str,
    radii: StartingRadii,
    potential: Sequence[str],
    species: Sequence[str] | None,
    mace: MaceDriver,
) -> str:
    """The commented configuration of the mixing layer.

    Parameters
    ----------
    seeds : sequence of int
        Seed atoms; none: all forces are cheap.
    seeds_why : str
        How they were chosen.
    radii : StartingRadii
        Å.
    potential : sequence of str
        LAMMPS lines, files by their names in the folder.
    species : sequence of str or None
        In the order of LAMMPS's atom types.
    mace : MaceDriver
        The expensive model.

    Returns
    -------
    str
    """
    listed = _array(seeds) if len(seeds) else "none"
    species_line = f"\n    species: [{', '.join(map(_word, species))}]" if species else ""
    lines = "\n".join(f"      - {_word(line)}" for line in potential)
    model = "\n".join(
        f"    {key}: {_word(value) if isinstance(value, str) else value}"
        for key, value in mace.model_dump(exclude_defaults=True).items()
    )
    return f"""\
# Which atoms are expensive, and who computes what ("mixpi config" explains every key).
structure: init.extxyz

{_comment(seeds_why + ".")}
seeds: {listed}

{_comment("To begin with: " + radii.why + ".")}
# 'mixpi calibrate input.xml' measures how wide the buffer must be, and whether the core is
# wide enough: a species that the cheap potential leaves alone needs a wider one.
regions:          # Å
  core: {radii.core}
  blend: {radii.blend}
  buffer: {radii.buffer}

cheap:
  lammps:{species_line}
    potential:
{lines}

expensive:
  mace:
{model}

output:
  trajectory: mix.extxyz
  stride: 10
"""


def _comment(text: str) -> str:
    return "# " + _wrapped(text, 88, "# ")


def _wrapped(text: str, width: int, indent: str) -> str:
    return f"\n{indent}".join(textwrap.wrap(text, width))


def _array(values: Sequence[float]) -> str:
    """``[ 1, 2, 3 ]``, on several lines if it is long: YAML and i-PI read both."""
    words = [f"{value:.10g}" for value in values]
    rows = [", ".join(words[k : k + PER_LINE]) for k in range(0, len(words), PER_LINE)]
    return f"[{(',' + chr(10) + '    ').join(rows)}]"


def _word(text: str) -> str:
    """A YAML scalar: as it is if YAML reads it so, else quoted (JSON is YAML)."""
    try:
        plain = yaml.load(f"- {text}", UniqueKeys) == [text]
        plain = plain and yaml.load(f"[{text}]", UniqueKeys) == [text]
    except yaml.YAMLError:
        plain = False
    return text if plain else json.dumps(text, ensure_ascii=False)
