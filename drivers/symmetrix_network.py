"""The layers of a converted MACE model, as symmetrix computes them.

Symmetrix has one call for everything, and the layers one by one; the latter evaluate some
atoms only. What is given here are types (places in the model's list of species) and edges.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import MixpiError
from .neighbours import Graph


#: Bytes of radial functions of all edges that are kept; with more they are computed again
#: where they are needed, which takes half as long again (104 ms against 66 ms).
MOST_BYTES = 2**31


class Network:
    """A two-layer MACE model in plain C++, on one core, without a compiler.

    Parameters
    ----------
    path : Path
        What :mod:`mixpi.drivers.symmetrix_files` has written.
    dtype : {"float64", "float32"}
        Floating point type.
    zbl : sequence, optional
        Parameters of the model's repulsion of pairs, if it has one, for ``symmetrix.ZBL``.

    Attributes
    ----------
    numbers : tuple of int
        Atomic numbers of the types, ascending.
    cutoff : float
        Å.
    """

    def __init__(self, path: Path, dtype: str, *, zbl: Sequence | None = None) -> None:
        import symmetrix

        evaluators = {"float64": symmetrix.MACE, "float32": symmetrix.MACEFloat}
        self._evaluator = evaluators[dtype](str(path), "")
        self._evaluator.set_streamed_edges("materialized")
        self.numbers = tuple(int(z) for z in self._evaluator.atomic_numbers)
        self.cutoff = float(self._evaluator.r_cut)
        self._repulsion = _Repulsion(zbl, self.numbers) if zbl else None
        self._seen = np.zeros(len(self.numbers), dtype=bool)  # types so far
        self._own: np.ndarray | None = None  # first-layer features that an atom has by itself
        self._edge_bytes = 0.0

    def everything(self, types: np.ndarray, graph: Graph) -> tuple[np.ndarray, np.ndarray]:
        """Site energies (m,), eV, and forces of the edges on their senders (e, 3), eV/Å."""
        evaluator, few = self._evaluator, len(graph.senders) * self._edge_bytes < MOST_BYTES
        evaluator.set_streamed_edges("materialized" if few else "generic")
        evaluator.compute_node_energies_forces(
            len(types),
            self._known(types),
            graph.counts,
            graph.senders,
            types[graph.senders],
            graph.vectors.reshape(-1),
            graph.distances,
        )
        if few and len(graph.senders):
            numbers = evaluator.R0_storage_size + evaluator.R1_storage_size
            self._edge_bytes = numbers * evaluator.scalar_size_bytes / len(graph.senders)
        return _array(evaluator.node_energies), self._pair_forces(graph)

    @property
    def scalars(self) -> int:
        """So many of the features do not change when everything is turned: one a channel."""
        return len(self._evaluator.H0_weights) // len(self.numbers)

    def features(self, types: np.ndarray, graph: Graph, atoms: int) -> np.ndarray:
        """First-layer features of the first so many atoms, (atoms, f).

        The scalar ones, one a channel, come first.
        """
        self._first_layer(types, graph.first(atoms), atoms)
        computed = _array(self._evaluator.H1).reshape(atoms, -1)
        return computed + self._own_features(types[:atoms])

    def some(
        self,
        types: np.ndarray,
        graph: Graph,
        *,
        sites: int,
        features: int,
        fill: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Energies of the first sites, with features of the first atoms, and the derivative.

        Parameters
        ----------
        types : ndarray of int32, shape (m,)
            Types of all atoms.
        graph : Graph
            With all edges that the first ``sites`` and the first ``features`` atoms receive,
            and no others.
        sites : int
            So many atoms have a site energy.
        features : int
            So many atoms have first-layer features that are computed.
        fill : ndarray, shape (types, f), optional
            Features of the other atoms by their type; zero unless given.

        Returns
        -------
        energies : ndarray, shape (sites,)
            eV.
        pair_forces : ndarray, shape (e, 3)
            Minus the derivative of their sum by the edges' vectors, eV/Å.
        """
        evaluator, known = self._evaluator, self._known(types)
        own = self._own_features(types[:features])
        vectors, seen = graph.vectors.reshape(-1), types[graph.senders]
        near, theirs = (graph.first(atoms) for atoms in (features, sites))
        ends = near.counts, seen[: len(near.senders)]
        heads = theirs.counts, seen[: len(theirs.senders)]

        self._first_layer(types, graph, features)
        computed = _array(evaluator.H1).reshape(features, -1) + own
        # rows of the atoms that are evaluated, and one a type for all the others
        rows = max(sites, features)
        given = np.zeros((rows + len(self.numbers), computed.shape[1]))
        given[:features] = computed
        if fill is not None:
            given[features:rows] = fill[types[features:rows]]
            given[rows:] = fill
        sources = np.where(
            theirs.senders < rows, theirs.senders, rows + seen[: len(theirs.senders)]
        )
        # both grow from nothing, and begin with zeros
        evaluator.node_energies, evaluator.node_forces = [], []
        evaluator.H1 = given.reshape(-1).tolist()  # is taken twice as fast as an array
        evaluator.compute_R1(sites, known, *heads, theirs.distances)
        evaluator.compute_Phi1(sites, theirs.counts, sources)
        evaluator.compute_A1(sites)
        evaluator.compute_A1_scaled(sites, known, *heads, theirs.distances)
        evaluator.compute_M1(sites, known)
        evaluator.compute_H2(sites, known)
        evaluator.compute_readouts(sites, known)

        evaluator.reverse_H2(sites, known, False)
        evaluator.reverse_M1(sites, known)
        # all the vectors are given, so that there is a force for each of them
        evaluator.reverse_A1_scaled(sites, known, *heads, vectors, graph.distances)
        evaluator.reverse_A1(sites)
        evaluator.reverse_Phi1(
            sites, theirs.counts, sources, vectors, graph.distances, False, False
        )
        evaluator.reverse_H1(features)
        evaluator.reverse_M0(features, known)
        evaluator.reverse_A0_scaled(features, known, *ends, vectors, graph.distances)
        evaluator.reverse_A0(features, known, *ends, vectors, graph.distances)
        energies = _array(evaluator.node_energies)[:sites]
        pair_forces = self._pair_forces(graph)
        if self._repulsion:
            self._repulsion.add(types, theirs, energies, pair_forces)
        return energies, pair_forces

    def _first_layer(self, types: np.ndarray, graph: Graph, atoms: int) -> None:
        """Features of the first so many atoms; spherical harmonics of all edges."""
        evaluator, known = self._evaluator, self._known(types)
        near = graph.first(atoms)
        ends = near.counts, types[near.senders]
        evaluator.compute_Y(graph.vectors.reshape(-1))
        evaluator.compute_R0(atoms, known, *ends, near.distances)
        evaluator.compute_A0(atoms, known, *ends)
        evaluator.compute_A0_scaled(atoms, known, *ends, near.distances)
        evaluator.compute_M0(atoms, known)
        evaluator.compute_H1(atoms)

    def _known(self, types: np.ndarray) -> np.ndarray:
        """The types, followed by all that have been seen before.

        Radial functions are tabulated for the pairs of types that a call names, and anew when
        those change (80 ms a pair): named behind the atoms, a type that comes and goes is kept.
        """
        self._seen[types] = True
        return np.concatenate([types, np.flatnonzero(self._seen).astype(np.int32)])

    def _own_features(self, types: np.ndarray) -> np.ndarray | float:
        """What a residual first layer adds to the features, which no call of its own does."""
        evaluator = self._evaluator
        if not evaluator.first_interaction_residual:
            return 0.0
        if self._own is None or not np.isfinite(self._own[types]).all():
            kinds, nothing = np.flatnonzero(self._seen).astype(np.int32), np.empty(0)
            no_ends = nothing.astype(np.int32)
            counts = np.zeros(len(kinds), dtype=np.int32)
            evaluator.compute_node_energies_forces(
                len(kinds), kinds, counts, no_ends, no_ends, nothing, nothing
            )
            features = _array(evaluator.H1).reshape(len(kinds), -1)
            self._own = np.full((len(self.numbers), features.shape[1]), np.nan)
            self._own[kinds] = features
        return self._own[types]

    def _pair_forces(self, graph: Graph) -> np.ndarray:
        return _array(self._evaluator.node_forces).reshape(-1, 3)[: len(graph.senders)]


def _array(numbers: list[float]) -> np.ndarray:
    """An array of what symmetrix returns, in a third of the time that ``np.array`` takes."""
    return np.frombuffer(struct.pack(f"{len(numbers)}d", *numbers)).copy()


class _Repulsion:
    """The repulsion of pairs (ZBL), which no call for some atoms has.

    Parameters
    ----------
    parameters : sequence
        Of ``symmetrix.ZBL``; the fourth are the covalent radii by atomic number, Å.
    numbers : tuple of int
        Atomic numbers of the types.
    """

    def __init__(self, parameters: Sequence, numbers: tuple[int, ...]) -> None:
        import symmetrix

        self._function = symmetrix.ZBL(*parameters)
        self._numbers = numbers
        self._radii = np.array(parameters[3])[list(numbers)]

    def add(
        self, types: np.ndarray, graph: Graph, energies: np.ndarray, pair_forces: np.ndarray
    ) -> None:
        """Add it to site energies and to the forces of the edges.

        It ends at the sum of two covalent radii, where few edges are.
        """
        receivers, senders, lengths = graph.receivers, graph.senders, graph.distances
        near = np.flatnonzero(lengths < self._radii[types[receivers]] + self._radii[types[senders]])
        for edge in near.tolist():
            ends = (self._numbers[types[end[edge]]] for end in (receivers, senders))
            pair = (*ends, lengths[edge])
            energies[receivers[edge]] += self._function.compute(*pair)
            slope = self._function.compute_gradient(*pair)
            pair_forces[edge] -= slope / lengths[edge] * graph.vectors[edge]


class CompiledNetwork:
    """A MACE model in C++ that symmetrix writes and compiles for it, on several cores.

    Parameters
    ----------
    path : Path
        As for :class:`Network`.
    dtype : {"float64", "float32"}
        Floating point type.
    threads : int, optional
        OpenMP threads, if this process has not started any yet.

    Raises
    ------
    MixpiError
        If it cannot be compiled.
    """

    def __init__(self, path: Path, dtype: str, threads: int | None = None) -> None:
        # read when the library is loaded; without the second it complains
        os.environ["OMP_NUM_THREADS"] = str(threads or os.environ.get("OMP_NUM_THREADS", 1))
        os.environ.setdefault("OMP_PROC_BIND", "false")
        from symmetrix import Symmetrix

        try:
            calculator = Symmetrix(
                path,
                dtype=dtype,
                streamed_edges="direct",
                execution_profile="speed",
                neighbor_skin=0.0,
            )
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise MixpiError(
                "symmetrix could not compile the model, for which several threads (mode 'direct') "
                f"need a C++20 compiler, once: {lines[0][:300]}; install g++ or set CXX, or leave "
                "out threads (mode 'plain'), which needs none"
            ) from None
        self._evaluator = calculator.evaluator

    def everything(self, types: np.ndarray, graph: Graph) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`Network.everything`, for a graph with edges."""
        evaluator = self._evaluator
        generation = evaluator._prepare_factorized_graph(
            len(types), types, graph.counts, graph.senders, types[graph.senders]
        )
        evaluator._compute_prepared_factorized(
            generation, graph.vectors.reshape(-1), graph.distances
        )
        forces = _array(evaluator.node_forces).reshape(-1, 3)
        return _array(evaluator.node_energies), forces[: len(graph.senders)]
