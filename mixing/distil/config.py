"""The YAML file of ``mixpi distil``, validated; the reference of its keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from ..drivers.mace_driver import MaceDriver
from ..files.yaml_files import Positive, Section, read_yaml


NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class SnapConfig(Section):
    """Bispectrum components (LAMMPS ``pair_style snap``)."""

    cutoff: Positive = Field(4.8, description="Å; of the density around an atom.")
    twojmax: int = Field(6, ge=0, le=12, description="2J of the highest component.")
    quadratic: bool = Field(False, description="true: products of pairs of components too.")


class Uf3Config(Section):
    """Two- and three-body B-splines (LAMMPS ``pair_style uf3``)."""

    cutoff: Positive = Field(5.5, description="Å; of the two-body term.")
    intervals: int = Field(22, ge=2, le=200, description="Knot intervals of the two-body term.")
    cutoff_3b: Positive = Field(
        3.6, description="Å; of the two short sides of a triple. Cost grows with its sixth power."
    )
    start_3b: Positive = Field(
        1.5, description="Å; first three-body knot, shorter than any distance that occurs."
    )
    intervals_3b: int = Field(
        6,
        ge=1,
        le=40,
        description="Knot intervals of a short side; the long one has twice as many.",
    )

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.start_3b >= self.cutoff_3b:
            raise ValueError(
                f"start_3b ({self.start_3b}) must be shorter than cutoff_3b ({self.cutoff_3b})"
            )
        if self.cutoff_3b > self.cutoff:
            raise ValueError(
                f"cutoff_3b ({self.cutoff_3b}) must not be longer than cutoff ({self.cutoff}): "
                "LAMMPS looks for triples among the pairs"
            )
        return self


class AceConfig(Section):
    """Atomic cluster expansion (``.yace``), through the package ace-jax."""

    cutoff: Positive = Field(5.5, description="Å; of the neighbours that count.")
    correlation_order: int = Field(3, ge=1, le=5, description="Most neighbours in a term.")
    max_degree: int = Field(
        12, ge=2, le=30, description="Largest sum of n + 1.5 l over the factors of a term."
    )


class EamConfig(Section):
    """Pair splines and an embedding function (LAMMPS ``pair_style eam/alloy``)."""

    cutoff: Positive = Field(5.5, description="Å; of pairs.")
    intervals: int = Field(30, ge=2, le=200, description="Knot intervals of the pair term.")
    density_cutoff: Positive | None = Field(
        None, description="Å; of the density around an atom (default: cutoff)."
    )
    density_intervals: int = Field(
        10, ge=2, le=100, description="Knot intervals of the embedding function."
    )

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.density_cutoff is not None and self.density_cutoff > self.cutoff:
            raise ValueError(
                f"density_cutoff ({self.density_cutoff}) must not be longer than cutoff "
                f"({self.cutoff})"
            )
        return self


class AdpConfig(Section):
    """Angles through vectors and tensors (LAMMPS ``pair_style adp``, ``hybrid/scaled``)."""

    cutoff: Positive = Field(4.0, description="Å; of the neighbours that count.")
    radials: int = Field(
        3, ge=1, le=8, description="Radial functions; without layers, cost grows with their number."
    )
    layers: int | None = Field(
        None,
        ge=1,
        le=8,
        description="About how often pair_style adp is evaluated, with the best sums of the radial "
        "functions (default: as often as these ask for, up to twice their number).",
    )


#: What can stand beside ``eam:``, and what stands alone.
_ADDED, _ALONE = ("uf3", "adp"), ("snap", "uf3", "ace", "eam")


class BasisConfig(Section):
    """The family of cheap potentials: one, or eam with adp or uf3, whose sum it then is."""

    snap: SnapConfig | None = Field(None, description="SNAP. Needs 'mixpi[lammps]'.")
    uf3: Uf3Config | None = Field(None, description="UF3: moderate cost. Needs 'mixpi[lammps]'.")
    ace: AceConfig | None = Field(None, description="ACE: the most accurate. Needs 'mixpi[ace]'.")
    eam: EamConfig | None = Field(
        None, description="EAM: the cheapest, knows no angles. Needs 'mixpi[lammps]'."
    )
    adp: AdpConfig | None = Field(
        None, description="Angles for eam: beside it, for close-packed metals and bcc."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, given: Any) -> Any:
        """``uf3:`` with nothing behind it is UF3 with its defaults."""
        if isinstance(given, dict):
            return {key: {} if value is None else value for key, value in given.items()}
        return given

    @model_validator(mode="after")
    def _one(self) -> Self:
        found = list(self.parts)
        alone = len(found) == 1 and found[0] in _ALONE
        added = found[:1] == ["eam"] and set(found[1:]) <= set(_ADDED)
        if not alone and not added:
            raise ValueError(
                f"give exactly one of {', '.join(_ALONE)}, or {' or '.join(_ADDED)} beside eam "
                f"(found: {found or 'none'})"
            )
        return self

    @property
    def parts(self) -> dict[str, Section]:
        """What is given, by name; the first one holds the constant energies."""
        names = ("eam", "adp", "snap", "uf3", "ace")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def kind(self) -> str:
        """Such as snap, or eam+uf3."""
        return "+".join(self.parts)

    @property
    def words(self) -> str:
        """The settings in one line."""
        return "; ".join(
            f"{kind} ("
            + ", ".join(f"{key} {value}" for key, value in section if value is not None)
            + ")"
            for kind, section in self.parts.items()
        )


class HardConfig(Section):
    """Data that the fit must reproduce: small strains of the perfect crystal."""

    strain: Positive = Field(0.005, le=0.05, description="Largest strain of each type.")
    points: int = Field(17, ge=3, description="Strains of each type, from -strain to +strain.")
    tolerance: NotNegative = Field(
        1e-7,
        description="eV/atom; rms error of the energy differences to the unstrained crystal that "
        "is allowed. alpha of the constraint is its square. 0: equality.",
    )


class SoftConfig(Section):
    """Data that the fit should reproduce: snapshots of molecular dynamics."""

    temperature: Positive = Field(500.0, description="K; of the Langevin dynamics.")
    repeat: list[Annotated[int, Field(ge=1)]] | None = Field(
        None,
        min_length=3,
        max_length=3,
        description="Repeats of the structure (default: at least 10 Å each way).",
    )
    snapshots: int = Field(20, ge=1, description="Snapshots to fit to.")
    held_out: int = Field(5, ge=1, description="Further snapshots, to test with.")
    equilibrate: Positive = Field(600.0, description="fs before the first snapshot.")
    spacing: Positive = Field(100.0, description="fs between snapshots.")
    timestep: Positive = Field(2.0, description="fs; of the dynamics.")
    friction: Positive = Field(0.01, description="1/fs; of the Langevin thermostat.")
    seed: int = Field(1, ge=0, description="Of the thermostat's noise.")


class WeightsConfig(Section):
    """What counts how much in the soft residual, a sum of mean squares."""

    energy: NotNegative = Field(10.0, description="Of energies per atom, relative to eV.")
    forces: NotNegative = Field(1.0, description="Of forces, relative to eV/Å.")
    strained_forces: NotNegative = Field(
        1.0, description="Of the forces in the strained cells, which say how the lattice relaxes."
    )
    ridge: NotNegative = Field(
        1e-5, description="Shrinks each coefficient, relative to what it does in the data."
    )
    smoothness: NotNegative | None = Field(
        None,
        description="Of the basis's own roughness (bent splines, high degrees), relative to eV "
        "(default: 1e-3 for uf3 and eam, 1e-6 for ace; snap has none).",
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.energy == 0.0 and self.forces == 0.0:
            raise ValueError("energy and forces are both 0: nothing to fit to")
        return self


class RepulsionConfig(Section):
    """Ziegler-Biersack-Littmark repulsion at distances that the data never reach."""

    inner: Positive = Field(description="Å; below this distance, the full repulsion.")
    outer: Positive = Field(description="Å; above this distance, none.")

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.inner >= self.outer:
            raise ValueError(f"inner ({self.inner}) must be shorter than outer ({self.outer})")
        return self


class ScanConfig(Section):
    """What ``mixpi distil --scan`` compares with ``basis:``."""

    bases: list[BasisConfig] = Field(
        [],
        description="Bases to try, each as under basis: (default: EAM and UF3 with ranges from the "
        "crystal's shortest distance).",
    )
    mismatch: Positive | None = Field(
        None,
        description="eV/Å; the largest held-out force error that is good enough (default: 1.5 "
        "times the smallest one of the scan).",
    )


class DistilConfig(Section):
    """The whole file."""

    name: str = Field(pattern=r"^[\w.-]+$", description="Of the potential: stem of its files.")
    structure: str = Field(
        description="The perfect crystal, any format that ASE reads; its conventional cell, "
        "because strains are along x, y, z. It is relaxed first."
    )
    expensive: MaceDriver = Field(description="The potential to learn from.")
    basis: BasisConfig = Field(description="The family of cheap potentials.")
    hard: HardConfig = Field(default_factory=HardConfig, description="What must be reproduced.")
    soft: SoftConfig = Field(default_factory=SoftConfig, description="What should be.")
    extra: list[str] = Field(
        [],
        description="Further frames to fit to, labelled by the same expensive potential, which is "
        "checked (extended XYZ with energy and forces, or REF_energy and REF_forces, which go "
        "first).",
    )
    weights: WeightsConfig = Field(
        default_factory=WeightsConfig, description="What counts how much."
    )
    inert: list[str] = Field(
        [],
        description="Further species that the cheap potential leaves alone, apart from a "
        "short-range repulsion.",
    )
    repulsion: RepulsionConfig | None = Field(
        None,
        description="Default: up to 0.9 of the shortest distance in the data. (Pairs with an inert "
        "species repel below 1.4 Å.)",
    )
    scan: ScanConfig = Field(
        default_factory=ScanConfig,
        description="For --scan: the cheapest basis that is good enough is written.",
    )
    output: str = Field(".", description="Folder of the potential and the report.")
    cache: str = Field("data", description="Folder of the data from the expensive potential.")

    @model_validator(mode="after")
    def _no_driver(self) -> Self:
        if self.expensive.launch:
            raise ValueError("expensive: launch is for drivers; distil evaluates the model itself")
        return self


def load_distil_config(path: Path) -> DistilConfig:
    """Read and validate the file.

    Raises
    ------
    MixpiError
        The message names each field that is wrong.
    """
    return read_yaml(Path(path), DistilConfig, help_command="mixpi config --distil")
