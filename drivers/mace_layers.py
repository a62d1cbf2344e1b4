"""The layers of a MACE model one by one, by mace-torch's own modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MixpiError
from .neighbours import Graph


if TYPE_CHECKING:
    import torch


class TorchLayers:
    """Two layers of a network, for some atoms.

    Parameters
    ----------
    network : torch.nn.Module
        A MACE of mace-torch.
    head : int
        Place of the head that is evaluated.

    Raises
    ------
    MixpiError
        If the network has another architecture.
    """

    def __init__(self, network: Any, head: int) -> None:
        if int(network.num_interactions) != 2 or hasattr(network, "joint_embedding"):
            raise MixpiError(
                "partial evaluation is for MACE models of two layers without further embeddings; "
                f"this one has {int(network.num_interactions)} layers: evaluate whole clusters"
            )
        self._network, self._head = network, head
        parameter = next(network.parameters())
        self._dtype, self._device = parameter.dtype, parameter.device

    @property
    def scalars(self) -> int:
        """So many features do not change when everything is turned."""
        return int(self._network.products[0].linear.irreps_out.count("0e"))

    def features(self, types: np.ndarray, graph: Graph, atoms: int) -> np.ndarray:
        """First-layer features (atoms, f) of the first so many atoms."""
        import torch

        with torch.no_grad():
            found = self._first(self._edges(types, graph.first(atoms)), atoms)
        return found.cpu().numpy().astype(float)

    def some(
        self,
        types: np.ndarray,
        graph: Graph,
        *,
        sites: int,
        features: int,
        fill: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`mixpi.drivers.symmetrix_network.Network.some`."""
        import torch

        network = self._network
        edges = self._edges(types, graph)
        computed = self._first(edges, features)
        others = torch.zeros(len(types) - features, computed.shape[1]).to(computed)
        if fill is not None:
            others = torch.as_tensor(fill[types[features:]]).to(computed)
        given = torch.cat([computed, others])
        last = self._layer(1, edges, given, sites)

        heads = torch.full((sites,), self._head, dtype=torch.int64, device=self._device)
        here = torch.arange(sites, device=self._device)
        of_layers = [given[:sites], last]
        readouts = network.readouts
        energies = sum(
            readout(of_layers[-1 if len(readouts) == 1 else place], heads)[here, heads]
            for place, readout in enumerate(readouts)
        )
        if hasattr(network, "pair_repulsion"):
            near = edges.of(sites)
            energies = energies + network.pair_repulsion_fn(
                near.lengths, near.attributes, near.ends, network.atomic_numbers
            )[:sites]  # fmt: skip
        if hasattr(network, "scale_shift"):
            energies = network.scale_shift(energies, heads)
        alone = network.atomic_energies_fn(edges.attributes[:sites])[here, heads]
        (slope,) = torch.autograd.grad(energies.sum(), edges.vectors)
        found = (alone.double() + energies.double()).detach().cpu().numpy()
        return found, -slope.cpu().numpy().astype(float)

    def _edges(self, types: np.ndarray, graph: Graph) -> _Edges:
        return _Edges(self._network, types, graph, self._dtype, self._device)

    def _first(self, edges: _Edges, atoms: int) -> torch.Tensor:
        return self._layer(0, edges, self._network.node_embedding(edges.attributes), atoms)

    def _layer(
        self, number: int, edges: _Edges, features: torch.Tensor, atoms: int
    ) -> torch.Tensor:
        """Features of the first so many atoms after a layer, from those of all before it.

        Messages are those of the edges that these atoms receive. For the others the block
        computes from nothing, which is cheap; the product is that of these atoms alone.
        """
        network, near = self._network, edges.of(atoms)
        message, connection = network.interactions[number](
            node_attrs=edges.attributes,
            node_feats=features,
            edge_attrs=near.harmonics,
            edge_feats=near.radial,
            edge_index=near.ends,
            cutoff=near.envelope,
            first_layer=number == 0,
        )
        return network.products[number](
            node_feats=message[:atoms],
            sc=None if connection is None else connection[:atoms],
            node_attrs=edges.attributes[:atoms],
        )


class _Edges:
    """What a network knows of edges, with the vectors that it depends on."""

    def __init__(
        self,
        network: Any,
        types: np.ndarray,
        graph: Graph,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        import torch

        species = len(network.atomic_numbers)
        self.attributes = torch.eye(species, dtype=dtype, device=device)[torch.as_tensor(types)]
        self.vectors = torch.tensor(graph.vectors, dtype=dtype, device=device, requires_grad=True)
        ends = np.stack([graph.senders, graph.receivers]).astype(np.int64)
        self.ends = torch.as_tensor(ends, device=device)
        self.lengths = self.vectors.norm(dim=1, keepdim=True)
        # mace-torch's point from the sender to the receiver
        self.harmonics = network.spherical_harmonics(-self.vectors)
        self.radial, self.envelope = network.radial_embedding(
            self.lengths, self.attributes, self.ends, network.atomic_numbers
        )
        self._starts = np.concatenate([[0], np.cumsum(graph.counts)])

    def of(self, atoms: int) -> _Edges:
        """Those that the first so many atoms receive."""
        e = int(self._starts[atoms])
        part = object.__new__(_Edges)
        part.__dict__ = {
            **self.__dict__,
            "ends": self.ends[:, :e],
            "lengths": self.lengths[:e],
            "harmonics": self.harmonics[:e],
            "radial": self.radial[:e],
            "envelope": None if self.envelope is None else self.envelope[:e],
        }
        return part
