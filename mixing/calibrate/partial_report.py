"""What a calibration found of partial evaluation: table, sentences, picture."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from ..analysis.plotting import COLOURS
from .partial import LAYERS, PartialCalibration, PartialResult, PlainResult


if TYPE_CHECKING:
    from .calibration import Calibration


TITLE = "Partial evaluation against exact forces"
COLUMNS = (
    "sites, features: radii (Å); buffer: what they need (Å); atoms: in the cluster; node "
    f"evaluations: atoms with features, and with a site energy; of a whole cluster {LAYERS} an "
    "atom. Errors as above; a pair known to be too bad is not measured on further snapshots."
)
HEAD = [
    *("sites", "features", "buffer", "atoms", "node evaluations"),
    *("weighted", "median", "largest", "n", "time (s)"),
]  # fmt: skip


def cells(found: Calibration) -> list[tuple[list[str], bool]]:
    """Rows of the table, as text: the pairs, then whole clusters; and which is the answer."""
    partial = found.partial
    assert partial is not None
    rows = [
        (_row(result, _mark(result, partial)), _radii(result) == partial.recommended)
        for result in partial.results
    ]
    for whole in partial.plain:
        result = next(r for r in found.results if r.buffer == whole.buffer)
        row = ["whole", "whole", f"{whole.buffer:g}", str(whole.atoms), str(whole.evaluations)]
        row += [*_errors(result.error.weighted, result.errors), f"{whole.seconds:.3f}"]
        rows.append((row, False))
    return rows


def sentences(found: Calibration) -> list[str]:
    """What the table means, a line each."""
    partial = found.partial
    assert partial is not None
    lines = []
    configured, recommended = (
        partial.of(radii) for radii in (partial.configured, partial.recommended)
    )
    if configured is not None:
        verdict = "within" if configured.error.weighted <= found.tolerance else "ABOVE"
        line = f"partial evaluation as configured: {_words(configured)}: {verdict} the tolerance"
        if found.configured < configured.buffer - 1e-6:
            line += f"; it needs buffer: {configured.buffer:g}, the YAML has {found.configured:g}"
        lines.append(line)
    if recommended is not None:
        lines.append(f"recommended partial evaluation: {_words(recommended)}")
        lines.append(
            f"(the cheapest whose error is at most {partial.tolerance:g} eV/Å, half the tolerance: "
            "about what whole clusters leave, so that energies are kept as well)"
        )
        lines.append(_against_plain(found, recommended))
    elif partial.searched:
        widest = max(partial.results, key=lambda r: (r.evaluations, r.sites))
        lines.append(
            f"no partial evaluation up to {widest.sites:g} / {widest.features:g} Å is within "
            f"{partial.tolerance:g} eV/Å, half the tolerance: allow a larger reference "
            "(--full-atoms) or a larger --tolerance"
        )
    else:
        lines.append("whether other radii take less work: --partial")
    answer = recommended or configured
    if partial.check is not None and answer is not None:
        verdict = "within" if partial.check.weighted <= found.tolerance else "ABOVE"
        lines.append(
            f"check on {found.check_source}, with {answer.sites:g} / {answer.features:g} Å: "
            f"weighted rms {partial.check.weighted:.2g} eV/Å: {verdict} the tolerance"
        )
    if partial.lines:
        whole = _recommended_whole(found)
        quicker = whole and recommended and _is_quicker(whole, recommended)
        condition = ", if it shall be partial all the same" if quicker else ""
        lines += [f"to write into the YAML{condition}:", partial.lines]
    return lines


def draw(axes: Any, found: Calibration) -> None:
    """Error against node evaluations, of whole clusters and of parts.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Empty ones.
    found : Calibration
        With partial evaluation.
    """
    partial = found.partial
    assert partial is not None

    def points(results: list) -> list[float]:
        return [max(result.error.weighted, 1e-16) for result in results]

    whole = [LAYERS * result.atoms for result in found.results]
    axes.plot(whole, points(found.results), "o-", color=COLOURS["core"], label="whole clusters")
    several = [r for r in partial.results if _radii(r) != partial.recommended]
    work = [result.evaluations for result in several]
    axes.plot(work, points(several), "s", color=COLOURS["blend"], label="parts that were tried")
    for radii, marker, label in (
        (partial.configured, "D", "as configured"),
        (partial.recommended, "*", "recommended"),
    ):
        result = partial.of(radii)
        if result is not None:
            axes.plot(
                [result.evaluations],
                points([result]),
                marker,
                color="#3b8686",
                markersize=11,
                fillstyle="none" if marker == "D" else "full",
                ls="none",
                label=f"{label}, {result.sites:g} / {result.features:g} Å",
            )
    axes.axhline(found.tolerance, color="#777777", lw=0.8)
    axes.axhline(partial.tolerance, color="#777777", lw=0.8, ls=":")
    axes.set(xscale="log", yscale="log", xlabel="node evaluations", ylabel="weighted rms (eV/Å)")
    axes.set_ylim(bottom=max(axes.get_ylim()[0], 1e-3 * found.tolerance))
    axes.legend(frameon=False, fontsize="small")


def _against_plain(found: Calibration, part: PartialResult) -> str:
    """What whole clusters need for the same."""
    whole = _recommended_whole(found)
    if whole is None:
        return "no whole cluster that was tried is within the tolerance"
    less = (
        f"{whole.evaluations / part.evaluations:.2g} times the work, "
        f"{whole.seconds / part.seconds:.2g} times the time (atoms at the edge of a cluster have "
        "fewer neighbours, so that a node takes less)"
    )
    if _is_quicker(whole, part):
        less += ": leave partial out"
    return (
        f"whole clusters take for that a {_plain_words(whole)}, weighted rms error "
        f"{found.chosen.error.weighted:.2g}: {less}"
    )


def _recommended_whole(found: Calibration) -> PlainResult | None:
    """Whole clusters with the recommended buffer; None if none that was tried is good enough."""
    assert found.partial is not None
    return next((r for r in found.partial.plain if r.buffer == found.recommended), None)


def _is_quicker(whole: PlainResult, part: PartialResult) -> bool:
    """Whether whole clusters take less, counted or measured: small models spend time elsewhere."""
    return whole.evaluations <= part.evaluations or whole.seconds < part.seconds


def _plain_words(whole: PlainResult) -> str:
    return (
        f"buffer of {whole.buffer:g} Å, {whole.evaluations} node evaluations, {whole.seconds:.3g} s"
    )


def _words(result: PartialResult) -> str:
    text = (
        f"sites {result.sites:g} Å, features {result.features:g} Å  ({result.evaluations} node "
        f"evaluations, {result.seconds:.3g} s; weighted rms error {result.error.weighted:.2g}"
    )
    if len(result.errors) > 1:
        text += f", the upper value over {len(result.errors)} snapshots"
    return f"{text})"


def _radii(result: PartialResult) -> tuple[float, float]:
    return result.sites, result.features


def _mark(result: PartialResult, partial: PartialCalibration) -> str:
    if _radii(result) == partial.recommended:
        return "* "
    return "configured " if _radii(result) == partial.configured else ""


def _row(result: PartialResult, mark: str) -> list[str]:
    return [
        f"{mark}{result.sites:g}",
        f"{result.features:g}",
        f"{result.buffer:g}",
        str(result.atoms),
        str(result.evaluations),
        *_errors(result.error.weighted, result.errors),
        f"{result.seconds:.3f}",
    ]


def _errors(upper: float, errors: list[float]) -> list[str]:
    several = len(errors) > 1
    return [
        f"{upper:.1e}",
        *(f"{of(errors):.1e}" if several else "–" for of in (median, max)),
        str(len(errors)),
    ]
