"""A batch of graphs in the order in which a gated graph network updates nodes.

The sequential update of paper Eq. 3–4 is exact under any topological order, so nodes of the same
longest-path level, in all graphs of the batch, are updated together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from archrep.graph.archgraph import MAX_DISTANCE, ArchGraph
from archrep.graph.distance import shortest_distances


@dataclass(frozen=True)
class GraphBatch:
    """B graphs, padded to the largest number of nodes n.

    Attributes:
        position: (N,) int64, where each node of all graphs stands among the B·n padded ones.
        adjacency: (B, n, n) float32, 1 at distance-1 edges, row to column.
        closeness: (B, n, n) float32, 1/distance where a path of at most 50 edges leads from row to column.
        levels: per level, its nodes as (B, w) int64 positions in their graph, padded with n.
    """

    position: Tensor
    adjacency: Tensor
    closeness: Tensor
    levels: list[Tensor]

    @classmethod
    def from_graphs(cls, graphs: Sequence[ArchGraph]) -> "GraphBatch":
        """Collates graphs; which graphs share a batch changes no graph's result."""
        size, n = len(graphs), max(len(g.primitive) for g in graphs)
        position = np.concatenate([b * n + np.arange(len(g.primitive)) for b, g in enumerate(graphs)])
        adjacency = np.zeros((size, n, n), dtype=np.float32)
        closeness = np.zeros((size, n, n), dtype=np.float32)
        by_level: list[list[np.ndarray]] = []
        for b, graph in enumerate(graphs):
            k = len(graph.primitive)
            edges = graph.edge_index.cpu().numpy()
            adjacency[b, edges[0], edges[1]] = 1.0
            distance = shortest_distances(edges, k).T
            np.divide(1.0, distance, out=closeness[b, :k, :k], where=(distance > 0) & (distance <= MAX_DISTANCE))
            for level, nodes in enumerate(_nodes_by_level(graph.levels)):
                if level == len(by_level):
                    by_level.append([np.empty(0, dtype=np.int64)] * size)
                by_level[level][b] = nodes
        levels = [torch.from_numpy(_pad(nodes, n)) for nodes in by_level]
        return cls(torch.from_numpy(position), torch.from_numpy(adjacency), torch.from_numpy(closeness), levels)

    def to(self, device: torch.device | str) -> "GraphBatch":
        """The same batch on another device."""
        levels = [level.to(device) for level in self.levels]
        return GraphBatch(self.position.to(device), self.adjacency.to(device), self.closeness.to(device), levels)


def _nodes_by_level(level: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(level, kind="stable")
    return np.split(order, np.cumsum(np.bincount(level))[:-1])


def _pad(nodes: list[np.ndarray], fill: int) -> np.ndarray:
    padded = np.full((len(nodes), max(map(len, nodes))), fill, dtype=np.int64)
    for row, values in zip(padded, nodes, strict=True):
        row[: len(values)] = values
    return padded


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
