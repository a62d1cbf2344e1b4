"""A MACE model as driver engine, evaluated by symmetrix: ten times as fast as by mace-torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..errors import MixpiError
from ..extras import needs
from .neighbours import Graph, neighbour_graph
from .partial import LayeredEngine
from .symmetrix_files import converted
from .symmetrix_network import CompiledNetwork, Network
from .trained import NO_VIRIAL


#: How a model is evaluated: as it is, or compiled for the model at the first start.
MODES = ("plain", "direct")


class SymmetrixEngine(LayeredEngine):
    """Evaluates a two-layer MACE model on whatever arrives, without torch.

    The model is converted at its first start, which needs mace-torch
    (:mod:`mixpi.drivers.symmetrix_files`).

    Parameters
    ----------
    model : path-like or str
        A model file.
    dtype : {"float64", "float32"}
        Floating point type of the evaluation.
    threads : int, optional
        Of mode "direct"; "plain" runs on one core.
    head : str, optional
        Which head of a model with several; such a model without it is refused.
    sha256 : str, optional
        Of the model file; another file is refused before it is loaded.
    mode : {"plain", "direct"}, optional
        "plain", the default, runs on one core and needs no compiler; "direct" needs one at the
        first start, and uses several cores. On one core "plain" is the faster one, but for a
        tenth in single precision (measured: ``scripts/compare_engines.py``).

    Attributes
    ----------
    numbers, cutoff, interaction_range, heads, head, sha256, has_site_energies, has_masked_forces
        As of :class:`mixpi.drivers.mace.MaceEngine`.

    Raises
    ------
    MixpiError
        If symmetrix is not installed, the model cannot be loaded or converted, is another
        than the hash says, the head is not one of its heads, there is no compiler, or the known
        structure gets other forces than it should.
    """

    evaluated_by = "symmetrix"
    otherwise = "take 'engine: mace-torch', and install symmetrix-xl again"

    def __init__(
        self,
        model: str | Path,
        *,
        dtype: str = "float64",
        threads: int | None = None,
        head: str | None = None,
        sha256: str | None = None,
        mode: str | None = None,
    ) -> None:
        if dtype not in ("float64", "float32"):
            raise MixpiError(f"symmetrix computes in float64 or float32, not in {dtype!r}")
        mode = mode or "plain"
        if mode not in MODES:
            raise MixpiError(f"symmetrix has the modes {' and '.join(MODES)}, not {mode!r}")
        with needs("symmetrix", "'engine: symmetrix'", "take 'engine: mace-torch'"):
            import symmetrix

            symmetrix.load_backend()
        path = Path(model)
        if not path.exists():
            raise MixpiError(
                f"model file {path} does not exist; foundation models are known by name to "
                "mace-torch alone, symmetrix evaluates files"
            )
        with converted(path, head=head, sha256=sha256, dtype=dtype) as (file, facts, found):
            try:
                self._network = Network(file, dtype, zbl=facts.zbl)
            except (RuntimeError, ValueError) as error:
                raise MixpiError(f"symmetrix cannot read {file}: {error}") from None
            self._whole: Network | CompiledNetwork = self._network
            if mode == "direct":
                self._whole = CompiledNetwork(file, dtype, threads)
        self.heads, self.head, self.sha256 = facts.heads, facts.head, found
        self.dtype, self.device = dtype, "cpu"
        self.numbers = self._network.numbers
        self.cutoff = self._network.cutoff
        self.interaction_range = self.cutoff * facts.layers
        self.known = facts.known
        self.require_known(self.evaluate)

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
            Å; atoms may be any number of cells from home.
        cell : array_like, shape (3, 3)
            Rows are lattice vectors, Å; any shape, also smaller than the cutoff.
        mask : array_like of bool, shape (m,), optional
            Atoms whose site energies are summed; the forces are the derivative of
            that sum, and the virial is NaN. Default: all of them.

        Raises
        ------
        MixpiError
            If the model lacks a species, the cell is singular, or anything is not finite.
        """
        if mask is not None:
            return *self._masked(self._types(numbers), positions, cell, mask), NO_VIRIAL.copy()
        energy, forces, virial, _ = self.evaluate_with_sites(numbers, positions, cell)
        return energy, forces, virial

    def evaluate_with_sites(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike
    ) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """As :meth:`evaluate`, and with it :meth:`site_energies`."""
        types, graph = self._read(numbers, positions, cell)
        if len(types) == 0:
            return 0.0, np.zeros((0, 3)), np.zeros((3, 3)), np.zeros(0)
        sites, pairs = self._everything(types, graph)
        virial = graph.vectors.T @ pairs
        return float(sites.sum()), graph.atom_forces(pairs), virial, sites

    def site_energies(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike
    ) -> np.ndarray:
        """Energies of the single atoms (m,), eV; their sum is the energy."""
        types, graph = self._read(numbers, positions, cell)
        return self._everything(types, graph)[0] if len(types) else np.zeros(0)

    def _read(
        self, numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike
    ) -> tuple[np.ndarray, Graph]:
        """Types and edges of a structure."""
        return self._types(numbers), neighbour_graph(positions, cell, self.cutoff)

    def _everything(self, types: np.ndarray, graph: Graph) -> tuple[np.ndarray, np.ndarray]:
        # compiled for graphs with edges
        network = self._whole if len(graph.senders) else self._network
        return network.everything(types, graph)

    def _masked(
        self, types: np.ndarray, positions: ArrayLike, cell: ArrayLike, mask: ArrayLike
    ) -> tuple[float, np.ndarray]:
        """The sum of some site energies, and minus its derivative."""
        layers = self._layers()
        mask = np.asarray(mask, dtype=bool)
        forces = np.zeros((len(types), 3))
        if not mask.any():
            return 0.0, forces
        order = np.argsort(~mask, kind="stable")
        ordered = np.asarray(positions, dtype=float)[order]
        graph = neighbour_graph(ordered, cell, self.cutoff)
        sites, pairs = layers.some(types[order], graph, sites=int(mask.sum()), features=len(types))
        forces[order] = graph.atom_forces(pairs)
        return float(sites.sum()), forces

    def _layers(self) -> Network:
        return self._network
