"""A MACE model as a driver, evaluated by mace-torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ..files.names import FileName
from .driver import Place
from .engine_driver import EngineDriver
from .mace import MaceEngine
from .mace_files import file_hash, model_path, require_hash


DEVICE = r"^(cpu|cuda(:\d+)?)$"


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
    device: str = Field("cpu", pattern=DEVICE, description="cpu, cuda or cuda:<n>.")
    devices: list[Annotated[str, Field(pattern=DEVICE)]] | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="In the place of 'device', e.g. [cuda:0, cuda:1]: one for each driver of the "
        "pool, in turns if there are more drivers. 'count' is then as many as these if it is not "
        "given.",
    )
    dtype: Literal["float64", "float32"] = Field("float64", description="Floating point type.")
    threads: int | None = Field(
        None, ge=1, description="Threads for torch on the CPU (default: torch's choice)."
    )
    launch: str = Field(
        "",
        description="Prefix of the command line, e.g. 'srun --gpus 1'. 'mixpi check' only looks "
        "for its program.",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_or_several_devices(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("devices") is None:
            return data
        if "device" in data:
            raise ValueError("give 'device', or 'devices' with one for each driver, not both")
        devices = data["devices"]
        # who asks for one gets the first
        first = devices[0] if isinstance(devices, list) and devices else "cpu"
        return {**data, "device": first}

    def numbered(self, number: int) -> Self:
        """With the device of driver ``number``."""
        if not self.devices:
            return self
        device = self.devices[number % len(self.devices)]
        return self.model_copy(update={"device": device, "devices": None})

    @property
    def variants(self) -> list[Self]:
        """One for each device."""
        devices = self.devices or [self.device]
        return [self.numbered(devices.index(device)) for device in dict.fromkeys(devices)]

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
