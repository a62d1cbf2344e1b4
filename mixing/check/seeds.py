"""What the seeds of a configuration are, before a run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import Atoms

from ..config import MixingConfig
from ..regions.classified import ClassifiedSeeds
from ..regions.seed_config import SeedsConfig, SpreadConfig
from ..regions.seed_rules import make_seed_rule


#: Indices that fit into a line.
MOST_INDICES = 10


def describe_seeds(config: MixingConfig, atoms: Atoms) -> Iterator[str]:
    """Which atoms are seeds, if the configuration does not list them.

    Parameters
    ----------
    config : MixingConfig
    atoms : Atoms
        The structure in i-PI's orientation.

    Yields
    ------
    str
        A line for people; notes and warnings.

    Raises
    ------
    MixpiError
        If seeds are to be found, and cannot.
    """
    section = config.seeds
    yield from _describe_committee(config)
    if isinstance(section, str) and not config.everywhere:
        yield f"seeds: {section}: {_listed(config.seed_indices)}"
    if not isinstance(section, SeedsConfig):
        return
    if section.spread is not None:
        yield from _describe_spread(config, section, section.spread)
        return
    rule = make_seed_rule(config, atoms)
    assert isinstance(rule, ClassifiedSeeds)  # of another section
    values = rule.classifier.values(atoms.positions, atoms.cell.array)
    now = np.flatnonzero(rule.classify(values))
    lower, upper = section.bounds
    # others are not asked for
    values = values[np.isfinite(values)]
    about = f" ({rule.classifier.note})" if rule.classifier.note else ""
    yield (
        f"seeds: {lower:g} <= {section.measure} <= {upper:g}{about}; values from "
        f"{values.min():g} to {values.max():g}: now {_listed(now.tolist())}"
    )
    if len(now) == 0:
        yield "note: no atom is a seed now: until one is, every force is cheap"
    elif len(now) == len(atoms):
        yield "warning: every atom is a seed: nothing is left to the cheap potential"


def _describe_committee(config: MixingConfig) -> Iterator[str]:
    mace = config.expensive.mace
    if mace and mace.committee and not config.by_spread:
        yield (
            f"note: expensive: forces are the mean of {len(mace.models)} models, which take as "
            "many times as long as one; how far they are apart is not used (seeds: spread)"
        )


def _describe_spread(
    config: MixingConfig, section: SeedsConfig, spread: SpreadConfig
) -> Iterator[str]:
    """What is known of them before the first evaluation."""
    lower, upper = section.bounds
    first = "of all atoms" if section.start == "all" else f"of {_listed(config.seed_indices)}"
    yield (
        f"seeds: {lower:g} <= {section.measure} <= {upper:g}; known after the first evaluation, "
        f"{first}; then a patch of {spread.patch:g} Å outside the region every {spread.every} steps"
    )


def _listed(indices: list[int]) -> str:
    shown = " ".join(map(str, indices[:MOST_INDICES]))
    more = " ..." if len(indices) > MOST_INDICES else ""
    return f"{len(indices)} atom(s){': ' if indices else ''}{shown}{more}"
