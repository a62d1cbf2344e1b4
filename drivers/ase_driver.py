"""Any ASE calculator as a driver, also in a Python of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from ..errors import MixpiError
from ..files.names import FileName
from ..files.yaml_files import Positive
from .ase_engine import AseEngine
from .ase_environment import ase_command, describe
from .driver import Place
from .engine_driver import EngineDriver


class AseDriver(EngineDriver):
    """Any ASE calculator as driver (``mixpi driver ase``)."""

    kind: ClassVar[str] = "ase"
    help: ClassVar[str] = "an ASE calculator, on clusters or (--template) whole systems"
    not_flags: ClassVar[frozenset[str]] = frozenset({"launch", "python"})

    calculator: str = Field(
        pattern=r"^[^:\s]+:[^:\s]+$",
        description="'module:factory': a class or function that returns the calculator, e.g. "
        "'sevenn.calculator:SevenNetCalculator'. The module is an installed one, or a file beside "
        "this one. It is code, which loading it runs.",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="What the factory is called with, by name; names of files beside this one "
        "are found.",
    )
    python: FileName | None = Field(
        None,
        description="The Python of another virtual environment, or its folder, where the "
        "calculator and ase are installed (mixpi need not be). Default: this one.",
    )
    species: list[str] | None = Field(
        None, description="Chemical symbols that it knows, if it should refuse others."
    )
    interaction_range: Positive | None = Field(
        None, description="Å; how far the force on an atom depends on others, if that is known."
    )
    threads: int | None = Field(None, ge=1, description="Threads on the CPU (OMP_NUM_THREADS).")
    launch: str = Field("", description="Prefix of the command line, e.g. 'srun --gpus 1'.")

    def inputs(self, home: Path) -> list[str]:
        """The module and what its arguments name; see :meth:`Driver.inputs`."""
        module = self.calculator.partition(":")[0].replace(".", "/") + ".py"
        return [module, *_words_in(self.arguments), *self.launch.split()]

    def load(self, home: Path) -> AseEngine:
        """The calculator, made in this process; see :class:`AseEngine` for what is raised."""
        if self.python is not None:
            raise MixpiError(
                "the calculator lives in a Python of its own (ase: python), and can be evaluated "
                "by a driver only"
            )
        return AseEngine(
            self.calculator,
            arguments=self.arguments,
            folder=home,
            species=self.species,
            interaction_range=self.interaction_range,
        )

    def command(self, home: Path) -> list[str]:
        """The client of the calculator's own Python; see :func:`ase_command`."""
        return ase_command(
            self.calculator,
            arguments=self.arguments,
            python=self.python,
            folder=home,
            species=self.species,
            interaction_range=self.interaction_range,
        )

    def _facts(self, place: Place) -> dict:
        return describe(
            self.command(place.home), environment=self.environment(), structure=place.first
        )


def _words_in(value: object) -> Iterator[str]:
    """All texts in an argument, however deep in lists and sections."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (word for one in value.values() for word in _words_in(one))
    elif isinstance(value, list | tuple):
        yield from (word for one in value for word in _words_in(one))
