"""The name by which the ``mixing_pes.py`` of a user's folder knows the mixing layer."""

from __future__ import annotations

from .ipi.pes import MixingPES


__all__ = ["MixingPES"]
