"""mixpi: expensive forces where they matter, cheap ones elsewhere, on i-PI's sockets."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__


if TYPE_CHECKING:
    from .blend.blending import blend_forces
    from .blend.calculator import MixingCalculator
    from .blend.clusters import Cluster, extract_cluster
    from .blend.mixer import Mixer
    from .errors import MixpiError
    from .init.initialising import init_case
    from .regions.growth import Regions, build_regions


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

_WHERE = {
    "Cluster": "blend.clusters",
    "Mixer": "blend.mixer",
    "MixingCalculator": "blend.calculator",
    "MixpiError": "errors",
    "Regions": "regions.growth",
    "blend_forces": "blend.blending",
    "build_regions": "regions.growth",
    "extract_cluster": "blend.clusters",
    "init_case": "init.initialising",
}


def __getattr__(name: str) -> object:
    # only when it is asked for: each driver is a process that imports the package and needs none
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
