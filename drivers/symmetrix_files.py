"""MACE models in symmetrix's form: converted once, and kept.

A conversion loads the model by mace-torch, a pickle that is code, and takes seconds. What is
kept is data, and read without torch. It lies in the cache (:mod:`mixpi.drivers.cache`), under a
name made of the model's hash, its head, and what the conversion depends on. Behind the model each
file has facts about it and a hash of all that stands before: what was damaged, or written half,
is converted anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MixpiError
from ..files.replacing import replace_file
from .cache import cache_folder
from .known_answer import Answer, known_structure
from .mace_files import file_hash, require_hash
from .neighbours import neighbour_graph


if TYPE_CHECKING:
    from .mace import MaceEngine


#: Changes with what is written here.
FORMAT = 2

#: Points of the tables of radial functions. In double precision the error of the forces falls
#: with the third power of their distance, and the time does not change: for thermal silicon
#: 4e-6 eV/Å (rms) with 256, symmetrix's default, and 8e-9 with 2048. In single precision it grows
#: again, 5e-6 with 256, 8e-6 with 512, 3e-5 with 2048; but 256 are too few where atoms are
#: close (3e-3 of 50 eV/Å).
POINTS = {"float64": 2048, "float32": 512}

#: A conversion whose forces are further from mace-torch's, against the largest force of a
#: strongly disordered structure (or 1 eV/Å), is not used.
TOLERANCE = {"float64": 1e-6, "float32": 1e-4}

#: What symmetrix calls the parameters of a repulsion of pairs, in the order in which it takes them.
ZBL = ("a_exp", "a_prefactor", "c", "covalent_radii", "p")

_MARK = b',"mixpi":'


@dataclass(frozen=True)
class Facts:
    """What is known of a model without loading it.

    Attributes
    ----------
    heads : list of str
        All that it has.
    head : str
        The one that was converted.
    layers : int
        Of message passing.
    zbl : list or None
        Parameters of the repulsion of pairs that it has, for ``symmetrix.ZBL``.
    deviation : float
        Largest difference of a force to mace-torch's, as ``TOLERANCE`` has it.
    energy : float
        What mace-torch gives for the known structure, eV.
    forces : list of list of float
        Likewise, eV/Å.
    """

    heads: list[str]
    head: str
    layers: int
    zbl: list | None
    deviation: float
    energy: float
    forces: list[list[float]]

    @property
    def known(self) -> Answer:
        """What the model gives for the known structure."""
        return Answer(self.energy, self.forces)


@contextlib.contextmanager
def converted(
    model: Path, *, head: str | None, sha256: str | None, dtype: str
) -> Iterator[tuple[Path, Facts, str]]:
    """A model's converted file, made if it is not there.

    Parameters
    ----------
    model : Path
        A ``.model`` as training writes it.
    head : str, optional
        Which head of a model with several.
    sha256 : str, optional
        Of the model file; another one is refused before anything of it is loaded.
    dtype : {"float64", "float32"}
        What it is to be evaluated in.

    Yields
    ------
    file : Path
        To be read within the context.
    facts : Facts
        About the model.
    sha256 : str
        Of the model file.

    Raises
    ------
    MixpiError
        If the model is another, or cannot be converted: with the reason.
    """
    found = file_hash(model)
    require_hash(found, sha256, model)
    folder = cache_folder() / "symmetrix"
    version = importlib.metadata.version("symmetrix-xl")
    settings = json.dumps([found, head, version, POINTS[dtype], FORMAT])
    file = folder / f"{model.stem[:40]}-{hashlib.sha256(settings.encode()).hexdigest()[:24]}.json"

    def write(part: Path) -> None:
        _convert(model, part, head=head, sha256=found, dtype=dtype)

    with contextlib.ExitStack() as stack:
        if _facts(file) is None:
            try:
                with _alone(folder):
                    # another driver may have converted it in the meantime
                    if _facts(file) is None:
                        replace_file(file, write)
            except OSError as error:
                print(
                    f"note: converted models cannot be kept in {folder} ({error.strerror}), so "
                    f"{model} is converted at each start: name another folder by MIXPI_CACHE",
                    file=sys.stderr,
                    flush=True,
                )
                file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / file.name
                write(file)
        facts = _facts(file)
        if facts is None:
            raise MixpiError(f"{file} was written and cannot be read back: is the disk full?")
        yield file, facts, found


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time convert, so that those that start with it need not."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _facts(file: Path) -> Facts | None:
    """What is said behind a converted model; None unless it is there and undamaged."""
    try:
        content, _, tail = file.read_bytes().rpartition(_MARK)
        told = json.loads(tail[:-1])
        if told["sha256"] != _seal(content, told["facts"]):
            return None
        return Facts(**told["facts"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _seal(content: bytes, facts: dict) -> str:
    digest = hashlib.sha256(content)
    digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


def _write(file: Path, data: dict, facts: Facts) -> None:
    content = json.dumps(data, separators=(",", ":")).encode()[:-1]
    told = {"facts": asdict(facts), "sha256": _seal(content, asdict(facts))}
    file.write_bytes(content + _MARK + json.dumps(told).encode() + b"}")


def _convert(model: Path, file: Path, *, head: str | None, sha256: str, dtype: str) -> None:
    """Convert a model, and compare what came out with mace-torch.

    Raises
    ------
    MixpiError
        If it cannot be converted, or gives other forces.
    """
    from .mace import MaceEngine, quiet

    what = f"symmetrix cannot evaluate {model}"
    engine = MaceEngine(model, head=head, sha256=sha256)
    network = engine.network
    try:
        with quiet():
            one_of_several = engine.head if len(engine.heads) > 1 else None
            data = _extract(network, one_of_several, POINTS[dtype])
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise MixpiError(
            f"{what}: it does not convert ({type(error).__name__}: {reason}); mace-torch evaluates "
            "it"
        ) from None
    if data.get("model_type", "MACE") != "MACE" or data.get("num_interactions") != 2:
        kind = data.get("model_type", "MACE")
        layers = data.get("num_interactions", int(network.num_interactions))
        raise MixpiError(
            f"{what}: it is a {kind} of {layers} layers, and mixpi knows the MACE of two; "
            "mace-torch evaluates it"
        )
    facts = Facts(
        heads=engine.heads,
        head=engine.head,
        layers=int(network.num_interactions),
        zbl=[data[f"zbl_{key}"] for key in ZBL] if data["has_zbl"] else None,
        deviation=0.0,
        energy=engine.known.energy,
        forces=engine.known.forces,
    )
    _write(file, data, facts)
    deviation = _deviation(file, engine)
    if not deviation < TOLERANCE[dtype]:
        raise MixpiError(
            f"{what}: the forces of the converted model differ from mace-torch's by "
            f"{100 * deviation:.2g} %; mace-torch evaluates it"
        )
    _write(file, data, replace(facts, deviation=deviation))


def _extract(network: Any, head: str | None, points: int) -> dict:
    """Symmetrix's form of a network, of one head."""
    import torch
    from mace.tools.scripts_utils import remove_pt_head
    from symmetrix.extract_mace_data import extract_mace_data

    # of several heads it would keep all, and choose one itself
    if head is not None:
        network = remove_pt_head(network, head)
    # what was hashed and loaded is converted, and not what the file holds by now
    stream = io.BytesIO()
    torch.save(network, stream)
    stream.seek(0)
    return extract_mace_data(stream, num_spline_points=points)


def _deviation(file: Path, engine: MaceEngine) -> float:
    """Largest difference of forces on the known structure, against the largest force."""
    from .symmetrix_network import Network

    species, positions, cell = known_structure(engine.numbers)
    wanted = np.array(engine.known.forces)
    network = Network(file, "float64")
    graph = neighbour_graph(positions, cell, network.cutoff)
    types = np.searchsorted(network.numbers, species).astype(np.int32)
    _, pairs = network.everything(types, graph)
    difference = np.abs(graph.atom_forces(pairs) - wanted).max()
    return float(difference / max(1.0, np.abs(wanted).max()))
