"""A MACE model as driver engine."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols
from numpy.typing import ArrayLike

from ..errors import MixpiError
from ..extras import needs
from .known_answer import Answer, answer_of, kept_answer
from .mace_files import MODEL_SUFFIXES, heads_of, load_network, require_head
from .memory import keep_memory
from .partial import LayeredEngine
from .trained import NO_VIRIAL


if TYPE_CHECKING:
    from .mace_layers import TorchLayers


class MaceEngine(LayeredEngine):
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
    cueq : bool
        Let cuEquivariance compute what it has kernels for.

    Attributes
    ----------
    numbers : tuple of int
        Atomic numbers that the model knows.
    cutoff : float
        Å; how far an atom sees in one message-passing layer.
    interaction_range : float
        Å; cutoff times message-passing layers.
    has_site_energies, has_masked_forces : bool
        True.
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
        loaded, is another than the hash says, the head is not one of its heads, or the known
        structure gets other forces than it should.
    """

    evaluated_by = "mace-torch"
    otherwise = "install torch and mace-torch again"

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float64",
        threads: int | None = None,
        head: str | None = None,
        sha256: str | None = None,
        cueq: bool = False,
    ) -> None:
        keep_memory()
        with needs("mace", "the MACE driver"), quiet():
            import torch
            from mace.calculators import MACECalculator, mace_mp
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
        settings: dict[str, Any] = {"device": device, "default_dtype": dtype}
        settings |= {"head": head} if head else {}
        if cueq:
            with needs("cueq", "'cueq: true'", "leave it out"), quiet():
                import_module("cuequivariance_torch")
            settings["enable_cueq"] = True
            self.evaluated_by += " with cuEquivariance"
        try:
            with quiet():
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
        self.dtype, self.device = dtype, device
        plain = (device, dtype, cueq) == ("cpu", "float64", False)
        if cueq:
            self.otherwise = "leave out 'cueq: true'"
        elif not plain:
            self.otherwise = "take 'dtype: float64', or 'device: cpu'"

        def find() -> Answer:
            if plain:
                return answer_of(self, self.numbers)
            return MaceEngine(model, head=head, sha256=self.sha256).known

        self.known = kept_answer(self.sha256, self.head, find)
        self.require_known(self.evaluate)

    @property
    def calculator(self) -> Calculator:
        """The model as an ASE calculator."""
        return self._calculator

    @property
    def network(self) -> Any:
        """The model as mace-torch has it; of a committee the first."""
        return self._calculator.models[0]

    def evaluate(
        self,
        numbers: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike,
        mask: ArrayLike | None = None,
    ) -> tuple[float, np.ndarray, np.ndarray]:
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
        numbers = np.asarray(numbers, dtype=int).reshape(-1)
        if len(numbers) == 0:
            return 0.0, np.zeros((0, 3)), np.zeros((3, 3)) if mask is None else NO_VIRIAL.copy()
        self.require(chemical_symbols[z] for z in np.unique(numbers))
        atoms = Atoms(numbers, positions, cell=cell, pbc=True)
        # plain i-PI sends atoms any number of cells from home, where float32 loses digits
        atoms.wrap()
        if mask is not None:
            return *self._evaluate_masked(atoms, mask), NO_VIRIAL.copy()
        self._calculator.calculate(atoms)
        results = self._calculator.results
        stress = results.get("stress")
        virial = NO_VIRIAL.copy()
        if stress is not None:
            xx, yy, zz, yz, xz, xy = stress
            virial = -atoms.get_volume() * np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        return float(results["energy"]), np.asarray(results["forces"], dtype=float), virial

    def _layers(self) -> TorchLayers:
        from .mace_layers import TorchLayers

        return TorchLayers(self.network, self.heads.index(self.head))

    def site_energies(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike
    ) -> np.ndarray:
        """Energies of the single atoms (m,), eV; their sum is the energy."""
        numbers = np.asarray(numbers, dtype=int).reshape(-1)
        if len(numbers) == 0:
            return np.zeros(0)
        self.require(chemical_symbols[z] for z in np.unique(numbers))
        atoms = Atoms(numbers, positions, cell=cell, pbc=True)
        atoms.wrap()
        found = [sites.detach().cpu().numpy() for sites, _ in self._sites(atoms)]
        return np.mean(found, axis=0, dtype=float) * self._calculator.energy_units_to_eV

    def _evaluate_masked(self, atoms: Atoms, mask: ArrayLike) -> tuple[float, np.ndarray]:
        """The sum of some site energies, and minus its derivative."""
        import torch

        calculator = self._calculator
        energy, forces = 0.0, np.zeros((len(atoms), 3))
        for sites, positions in self._sites(atoms):
            kept = sites[torch.as_tensor(np.asarray(mask, dtype=bool), device=sites.device)].sum()
            (gradient,) = torch.autograd.grad(kept, positions)
            energy += float(kept.detach())
            forces -= gradient.cpu().numpy()
        unit = calculator.energy_units_to_eV / len(calculator.models)
        return energy * unit, forces * unit / calculator.length_units_to_A

    def _sites(self, atoms: Atoms) -> Iterator[tuple]:
        """Site energies of each network, and the positions that they depend on, as tensors.

        The calculator itself sums over all atoms before it differentiates, so this
        calls the networks below it; of a committee the mean counts, as for the calculator.
        """
        batch = self._calculator._atoms_to_batch(atoms)
        for network in self._calculator.models:
            inputs = batch.clone().to_dict()
            yield network(inputs, compute_force=False)["node_energy"], inputs["positions"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
