"""A MACE model as a driver, evaluated by symmetrix on the CPU, by mace-torch elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, ValidationInfo, field_validator, model_validator

from ..errors import MixpiError
from ..extras import install
from ..files.names import FileName
from ..files.yaml_files import Positive, Section
from .driver import Place
from .engine_driver import EngineDriver
from .mace import MaceEngine
from .mace_files import file_hash, model_path, require_hash
from .partial import LayeredEngine
from .partial_engine import PartialEngine, bulk_means
from .symmetrix_engine import SymmetrixEngine


class PartialSection(Section):
    """Which parts of the network are evaluated (:mod:`mixpi.drivers.partial`)."""

    sites: Positive = Field(
        description="Å; site energies are those of atoms closer than this to one of positive "
        "weight."
    )
    features: Positive = Field(
        description="Å; first-layer features are computed for atoms closer than this."
    )
    fill: Literal["mean", "none"] = Field(
        "mean",
        description="What stands for the features of the others: the mean of their species in the "
        "structure, or nothing.",
    )


DEVICE = r"^(cpu|cuda(:\d+)?)$"


class MaceDriver(EngineDriver):
    """A MACE model as driver (``mixpi driver mace``)."""

    kind: ClassVar[str] = "mace"
    help: ClassVar[str] = "a MACE model, on clusters or (--template) whole systems"
    not_flags: ClassVar[frozenset[str]] = frozenset({"launch", "devices"})

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
    engine: Literal["auto", "symmetrix", "mace-torch"] = Field(
        "auto",
        description="What evaluates the model. symmetrix is about ten times as fast on the CPU, on "
        "one core; it converts the model once, kept in MIXPI_CACHE (~/.cache/mixpi). auto: "
        "symmetrix on the CPU in float64 where it is installed and the model converts, else "
        "mace-torch; 'mixpi check' says which.",
    )
    cueq: bool = Field(
        False,
        description="true: mace-torch with the kernels of cuEquivariance, for GPUs (needs "
        "mixpi[cueq], and cuequivariance-ops-torch-cu12 or -cu13, as torch has it).",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="Threads on the CPU: of mace-torch (default: its choice), or of 'engine: "
        "symmetrix', which for more than one needs a compiler at the first start.",
    )
    partial: PartialSection | None = Field(
        None,
        description="Evaluate only what matters for the atoms of positive weight, at about the "
        "accuracy of a plain cluster for less work; 'mixpi calibrate --partial' finds the radii. "
        "The buffer is then the larger of the two radii and the model's cutoff.",
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

    @field_validator("engine")
    @classmethod
    def _engine_fits(cls, value: str, info: ValidationInfo) -> str:
        if value == "symmetrix" and info.data.get("device", "cpu") != "cpu":
            raise ValueError("symmetrix is for device: cpu; use mace-torch on GPUs")
        return value

    @model_validator(mode="after")
    def _cueq_fits(self) -> Self:
        if self.cueq and self.engine == "symmetrix":
            raise ValueError("cueq is for mace-torch, not for 'engine: symmetrix'")
        return self

    def load(self, home: Path) -> LayeredEngine:
        """The model, loaded.

        Parameters
        ----------
        home : Path
            Where its file is looked for.

        Raises
        ------
        MixpiError
            As :class:`MaceEngine` and, if that was asked for, :class:`SymmetrixEngine`.
        """
        return self.located(home)._engine()

    def _engine(self) -> LayeredEngine:
        if self.engine == "symmetrix":
            return self._by_symmetrix("direct" if (self.threads or 1) > 1 else "plain")
        why = ""
        plain = (self.device, self.dtype, self.cueq) == ("cpu", "float64", False)
        if self.engine == "auto" and plain:
            if not Path(self.model).is_file():
                why = "symmetrix evaluates model files only"
            elif find_spec("symmetrix") is None:
                why = f"symmetrix, far faster on the CPU, is missing: {install('symmetrix')}"
            else:
                try:
                    return self._by_symmetrix("plain")
                except MixpiError as error:
                    why = str(error)
        made = MaceEngine(
            self.model,
            device=self.device,
            dtype=self.dtype,
            threads=self.threads,
            head=self.head,
            sha256=self.sha256,
            cueq=self.cueq,
        )
        if self.cueq and find_spec("cuequivariance_ops_torch") is None:
            why = (
                "cuEquivariance has no kernels here, and is slow: pip install "
                "cuequivariance-ops-torch-cu12, or -cu13, as torch has it"
            )
        made.notes = (f"evaluated by mace-torch: {why}",) if why else ()
        return made

    def _by_symmetrix(self, mode: str) -> SymmetrixEngine:
        return SymmetrixEngine(
            self.model,
            dtype=self.dtype,
            threads=self.threads,
            head=self.head,
            sha256=self.sha256,
            mode=mode,
        )

    def serving_engine(self, home: Path, bulk: Path | None) -> LayeredEngine | PartialEngine:
        """The model as configured: the whole of it, or what matters."""
        engine, part = self.load(home), self.partial
        if part is None:
            return engine
        means = None
        if part.fill == "mean":
            if bulk is None:
                raise MixpiError(
                    "partial evaluation with 'fill: mean' needs the structure: give it by --bulk"
                )
            from ..structure import read_structure

            atoms = read_structure(bulk)
            engine.require(sorted(set(atoms.symbols)))
            means = bulk_means(engine, atoms)
        # the layers one by one are other code than the whole
        engine.require_known(partial(_everything, engine))
        return PartialEngine(engine, sites=part.sites, features=part.features, fill=means)

    @property
    def wants_depths(self) -> bool:
        """Partial evaluation needs to know how far the atoms are from those that count."""
        return self.partial is not None

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


def _everything(
    engine: LayeredEngine, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """A structure of which every atom counts, evaluated as parts are."""
    distance = np.zeros(len(numbers))
    return engine.evaluate_partial(
        numbers, positions, cell, distance=distance, sites=1.0, features=1.0
    )
