"""A MACE model as a driver, evaluated by mace-torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field

from ..files.names import FileName
from .driver import Place
from .engine_driver import EngineDriver
from .mace import MaceEngine
from .mace_files import file_hash, model_path, require_hash


class MaceDriver(EngineDriver):
    """A MACE model as driver (``mixpi driver mace``)."""

    kind: ClassVar[str] = "mace"
    help: ClassVar[str] = "a MACE model, on clusters or (--template) whole systems"

    model: FileName = Field(
        description="Model file (relative to this file), or the name of a MACE foundation model "
        "such as 'medium-mpa-0', which mace-torch then looks up in its cache or downloads. A model "
        "is code (a pickle), which loading it runs: use only models that you trust."
    )
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the model file, as 'mixpi check' and sha256sum print it: another "
        "file is refused by check and by the driver, before anything in it is run.",
    )
    head: str | None = Field(
        None,
        min_length=1,
        description="Which head of a model with several (one for each level of theory that it was "
        "trained on).",
    )
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:<n>.")
    dtype: Literal["float64", "float32"] = Field("float64", description="Floating point type.")
    threads: int | None = Field(
        None, ge=1, description="Threads for torch on the CPU (default: torch's choice)."
    )
    launch: str = Field(
        "",
        description="Prefix of the command line, e.g. 'srun --gpus 1'. 'mixpi check' only looks "
        "for its program.",
    )

    def inputs(self, home: Path) -> list[str]:
        """The model; see :meth:`Driver.inputs`."""
        return [self.model, *self.launch.split()]

    def located(self, home: Path) -> Self:
        """The same with the model's path made absolute; see :func:`model_path`."""
        return self.model_copy(update={"model": model_path(self.model, self.sha256, home)})

    def make_engine(self) -> MaceEngine:
        """The model, loaded; see :class:`MaceEngine` for what is raised."""
        return MaceEngine(
            self.model,
            device=self.device,
            dtype=self.dtype,
            threads=self.threads,
            head=self.head,
            sha256=self.sha256,
        )

    def look(self, place: Place) -> Iterator[str]:
        """Say which file is about to be loaded, before it is."""
        path = Path(self.located(place.home).model)
        if not path.is_file():
            yield f"note: {path} is a foundation model, which mace-torch gets from its own source"
            return
        found = file_hash(path)
        require_hash(found, self.sha256, path)
        if self.sha256:
            yield f"{path.name} has the sha256 that is expected"
        else:
            yield (
                f"{path.name} is a model, which is code: trust where it is from. To have any other "
                f"refused, write into {self.kind}:\n  sha256: {found}"
            )
