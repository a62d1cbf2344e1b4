"""What the forces of an input mean: who is asked how often in a step, and what they add up to."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from ..blend.levels import PARTS
from ..errors import MixpiError
from ..ipi.input import IpiInput, MixingLayer
from ..ipi.view import Force, IpiView


def check_forces(ipi_input: IpiInput, view: IpiView) -> Iterator[str]:
    """Look at the weights of the force components and at what they are together.

    Parameters
    ----------
    ipi_input : IpiInput
        The input.
    view : IpiView
        What i-PI understood of it.

    Yields
    ------
    str
        Warnings and notes; last, how often each potential is evaluated in a step.

    Raises
    ------
    MixpiError
        If the atoms would feel something else than mixed forces.
    """
    _require_whole_hamiltonian(ipi_input)
    for layer in ipi_input.layers:
        _require_no_bias(ipi_input, layer)
        _check_beads(ipi_input, layer)
        yield from _check_weights(ipi_input, layer, _components(view, layer.name))
    yield from _check_contraction(ipi_input)
    if ipi_input.part == "delta":
        yield from _check_correction(ipi_input, view)
    if sentence := evaluations_in_words(ipi_input, view):
        yield sentence


def _components(view: IpiView, name: str) -> list[Force]:
    return [force for force in view.forces if force.forcefield == name]


def _total(forces: list[Force]) -> float:
    return sum(force.weight * sum(force.mts_weights) for force in forces)


def _what(layer: MixingLayer) -> str:
    return {"cheap": "cheap forces", "delta": "correction"}.get(layer.part, "mixed forces")


def _check_weights(ipi_input: IpiInput, layer: MixingLayer, forces: list[Force]) -> Iterator[str]:
    file, name = ipi_input.path.name, layer.name
    if not forces:
        return
    total = _total(forces)
    if all(force.weight == 0 or not any(force.mts_weights) for force in forces):
        raise MixpiError(
            f"{file}: the weights of <force forcefield='{name}'> are all 0 (weight, mts_weights), "
            f"so i-PI would compute no {_what(layer)}"
        )
    if not math.isfinite(total):
        raise MixpiError(f"{file}: a weight of <force forcefield='{name}'> is no finite number")
    if not math.isclose(total, 1.0, rel_tol=1e-6):
        yield (
            f"warning: the weights of <force forcefield='{name}'> add up to {total:g}, so the "
            f"atoms feel that many times the {_what(layer)}; 1 is usual"
        )


def _require_whole_hamiltonian(ipi_input: IpiInput) -> None:
    """i-PI 3.3 weights the energy with these, but not the forces."""
    for node in ipi_input.root.iterfind(".//ensemble/hamiltonian_weights"):
        weights = [float(word) for word in re.findall(r"[^\s,\[\]]+", node.text or "")]
        if any(weight != 1.0 for weight in weights):
            raise MixpiError(
                f"{ipi_input.path.name}: <hamiltonian_weights> other than 1 count in i-PI's "
                "energy, but not in its forces: leave them out"
            )


def _require_no_bias(ipi_input: IpiInput, layer: MixingLayer) -> None:
    """A bias is added to the forces: the atoms would feel the layer's twice."""
    for force in ipi_input.root.iterfind(".//ensemble/bias/force"):
        if force.get("forcefield", "").strip() == layer.name:
            raise MixpiError(
                f"{ipi_input.path.name}: <bias> in <ensemble> names the mixing layer "
                f"'{layer.name}', whose forces i-PI would add once more to those of <forces>: "
                "leave it out there"
            )


def _check_beads(ipi_input: IpiInput, layer: MixingLayer) -> None:
    """A row and a frame belong to one ring polymer."""
    beads = ipi_input.all_beads
    asked = [
        int(force.get("nbeads") or 0) or beads
        for force in ipi_input.root.iter("force")
        if force.get("forcefield", "").strip() == layer.name
    ]
    if len({min(count, beads) for count in asked}) > 1:
        raise MixpiError(
            f"{ipi_input.path.name}: several <force forcefield='{layer.name}'> have other nbeads "
            f"({', '.join(map(str, asked))}): all that name one mixing layer must have the same"
        )


def _check_contraction(ipi_input: IpiInput) -> Iterator[str]:
    """Modes of the ring polymer that no force acts on are those of a free particle."""
    file, beads = ipi_input.path.name, ipi_input.all_beads
    asked = [
        int(force.get("nbeads") or 0) or beads
        for force in ipi_input.root.iterfind(".//forces/force")
        if float(force.get("weight", "1")) != 0.0
    ]
    most = max(asked, default=beads)
    if most >= beads:
        return
    if most == 1:
        raise MixpiError(
            f"{file}: all forces are on the centroid of {beads} beads (nbeads='1' of <force>), so "
            "that the beads are held by their springs alone, and all that is quantum about the "
            "atoms is that of free ones. Leave nbeads out of one of them, the cheapest (the cheap "
            "forces, with the correction contracted), or ask for 1 bead"
        )
    yield (
        f"warning: no force of {file} acts on all {beads} beads (nbeads='{most}' of <force> at "
        f"most): what is quantum in the {beads - most} fastest modes of each atom is that of a "
        "free particle. Leave nbeads out of the cheapest of them"
    )


def _check_correction(ipi_input: IpiInput, view: IpiView) -> Iterator[str]:
    """A correction alone moves nothing as it should: the cheap forces must be there, in full."""
    file, delta = ipi_input.path.name, ipi_input.main
    cheap = [layer for layer in ipi_input.layers if layer.part == "cheap"]
    others = [force for force in view.forces if force.forcefield != delta.name]
    if not others:
        raise MixpiError(
            f"{file} has the correction '{delta.name}' (part: delta) and no cheap forces that it "
            "corrects: add a mixing layer with {config: mixing.yaml, part: cheap} and "
            "<force forcefield='...'/> for it"
        )
    ours = _components(view, delta.name)
    if not cheap:
        names = " and ".join(sorted({force.forcefield for force in others}))
        yield (
            f"note: the cheap forces come from '{names}', which mixpi neither starts nor looks "
            "after, and cannot compare with what the correction is taken from: they must be those "
            "of 'cheap:' in the configuration. A mixing layer with {config: mixing.yaml, part: "
            "cheap} does all this"
        )
    else:
        others = _components(view, cheap[0].name)
    if not math.isclose(_total(others), _total(ours), rel_tol=1e-6):
        raise MixpiError(
            f"{file}: the weights (weight, mts_weights) of the cheap forces add up to "
            f"{_total(others):g}, those of the correction to {_total(ours):g}: together they are "
            "mixed forces only if both are the same"
        )
    if cheap and ipi_input.beads_of(cheap[0]) < ipi_input.beads:
        yield (
            f"warning: the cheap forces are on {ipi_input.beads_of(cheap[0])} bead(s) and the "
            f"correction on {ipi_input.beads} (nbeads='...' of <force>): are they exchanged?"
        )
    if _deepest(ours) > _deepest(others):
        yield (
            "warning: by their mts_weights the correction is on a faster level than the cheap "
            "forces, and is computed more often: are they exchanged?"
        )


def _deepest(forces: list[Force]) -> int:
    """The fastest level of multiple time steps on which any of them acts."""
    levels = [k for force in forces for k, weight in enumerate(force.mts_weights) if weight]
    return max(levels, default=0)


def evaluations_per_step(ipi_input: IpiInput, view: IpiView) -> dict[str, int]:
    """How many geometries each pool is given in a step.

    Parameters
    ----------
    ipi_input : IpiInput
        The input.
    view : IpiView
        What i-PI understood of it.

    Returns
    -------
    dict of str to int
        Pool → geometries, beads counted each; empty for motions that do not tell.
    """
    if len(view.motions) != 1 or not view.motions[0].nmts:
        return {}
    found: dict[str, int] = {}
    for layer in ipi_input.layers:
        # a level is reached as often as all slower ones together
        times = math.prod(view.motions[0].nmts[: _deepest(_components(view, layer.name)) + 1])
        for level in PARTS[layer.part]:
            if level.pool in ipi_input.pools:
                found[level.pool] = times * ipi_input.beads_of(layer)
    return found


def evaluations_in_words(ipi_input: IpiInput, view: IpiView) -> str:
    """The same as a sentence; empty where it goes without saying."""
    found = evaluations_per_step(ipi_input, view)
    if not found or (set(found.values()) == {1} and ipi_input.all_beads == 1):
        return ""
    parts = [f"{count} {pool}" for pool, count in found.items()]
    beads, contracted = ipi_input.all_beads, ipi_input.beads
    where = ""
    if contracted < beads:
        name = "the centroid" if contracted == 1 else f"a ring polymer contracted to {contracted}"
        where = f" ({_what(ipi_input.main)} on {name} of {beads} beads)"
    return f"evaluations per step: {', '.join(parts)}{where}"
