"""The YAML file that describes a mixed simulation, validated.

Every field carries its unit, default and help; ``mixpi config`` prints them from
here, so that this file is the reference.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from .errors import MixpiError
from .files.yaml_files import Section, as_yaml, read_yaml


Radius = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


def _file_name(name: str) -> str:
    """A name that a file can have; ~ is the home folder."""
    if not name.strip() or "\n" in name or "\t" in name:
        raise ValueError("a file's name is needed, in one line and without tabs")
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in name.split("/")):
        raise ValueError(f"no file's name is longer than {LONGEST_NAME} bytes")
    if len(os.fsencode(name)) > LONGEST_PATH:
        raise ValueError(f"no path is longer than {LONGEST_PATH} bytes")
    return os.path.expanduser(name)


def _output_name(name: str) -> str:
    if os.path.basename(_file_name(name)) in ("", ".", ".."):
        raise ValueError(f"{name!r} is a folder's name, not a file's")
    return name


#: Bytes of a file's name, without its folders and with them, on all usual systems.
LONGEST_NAME, LONGEST_PATH = 255, 4095
FileName = Annotated[str, AfterValidator(_file_name)]
OutputName = Annotated[str, AfterValidator(_output_name)]


#: Bytes; a socket's path has at most 107, with /tmp/ipi_ before it.
LONGEST_ADDRESS = 98


class RegionConfig(Section):
    """Radii that grow the regions from the seeds."""

    core: Radius = Field(
        description="Å; atoms closer than this to a seed are fully expensive (weight 1)."
    )
    blend: Radius = Field(
        description="Å; atoms closer than this to a core atom are blended (weight falls from 1 "
        "to 0). 0 = abrupt."
    )
    buffer: Radius = Field(
        description="Å; atoms closer than this to an atom of positive weight are shown to the "
        "expensive potential as surroundings. Wider = more exact and more costly."
    )
    profile: Literal["linear", "cubic"] = Field(
        "linear", description="Shape of the weight across the blend."
    )


class SocketConfig(Section):
    """Where the drivers of one pool connect, and how long they are waited for."""

    mode: Literal["unix", "inet"] = Field(
        "unix", description="unix (this machine) or inet (TCP, also from other hosts)."
    )
    address: str | None = Field(
        None,
        min_length=1,
        description="unix: name of the socket file /tmp/ipi_<address> (default: a name made from "
        "the path of this file); inet: host to listen on (default: localhost, which other hosts "
        "reach through a tunnel only).",
    )
    port: int | None = Field(None, ge=1025, le=65535, description="inet only; TCP port.")
    token: FileName | None = Field(
        None,
        min_length=1,
        description="inet only; file with a secret, relative to this one, readable by its owner "
        "alone. Drivers on other hosts must then prove with every reply that they have it, too "
        "(mixpi driver … --token FILE); clients that cannot, such as LAMMPS, need a tunnel.",
    )
    connect_deadline: Seconds = Field(
        120.0, description="s; the run stops if no driver has connected by then."
    )
    reply_deadline: Seconds = Field(
        600.0,
        description="s; a driver that computes longer is dropped and its work given to another.",
    )

    @model_validator(mode="after")
    def _port_belongs_to_inet(self):
        if self.mode == "inet" and self.port is None:
            raise ValueError("mode inet needs a port, e.g. port: 31415")
        if self.mode == "unix" and self.port is not None:
            raise ValueError("port is for mode inet; with unix give an address or nothing")
        if self.mode == "unix" and self.token is not None:
            raise ValueError("token is for mode inet: a unix socket lets nobody else in anyway")
        if self.mode == "unix" and self.address and "/" in self.address:
            raise ValueError("a unix address is a plain name without '/' (LAMMPS fixes /tmp/ipi_)")
        if self.address and ("\n" in self.address or "\t" in self.address):
            raise ValueError("an address is one line without tabs")
        if self.address and len(os.fsencode(self.address)) > LONGEST_ADDRESS:
            raise ValueError(f"an address has {LONGEST_ADDRESS} bytes at most")
        return self


class LammpsConfig(Section):
    """A stock LAMMPS as driver, through ``fix ipi``; mixpi writes its files."""

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
        "it, too.",
    )
    arguments: str = Field(
        "", description="Command line flags, e.g. '-k on g 1 -sf kk' for Kokkos on one GPU."
    )


class MaceConfig(Section):
    """A MACE model as driver (``mixpi driver mace``)."""

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


class DriverConfig(Section):
    """One pool of drivers: what to start, how many, where they connect.

    Exactly one of ``lammps``, ``mace``, ``command`` or ``external``.
    """

    lammps: LammpsConfig | None = Field(None, description="LAMMPS through fix ipi.")
    mace: MaceConfig | None = Field(None, description="A MACE model.")
    command: str | None = Field(
        None,
        description="Any other i-PI client; {address}, {port} and {mode} are filled in. Files are "
        "found relative to this one; it runs in logs/<pool>-<n>. On the expensive side it must "
        "answer NEEDINIT before every evaluation, read the species from the INIT text (JSON: "
        '{"numbers": [14, ...]}) and accept another number of atoms each time: `mixpi driver '
        "mace` does, LAMMPS's fix ipi and ASE's SocketClient do not.",
    )
    external: bool = Field(
        False,
        description="true: mixpi starts nothing, the drivers are started by hand. What is said of "
        "a command holds for them too.",
    )
    count: int = Field(
        1,
        ge=1,
        le=1024,
        description="Drivers of this kind: so many are started (external: expected), and no more "
        "may be connected at a time.",
    )
    max_restarts: int = Field(
        3,
        ge=0,
        description="How often each driver of this pool may be replaced within an hour, "
        "when it has died or hangs, before the run stops.",
    )
    socket: SocketConfig = Field(
        default_factory=SocketConfig, description="Where the drivers connect."
    )

    @model_validator(mode="after")
    def _one_kind(self):
        kinds = [k for k in ("lammps", "mace", "command", "external") if getattr(self, k)]
        if len(kinds) != 1:
            raise ValueError(
                f"give exactly one of lammps, mace, command, external (found: {kinds or 'none'})"
            )
        return self

    @property
    def kind(self) -> str:
        """lammps, mace, command or external."""
        return next(k for k in ("lammps", "mace", "command", "external") if getattr(self, k))


class OutputConfig(Section):
    """What the mixing layer writes, relative to where i-PI runs."""

    trajectory: OutputName | None = Field(
        "mix.extxyz",
        min_length=1,
        description="A name in the folder (elsewhere: a whole path); extended XYZ with step, "
        "time (fs) and energy estimate, mix_weight and mix_region of every atom, in the frame of "
        "the structure's file; with several beads a file a bead; null for none.",
    )
    stride: int = Field(10, ge=1, description="Steps between frames.")
    forces: bool = Field(False, description="Mixed forces (eV/Å) in the frames.")
    velocities: bool = Field(False, description="Velocities (Å/fs) in the frames.")
    steps: OutputName = Field(
        "mix.steps",
        min_length=1,
        description="A name in the folder (elsewhere: a whole path); columns, one line a force "
        "evaluation.",
    )


class LimitsConfig(Section):
    """Numbers that no sane run meets: it stops, with RESTART, before it takes such a step.

    Violent but sane ones do not meet the defaults: in a collision at keV energies forces are
    thousands of eV/Å, and a few atoms have 1e5 K.
    """

    force: Positive = Field(1e6, description="eV/Å; largest force of either potential on an atom.")
    temperature: Positive = Field(
        1e6, description="K; highest temperature of all atoms together (1e6 K: 129 eV an atom)."
    )
    position: float = Field(
        1e6,
        gt=0.0,
        le=1e8,
        description="Å; largest coordinate of an atom (i-PI does not wrap; further out digits get "
        "lost).",
    )
    warn_temperature: Positive | None = Field(
        None,
        description="K; above it is said that the run is hot (default: five times the "
        "temperature of the thermostat or of the first velocities, at least 5,000 K).",
    )
    warn_drift: Positive = Field(
        0.1,
        description="eV an atom; it is said that i-PI's conserved quantity has moved by more than "
        "this since the run began.",
    )


class MixingConfig(Section):
    """The whole file."""

    structure: FileName = Field(
        description="Structure with the species and the cell, any format that ASE reads (or a "
        "LAMMPS data file); the same atoms in the same order and the same cell as i-PI has, best "
        "the same file."
    )
    seeds: list[int] | Literal["none"] = Field(
        description="Indices (from 0) of the seed atoms; 'none' for an empty region (all cheap)."
    )
    regions: RegionConfig = Field(description="Radii that grow the regions from the seeds.")
    remove_net_force: bool = Field(
        True,
        description="Take the net force from all atoms in proportion to their masses (the blend "
        "of two potentials does not conserve momentum by itself); its size is in the steps file.",
    )
    cheap: DriverConfig = Field(description="Drivers that see the whole system.")
    expensive: DriverConfig = Field(description="Drivers that see the cluster.")
    output: OutputConfig = Field(
        default_factory=OutputConfig, description="Files of the mixing layer."
    )
    limits: LimitsConfig = Field(
        default_factory=LimitsConfig, description="When a run stops because it has exploded."
    )

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_not_empty(cls, value: Any) -> Any:
        if value is None or (isinstance(value, list) and not value):
            raise ValueError(
                "no seeds: list the indices of the atoms the expensive potential is for, "
                "or write 'seeds: none' if you want the cheap potential everywhere"
            )
        if not isinstance(value, list):
            if value == "none":
                return value
            raise ValueError(
                f"{as_yaml(value)} is no list of atoms: write 'seeds: [3, 17]', or 'seeds: none'"
            )
        seen = set()
        for seed in value:
            if isinstance(seed, bool) or not isinstance(seed, int):
                raise ValueError(
                    f"{as_yaml(seed)} is no index of an atom: whole numbers from 0 are"
                )
            if seed < 0:
                raise ValueError(f"seed {seed} is negative: atoms are numbered from 0")
            if seed in seen:
                raise ValueError(f"seed {seed} stands twice: is one of them another atom?")
            seen.add(seed)
        return value

    @property
    def seed_indices(self) -> list[int]:
        """The seeds, an empty list for 'none'."""
        return [] if self.seeds == "none" else list(self.seeds)

    @property
    def pools(self) -> tuple[str, ...]:
        """The driver pools in use: without seeds nothing is ever asked of the expensive one."""
        return ("cheap",) if self.seeds == "none" else POOLS


def load_config(path: str | os.PathLike) -> MixingConfig:
    """Read and validate a configuration.

    The default socket names are filled in: they are made from the file's absolute
    path, so that the mixing layer and the launcher agree and two runs do not clash.

    Parameters
    ----------
    path : path-like
        The YAML file.

    Returns
    -------
    MixingConfig

    Raises
    ------
    MixpiError
        If the file cannot be read or does not describe a mixed simulation; the
        message names each field that is wrong.
    """
    path = Path(path)
    config = read_yaml(path, MixingConfig, help_command="mixpi config")
    # the folder is resolved, the file is not: two folders may link to one file
    identity = str(path.parent.resolve() / path.name)
    tag = f"mixpi-{hashlib.sha256(os.fsencode(identity)).hexdigest()[:10]}"
    config = config.model_copy(
        update={
            pool: _with_socket(getattr(config, pool), f"{tag}-{pool}", path.parent)
            for pool in POOLS
        }
    )
    cheap, expensive = config.cheap.socket, config.expensive.socket
    if (cheap.mode, cheap.address, cheap.port) == (
        expensive.mode,
        expensive.address,
        expensive.port,
    ):
        raise MixpiError(
            f"{path}:\n  cheap and expensive drivers cannot share an address: give one of them "
            "another 'address' or 'port'"
        )
    return config


def without_quotes(name: str) -> str:
    """A file name of i-PI's ``<parameters>``, where quotes are kept, without them."""
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"":
        return name[1:-1]
    return name


#: The two driver pools, in the order in which they are started.
POOLS = ("cheap", "expensive")


def _with_socket(driver: DriverConfig, unix_name: str, home: Path) -> DriverConfig:
    """The driver with its default address, and its token's path as seen from here."""
    update: dict[str, str] = {}
    if driver.socket.address is None:
        update["address"] = unix_name if driver.socket.mode == "unix" else "localhost"
    if driver.socket.token is not None:
        update["token"] = str(home.resolve() / driver.socket.token)
    return driver.model_copy(update={"socket": driver.socket.model_copy(update=update)})
