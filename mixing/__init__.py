"""mixpi: expensive forces where they matter, cheap ones elsewhere, on i-PI's sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._version import __version__
from .blending import blend_forces
from .calculator import MixingCalculator
from .clusters import Cluster, extract_cluster
from .errors import MixpiError
from .mixer import Mixer
from .regions import Regions, build_regions


if TYPE_CHECKING:
    from .initialising import init_case


__all__ = [
    "Cluster",
    "Mixer",
    "MixingCalculator",
    "MixpiError",
    "Regions",
    "__version__",
    "blend_forces",
    "build_regions",
    "extract_cluster",
    "init_case",
]


def __getattr__(name: str):
    # only when it is asked for: drivers and i-PI import the package and start without it
    if name == "init_case":
        from .initialising import init_case

        return init_case
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
