"""Tells i-PI where the mixing layer is (<pes_path> in input.xml)."""

from mixpi.ipi_pes import MixingPES  # noqa: F401


__DRIVER_NAME__, __DRIVER_CLASS__ = "mixpi", "MixingPES"
