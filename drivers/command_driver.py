"""Drivers of which we know no more than how they are started, or not even that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from ..errors import MixpiError
from ..run.processes import PYTHON_OUTPUT
from .driver import Driver, Place
from .programs import fill_in, find_program, own_path, split_words


class CommandDriver(Driver):
    """Any i-PI client, by its command line."""

    kind: ClassVar[str] = "command"
    unknown: ClassVar[bool] = True

    command: str = Field(
        description="Any other i-PI client; {address}, {port} and {mode} are filled in. Files are "
        "found relative to this one; it runs in logs/<pool>-<n>. On the expensive side it must "
        "answer NEEDINIT before every evaluation, read the species from the INIT text (JSON: "
        '{"numbers": [14, ...]}) and accept another number of atoms each time: `mixpi driver '
        "mace` does, LAMMPS's fix ipi and ASE's SocketClient do not.",
    )

    def inputs(self, home: Path) -> list[str]:
        """The words of the command; see :meth:`Driver.inputs`."""
        # --model=FILE names one, too
        return [part for word in self.command.split() for part in {word, word.partition("=")[2]}]

    def argv(self, place: Place, folder: Path) -> list[str]:
        """The command with its fields filled in; see :meth:`Driver.argv`."""
        key, socket = f"{place.pool}: command", place.socket
        fields = {"address": socket.address, "port": socket.port, "mode": socket.mode}
        words = split_words(self.command, key)
        try:
            # filled in word by word: a value may hold spaces
            argv = [own_path(fill_in(word, fields), place.home) for word in words]
        except ValueError as error:
            raise MixpiError(
                f"{key}: {error}; known fields: {sorted(fields)}; other braces are doubled"
            ) from None
        program = find_program(argv[0], place.home) if argv else None
        if program is None:
            raise MixpiError(f"{key}: program {argv[0] if argv else ''!r} not found")
        return [program, *argv[1:]]

    def environment(self) -> dict[str, str]:
        """Ours; a program in Python speaks at once."""
        return os.environ | PYTHON_OUTPUT


class ExternalDriver(Driver):
    """Drivers that are started by hand."""

    kind: ClassVar[str] = "external"
    unknown: ClassVar[bool] = True

    def argv(self, place: Place, folder: Path) -> list[str]:
        """There is none."""
        raise MixpiError(f"{place.pool}: external drivers are started by hand")
