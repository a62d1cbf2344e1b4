"""A MACE model as a driver, evaluated by symmetrix on the CPU, by mace-torch elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ..errors import MixpiError
from ..extras import install
from ..files.names import FileName
from ..files.yaml_files import Positive, Section
from .committee import Committee
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
SHA256 = r"^[0-9a-f]{64}$"


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
        pattern=SHA256,
        description="SHA-256 of the model file, as 'mixpi check' and sha256sum print it: another "
        "file is refused by check and by the driver, before anything in it is run.",
    )
    committee: list[FileName] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Further model files: energies and forces are then the mean of all, and where "
        "they disagree can make the seeds (seeds: spread). An evaluation takes as many times as "
        "long as there are models.",
    )
    committee_sha256: list[Annotated[str, Field(pattern=SHA256)]] | None = Field(
        None, description="SHA-256 of the files of 'committee', in its order."
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
        return [*self.models, *self.launch.split()]

    @property
    def models(self) -> list[str]:
        """The model and the others of its committee, as they are named."""
        return [self.model, *(self.committee or ())]

    def located(self, home: Path) -> Self:
        """The same with the paths of the models made absolute; see :func:`model_path`."""
        first, *others = (
            model_path(one.model, one.sha256, home, key=key) for key, one in self._members()
        )
        return self.model_copy(update={"model": first, "committee": others or None})

    def _members(self) -> Iterator[tuple[str, Self]]:
        """The models one by one, each as if it were alone, with the key that names it."""
        alone = {"committee": None, "committee_sha256": None}
        yield "model", self.model_copy(update=alone)
        others = self.committee or []
        hashes: list[str | None] = [*(self.committee_sha256 or len(others) * [None])]
        for model, sha256 in zip(others, hashes, strict=True):
            yield "committee", self.model_copy(update={**alone, "model": model, "sha256": sha256})

    @field_validator("engine")
    @classmethod
    def _engine_fits(cls, value: str, info: ValidationInfo) -> str:
        if value == "symmetrix" and info.data.get("device", "cpu") != "cpu":
            raise ValueError("symmetrix is for device: cpu; use mace-torch on GPUs")
        return value

    @model_validator(mode="after")
    def _committee_fits(self) -> Self:
        others = self.committee or []
        twice = [name for name in others if self.models.count(name) > 1]
        if twice:
            raise ValueError(
                f"{twice[0]} stands twice: a committee of one and the same model agrees always"
            )
        hashes = self.committee_sha256
        if hashes is not None and len(hashes) != len(others):
            raise ValueError(
                f"committee_sha256 has {len(hashes)} hashes for {len(others)} files of 'committee'"
            )
        return self

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
            As :class:`MaceEngine` and, if that was asked for, :class:`SymmetrixEngine`; as
            :class:`Committee`.
        """
        members = [one._engine() for _, one in self.located(home)._members()]
        if not self.committee:
            return members[0]
        return Committee(dict(zip(self.models, members, strict=True)))

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
        engine.require_known_parts()
        return PartialEngine(engine, sites=part.sites, features=part.features, fill=means)

    @property
    def wants_depths(self) -> bool:
        """Partial evaluation needs to know how far the atoms are from those that count."""
        return self.partial is not None

    def look(self, place: Place) -> Iterator[str]:
        """Say which files are about to be loaded, before they are."""
        for key, one in self._members():
            yield from one._look_at_model(place.home, key)

    def _look_at_model(self, home: Path, key: str) -> Iterator[str]:
        path = Path(self.located(home).model)
        if not path.is_file():
            yield f"note: {path} is a foundation model, which mace-torch gets from its own source"
            return
        found = file_hash(path)
        require_hash(found, self.sha256, path)
        if self.sha256:
            yield f"{path.name} has the sha256 that is expected"
        else:
            entry = "sha256" if key == "model" else "committee_sha256 (a list, as 'committee')"
            yield (
                f"{path.name} is a model, which is code: trust where it is from. To have any other "
                f"refused, write into {self.kind}:\n  {entry}: {found}"
            )
