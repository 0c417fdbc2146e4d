"""ArchGraph: the computational graph of one architecture, as a torch_geometric Data."""

import hashlib
from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from archrep.graph.distance import MAX_DISTANCE, longest_paths, shortest_distances
from archrep.graph.primitives import VOCABULARIES

Shape = tuple[int, ...]


class ArchGraph(Data):
    """Directed acyclic graph of primitives with the parameters each of them owns.

    Nodes are stored in a topological order. Tensors (what a torch_geometric batch concatenates):

    - `primitive`: (N,) int64, index into the graph's vocabulary, see primitives.py
    - `shape`: (N, 4) int64, main parameter as (out, in, height, width), pooling kernels as
      (1, 1, height, width); zero where a node has no shape
    - `edge_index`: (2, E) int64, distance-1 edges u → v, sorted by v then u

    Python lists, one entry per node:

    - `param_names`: name of the node's main parameter, or None
    - `parameters`: names of all parameters the node owns (a norm's bias belongs to its node)
    - `parameter_shapes`: their shapes
    - `kinds`: primitive in the extended vocabulary

    Of the whole graph: `vocabulary`, "released" or "extended"; `unused`, names of parameters that the
    forward pass never uses; `tied`, further names of shared parameters → the name in `parameters`.
    """

    primitive: Tensor
    shape: Tensor
    param_names: list[str | None]
    parameters: list[tuple[str, ...]]
    parameter_shapes: list[tuple[Shape, ...]]
    kinds: list[str]
    vocabulary: str
    unused: tuple[str, ...]
    tied: dict[str, str]

    @property
    def primitives(self) -> list[str]:
        """Primitive name of every node."""
        names = VOCABULARIES[self.vocabulary]
        return [names[i] for i in self.primitive.tolist()]

    def primitives_of(self, node: int) -> str:
        """Primitive name of one node."""
        return VOCABULARIES[self.vocabulary][int(self.primitive[node])]

    @property
    def mapped(self) -> dict[str, str]:
        """Kinds of this graph that its vocabulary does not have → the nearest primitive that stands for them."""
        return {kind: name for kind, name in zip(self.kinds, self.primitives, strict=True) if kind != name}

    @property
    def param_shapes(self) -> dict[str, Shape]:
        """Shape of every parameter in `parameters`, by name."""
        cached = self.__dict__.get("_param_shapes")
        if cached is None:
            pairs = zip(self.parameters, self.parameter_shapes, strict=True)
            cached = {name: shape for names, shapes in pairs for name, shape in zip(names, shapes, strict=True)}
            self.__dict__["_param_shapes"] = cached
        return cached

    @property
    def num_params(self) -> int:
        """Number of parameters that the forward pass uses."""
        return sum(prod(shape) for shapes in self.parameter_shapes for shape in shapes)

    @property
    def distance_matrix(self) -> np.ndarray:
        """(N, N) int16 shortest-path lengths from row to column; 0 where there is no path."""
        return shortest_distances(self.edge_index.cpu().numpy(), len(self.primitive))

    @property
    def virtual_edges(self) -> Tensor:
        """(2, V) int64: node pairs at shortest-path distance 2 … 50 (paper § 4.2, Eq. 4)."""
        distance = self.distance_matrix
        pair = np.flatnonzero(_is_virtual(distance))
        source = pair // len(distance)  # np.nonzero takes three times as long
        return torch.from_numpy(np.stack([source, pair - source * len(distance)]))

    @property
    def distances(self) -> Tensor:
        """(V,) int64: shortest-path distance of every virtual edge."""
        distance = self.distance_matrix
        return torch.from_numpy(distance[_is_virtual(distance)].astype(np.int64))

    def apply(self, func: Callable, *args: str) -> "ArchGraph":
        """Applies a function to the tensors; names and shapes stay the tuples that they are."""
        return super().apply(func, *(args or ("primitive", "shape", "edge_index")))

    @property
    def levels(self) -> np.ndarray:
        """(N,) int64: longest-path depth of every node; an edge always goes to a higher level."""
        return longest_paths(self.edge_index.cpu().numpy(), len(self.primitive))

    def hash(self, shapes: bool = True) -> str:
        """Digest of the isomorphism class: equal graphs have equal hashes, names are ignored.

        Args:
            shapes: if False, parameter shapes are ignored too (for grouping and de-duplication).
        """
        labels = [bytes([p]) for p in self.primitive.tolist()]
        if shapes:
            labels = [
                label + f"{shape} {own}".encode()
                for label, shape, own in zip(labels, self.shape.tolist(), self.parameter_shapes, strict=True)
            ]
        return _digest(labels, self.edge_index.t().tolist())


def _is_virtual(distance: np.ndarray) -> np.ndarray:
    return (distance >= 2) & (distance <= MAX_DISTANCE)


def _digest(labels: Sequence[bytes], edges: Sequence[Sequence[int]]) -> str:
    """Refines node labels along and against the edges, twice, then digests their multiset."""
    n = len(labels)
    before: list[list[int]] = [[] for _ in range(n)]
    after: list[list[int]] = [[] for _ in range(n)]
    for u, v in edges:
        before[v].append(u)
        after[u].append(v)
    state, blake2b = list(labels), hashlib.blake2b
    for _ in range(2):
        for order, neighbours in ((range(n), before), (range(n - 1, -1, -1), after)):
            new: list[bytes] = [b""] * n
            for i in order:  # neighbours come earlier in this order
                near = neighbours[i]
                parts = new[near[0]] if len(near) == 1 else b",".join(sorted([new[j] for j in near]))
                new[i] = blake2b(state[i] + b";" + parts, digest_size=8).digest()
            state = new
    return blake2b(b"".join(sorted(state)), digest_size=16).hexdigest()


__all__ = ["MAX_DISTANCE", "ArchGraph", "Shape"]
