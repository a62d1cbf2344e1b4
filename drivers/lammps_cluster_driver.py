"""Any LAMMPS potential as a driver of clusters, through LAMMPS's Python module."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from ..files.yaml_files import Positive, Section
from . import lammps
from .engine_driver import EngineDriver
from .lammps_cluster import LammpsClusterEngine
from .lammps_driver import potential_words
from .lammps_partial import LammpsPartialEngine
from .lammps_ranks import run_ranks


class SitesSection(Section):
    """Which atoms are computed (:mod:`mixpi.drivers.lammps_sites`)."""

    sites: Positive = Field(
        description="Å; the energies that count are those of atoms closer than this to one of "
        "positive weight. Exact from the potential's cutoff on."
    )


class LammpsClusterDriver(EngineDriver):
    """Any LAMMPS potential on clusters of changing size (``mixpi driver lammps-cluster``)."""

    kind: ClassVar[str] = "lammps_cluster"
    help: ClassVar[str] = "a LAMMPS potential, on clusters of changing size"

    potential: list[str] = Field(
        min_length=1,
        description="The pair_style and pair_coeff lines, as for 'lammps'. Potential files are "
        "looked for beside this file, then in LAMMPS's own folder.",
    )
    species: list[str] | None = Field(
        None,
        description="Chemical symbols in the order of LAMMPS atom types (default: as the lines "
        "name them).",
    )
    arguments: str = Field(
        "", description="Command line flags of LAMMPS, e.g. '-k on t 2 -sf kk' for Kokkos."
    )
    partial: SitesSection | None = Field(
        None,
        description="Compute only what matters for the atoms of positive weight, in a wider "
        "cluster: for snap, pace, pod and mliap half the time at the same error. The buffer is "
        "then this radius and the potential's cutoff.",
    )
    launch: str = Field(
        "",
        description="Prefix of the command line, e.g. 'mpirun -n 2' for LAMMPS on two MPI ranks "
        "(needs mixpi[mpi]).",
    )

    def inputs(self, home: Path) -> list[str]:
        """The potential's files; see :meth:`Driver.inputs`."""
        return [*potential_words(self.potential, home), *self.launch.split()]

    def environment(self) -> dict[str, str]:
        """One thread a rank, and the MPI library of the wheel's LAMMPS."""
        return lammps.environment() | super().environment()

    def load(self, home: Path) -> LammpsClusterEngine:
        """The potential, read by LAMMPS; see :class:`LammpsClusterEngine` for what is raised."""
        return LammpsClusterEngine(
            self.potential, species=self.species, folder=home, arguments=self.arguments
        )

    def serving_engine(
        self, home: Path, bulk: Path | None
    ) -> LammpsClusterEngine | LammpsPartialEngine:
        """The potential as configured: all of a cluster, or what matters."""
        engine = self.load(home)
        if self.partial is None:
            return engine
        return LammpsPartialEngine(engine, sites=self.partial.sites)

    @property
    def wants_depths(self) -> bool:
        """Partial evaluation needs to know how far the atoms are from those that count."""
        return self.partial is not None

    def serve(
        self, home: Path, require: Iterable[str], bulk: Path | None = None, **options: Any
    ) -> int:
        """The life of a driver process, or of one of several MPI ranks."""
        return run_ranks(self.maker(home, require), label=self.kind, **options)

    def error_in(self, log: str) -> str | None:
        """LAMMPS's own error text."""
        return lammps.said_in(log)
