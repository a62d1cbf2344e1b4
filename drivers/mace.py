"""A MACE model as driver engine."""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from ..errors import MixpiError
from .mace_files import MODEL_SUFFIXES, heads_of, load_network, require_head


class MaceEngine:
    """Evaluates a MACE model on whatever arrives.

    Parameters
    ----------
    model : path-like or str
        A model file, or the name of a foundation model as known to
        ``mace.calculators.mace_mp``, e.g. "medium-mpa-0".
    device : str
        "cpu", "cuda" or "cuda:<n>".
    dtype : {"float64", "float32"}
        Floating point type of the evaluation.
    threads : int, optional
        Torch threads on the CPU.
    head : str, optional
        Which head of a model with several; such a model without it is refused.
    sha256 : str, optional
        Of the model file; another file is refused before it is loaded.

    Attributes
    ----------
    numbers : tuple of int
        Atomic numbers that the model knows.
    has_site_energies : bool
        True.
    cutoff : float
        Å; how far an atom sees in one message-passing layer.
    interaction_range : float
        Å; cutoff times message-passing layers.
    heads : list of str
        All that the model has.
    head : str
        The one that is evaluated.
    sha256 : str or None
        Of the model file; None for a foundation model by name.

    Raises
    ------
    MixpiError
        If mace-torch is not installed, the device is not there, the model cannot be
        loaded, is another than the hash says, or the head is not one of its heads.
    """

    has_site_energies = True

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float64",
        threads: int | None = None,
        head: str | None = None,
        sha256: str | None = None,
    ) -> None:
        try:
            with _quiet():
                import torch
                from mace.calculators import MACECalculator, mace_mp
        except ImportError as error:
            raise MixpiError(
                f"the MACE driver needs mace-torch ({error}): pip install 'mixpi[mace]'"
            ) from None
        if threads:
            torch.set_num_threads(threads)
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise MixpiError(f"device {device!r} was asked for, but torch sees no GPU: use cpu")
        if int(device.partition(":")[2] or 0) >= max(torch.cuda.device_count(), 1):
            raise MixpiError(
                f"device {device!r} was asked for, but torch sees {torch.cuda.device_count()} "
                "GPU(s), numbered from 0"
            )
        path = Path(model)
        self.sha256: str | None = None
        if sha256 and not path.exists():
            raise MixpiError(f"{model!s} is no file, so it cannot have a sha256")
        settings = {"device": device, "default_dtype": dtype}
        settings |= {"head": head} if head else {}
        try:
            with _quiet():
                if path.exists():
                    network, self.sha256 = load_network(path, device, sha256)
                    # before mace-torch, which takes another one for a head that is not there
                    require_head(head, heads_of(network), path)
                    self._calculator = MACECalculator(models=[network], **settings)
                elif path.suffix in MODEL_SUFFIXES or path.parent != Path("."):
                    raise MixpiError(f"model file {path} does not exist")
                else:
                    self._calculator = mace_mp(model=str(model), **settings)
        except MixpiError:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()
            raise MixpiError(
                f"cannot load {model!s} as a MACE model: {type(error).__name__}"
                f"{': ' + reason[0] if reason else ''}"
            ) from None
        network = self._calculator.models[0]
        self.heads = heads_of(network)
        require_head(head, self.heads, model)
        self.head = head or self.heads[0]
        self.numbers = tuple(int(z) for z in self._calculator.z_table.zs)
        self.cutoff = float(network.r_max)
        self.interaction_range = self.cutoff * int(network.num_interactions)

    @property
    def calculator(self):
        """The model as an ASE calculator."""
        return self._calculator

    def facts(self) -> dict:
        """What the model is, in plain values."""
        names = ("numbers", "interaction_range", "heads", "head", "sha256")
        return {name: getattr(self, name) for name in names}

    @property
    def species(self) -> str:
        """The elements that the model knows, for messages."""
        return " ".join(chemical_symbols[z] for z in self.numbers)

    def require(self, symbols: Iterable[str]) -> None:
        """Refuse species that the model was not trained for.

        Raises
        ------
        MixpiError
            If there is one.
        """
        known = self.species.split()
        unknown = [symbol for symbol in symbols if symbol not in known]
        if unknown:
            raise MixpiError(
                f"the model does not know {' '.join(unknown)}; it was trained for {self.species}"
            )

    def evaluate(self, numbers, positions, cell, mask=None):
        """Energy (eV), forces (eV/Å) and virial (eV) of a periodic structure.

        Parameters
        ----------
        numbers : array_like of int, shape (m,)
            Atomic numbers.
        positions : array_like, shape (m, 3)
            Å.
        cell : array_like, shape (3, 3)
            Rows are lattice vectors, Å.
        mask : array_like of bool, shape (m,), optional
            Atoms whose site energies are summed; the forces are the derivative of
            that sum, and the virial is NaN. Default: all of them.

        Raises
        ------
        MixpiError
            If the model lacks a species.
        """
        self.require(chemical_symbols[z] for z in np.unique(numbers))
        atoms = Atoms(numbers, positions, cell=cell, pbc=True)
        # plain i-PI sends atoms any number of cells from home, where float32 loses digits
        atoms.wrap()
        if mask is not None:
            return *self._evaluate_masked(atoms, mask), np.full((3, 3), np.nan)
        self._calculator.calculate(atoms)
        results = self._calculator.results
        stress = results.get("stress")
        virial = np.full((3, 3), np.nan)
        if stress is not None:
            xx, yy, zz, yz, xz, xy = stress
            virial = -atoms.get_volume() * np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        return float(results["energy"]), np.asarray(results["forces"], dtype=float), virial

    def _evaluate_masked(self, atoms: Atoms, mask) -> tuple[float, np.ndarray]:
        """The sum of some site energies, and minus its derivative.

        The calculator itself sums over all atoms before it differentiates, so this
        calls the network below it; of a committee the mean, as the calculator does.
        """
        import torch

        calculator = self._calculator
        batch = calculator._atoms_to_batch(atoms)
        energy, forces = 0.0, np.zeros((len(atoms), 3))
        for network in calculator.models:
            inputs = batch.clone().to_dict()
            sites = network(inputs, compute_force=False)["node_energy"]
            kept = sites[torch.as_tensor(np.asarray(mask, dtype=bool), device=sites.device)].sum()
            (gradient,) = torch.autograd.grad(kept, inputs["positions"])
            energy += float(kept.detach())
            forces -= gradient.cpu().numpy()
        unit = calculator.energy_units_to_eV / len(calculator.models)
        return energy * unit, forces * unit / calculator.length_units_to_A

    def time_one_call(self, atoms: Atoms) -> float:
        """Seconds for one evaluation of ``atoms``, after warming up on a few of them.

        Torch optimises a model during its first calls, whatever their size. Short
        calls are repeated, and the median taken.
        """
        few = slice(0, 64)
        for _ in range(3):
            self.evaluate(atoms.numbers[few], atoms.positions[few], atoms.cell.array)
        times: list[float] = []
        while len(times) < 5 and sum(times) < 5.0:
            start = time.perf_counter()
            self.evaluate(atoms.numbers, atoms.positions, atoms.cell.array)
            times.append(time.perf_counter() - start)
        return float(np.median(times))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what mace-torch and its dependencies have to say about themselves.

    What matters is raised.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
