"""mixpi: expensive forces where they matter, cheap ones elsewhere, on i-PI's sockets."""

from __future__ import annotations

from ._version import __version__
from .blending import blend_forces
from .calculator import MixingCalculator
from .clusters import Cluster, extract_cluster
from .errors import MixpiError
from .mixer import Mixer
from .regions import Regions, build_regions


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
]
