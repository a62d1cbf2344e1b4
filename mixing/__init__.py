"""mixpi: expensive forces where they matter, cheap ones elsewhere, on i-PI's sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._version import __version__
from .blend.blending import blend_forces
from .blend.calculator import MixingCalculator
from .blend.clusters import Cluster, extract_cluster
from .blend.mixer import Mixer
from .errors import MixpiError
from .regions.growth import Regions, build_regions


if TYPE_CHECKING:
    from .init.initialising import init_case


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


def __getattr__(name: str) -> object:
    # only when it is asked for: drivers and i-PI import the package and start without it
    if name == "init_case":
        from .init.initialising import init_case

        return init_case
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
