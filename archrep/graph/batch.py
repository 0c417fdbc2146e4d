"""A batch of graphs in the order in which a gated graph network updates nodes.

The sequential update of paper Eq. 3–4 is exact under any topological order, so nodes of the same
longest-path level, in all graphs of the batch, are updated together.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from archrep.graph.archgraph import ArchGraph
from archrep.graph.distance import TOO_FAR, fill_distances, longest_paths


@dataclass(frozen=True)
class GraphBatch:
    """B graphs, padded to the largest number of nodes n.

    Three tensors, so that a process that prepares batches hands them over quickly.

    Attributes:
        position: (N,) int64, where each node of all graphs stands among the B·n padded ones.
        distance: (B, n, n) uint8, edges on the shortest path from row to column; 0 if there is none of at most 50.
        order: (B, W) int64, nodes of every graph, level after level; a level with fewer nodes than the widest
            one of the batch is padded with n.
        widths: columns of `order` that belong to each level.
    """

    position: Tensor
    distance: Tensor
    order: Tensor
    widths: tuple[int, ...]

    @classmethod
    def from_graphs(cls, graphs: Sequence[ArchGraph] | Batch) -> "GraphBatch":
        """Collates graphs, also those of a torch_geometric batch; which of them share a batch changes no result."""
        edges, first = _joined(graphs)
        sizes = np.diff(first)
        graph = np.repeat(np.arange(len(sizes)), sizes)  # (N,)
        position = np.arange(len(graph)) - first[graph] + sizes.max() * graph
        order, widths = _by_level(longest_paths(edges, len(graph)), graph, first)
        distance = torch.from_numpy(_distances(edges, first))
        return cls(torch.from_numpy(position), distance, torch.from_numpy(order), tuple(widths.tolist()))

    @property
    def closeness(self) -> Tensor:
        """(B, n, n) float32, 1/distance where a path of at most 50 edges leads from row to column, else 0."""
        return self.distance.float().reciprocal_().nan_to_num_(posinf=0.0)

    @property
    def levels(self) -> tuple[Tensor, ...]:
        """Per level, its nodes as (B, w) int64 positions in their graph, padded with n."""
        return self.order.split(self.widths, dim=1)

    def to(self, device: torch.device | str) -> "GraphBatch":
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def pin_memory(self) -> "GraphBatch":
        """The same batch in memory that a GPU reads; what a torch DataLoader asks for."""
        return self._each(Tensor.pin_memory)

    def _each(self, function: Callable[[Tensor], Tensor]) -> "GraphBatch":
        return GraphBatch(function(self.position), function(self.distance), function(self.order), self.widths)


def graphs_of(graphs: Iterable[ArchGraph] | Batch) -> list[ArchGraph]:
    """The graphs of a torch_geometric batch, or any others, as a list."""
    return graphs.to_data_list() if isinstance(graphs, Batch) else list(graphs)


def _joined(graphs: Sequence[ArchGraph] | Batch) -> tuple[np.ndarray, np.ndarray]:
    """All graphs as one: edges (2, E), sorted by target, and the first node of every graph and the end, (B + 1,)."""
    if isinstance(graphs, Batch):
        return graphs.edge_index.cpu().numpy(), graphs.ptr.cpu().numpy()
    parts = [graph.edge_index.cpu().numpy() for graph in graphs]
    first = np.cumsum([0, *(len(graph.primitive) for graph in graphs)])
    return np.concatenate(parts, axis=1) + np.repeat(first[:-1], [part.shape[1] for part in parts]), first


def _distances(edges: np.ndarray, first: np.ndarray) -> np.ndarray:
    """`GraphBatch.distance` of the joined graphs."""
    sizes = np.diff(first)
    distance = np.zeros((len(sizes), sizes.max(), sizes.max()), np.uint8)
    parts = np.split(edges, np.searchsorted(edges[1], first[1:-1]), axis=1)
    for own, start, size, filled in zip(parts, first[:-1], sizes, distance, strict=True):
        fill_distances(np.ascontiguousarray(own - start), size, TOO_FAR, filled)
    return distance


def _by_level(level: np.ndarray, graph: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`GraphBatch.order` and `widths`, of nodes (N,) of these levels and graphs."""
    size, depth = len(first) - 1, level.max() + 1
    group = graph * depth + level
    count = np.bincount(group, minlength=size * depth)  # (B · depth,) nodes of a graph on a level
    widths = count.reshape(size, depth).max(axis=0)
    nodes = np.argsort(group, kind="stable")  # graph after graph, level after level
    place = np.arange(len(nodes)) - np.repeat(np.cumsum(count) - count, count)  # on its level
    order = np.full((size, widths.sum()), np.diff(first).max())
    order[graph, (np.cumsum(widths) - widths)[level[nodes]] + place] = nodes - first[graph]
    return order, widths


def batches(graphs: Sequence[ArchGraph], max_graphs: int, max_cells: int = 2**24) -> Iterator[list[int]]:
    """Positions of graphs that go into one batch: of similar size, their n × n matrices within a budget of cells."""
    order = sorted(range(len(graphs)), key=lambda i: len(graphs[i].primitive))
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) == max_graphs or (len(batch) + 1) * len(graphs[i].primitive) ** 2 > max_cells):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
