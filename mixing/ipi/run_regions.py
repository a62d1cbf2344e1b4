"""The regions of a run: what its configuration, i-PI and the state it continues from make them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten

import numpy as np
from ase import Atoms

from ..blend.mixer import Mixer
from ..config import MixingConfig
from ..errors import MixpiError
from ..regions.following import Following
from ..regions.groups import Groups
from ..regions.seed_config import SeedsConfig
from ..regions.seed_rules import fixed_seeds, make_seed_rule


#: How the parts of a state that are the regions' are named.
PREFIX = "regions."
#: Characters of a setting that is told.
LONGEST = 60


def make_mixer(config: MixingConfig, atoms: Atoms, *, still: bool = False) -> Mixer:
    """Who mixes, with a memory if the configuration asks for one.

    Parameters
    ----------
    config : MixingConfig
        Seeds and radii.
    atoms : Atoms
        The system.
    still : bool
        For geometries that are no steps of a run: the seeds are those of the structure's file.

    Raises
    ------
    MixpiError
        If seeds, radii or groups are wrong.
    """
    regions, following = config.regions, None
    try:
        if regions.remember or (config.classified and not still):
            radii = {name: value for name, value in regions.radii.items() if name != "buffer"}
            following = Following(
                fixed_seeds(config, atoms) if still else make_seed_rule(config, atoms),
                len(atoms),
                radii,
                every=regions.every,
                tau_in=regions.tau_in,
                tau_out=regions.tau_out,
                leave=regions.leave,
                groups=read_groups(config, atoms),
                made_by=_in_words(config),
            )
        return Mixer(
            atoms.numbers,
            [] if following else config.seed_indices,
            **regions.radii,
            remove_net_force=config.remove_net_force,
            following=following,
        )
    except (ValueError, IndexError) as error:
        raise MixpiError(str(error)) from None


def _in_words(config: MixingConfig) -> dict[str, str]:
    """The settings that make the weights, and not only how fast they follow."""
    regions = config.regions
    settings = {name: f"{value}" for name, value in regions.radii.items() if name != "buffer"}
    if config.classified:
        seeds = config.seeds.model_dump_json() if isinstance(config.seeds, SeedsConfig) else ""
    else:
        seeds = json.dumps(list(config.seed_indices))
    return {**settings, "leave": f"{regions.leave}", "groups": f"{regions.groups}", "seeds": seeds}


def changes_in_words(following: Following, before: Mapping[str, np.ndarray]) -> str:
    """Which settings have made the weights of a state, and are others now; empty for none.

    Parameters
    ----------
    following : Following
        Who would go on from it.
    before : mapping of str to ndarray
        The state.

    Returns
    -------
    str
    """
    return ", ".join(
        f"{name} ({shorten(then, LONGEST)}, now {shorten(now, LONGEST)})"
        for name, (then, now) in following.changed_since(before).items()
    )


def read_groups(config: MixingConfig, atoms: Atoms) -> Groups | None:
    """The groups of a system; None without any.

    Raises
    ------
    MixpiError
        If the structure does not have them.
    ValueError
        As :class:`mixpi.regions.groups.Groups`.
    """
    name = config.regions.groups
    if name is None:
        return None
    if name not in atoms.arrays:
        there = ", ".join(sorted(atoms.arrays))
        raise MixpiError(
            f"groups: {Path(config.structure).name} has no array '{name}'; it has {there}"
        )
    return Groups(atoms.arrays[name])
