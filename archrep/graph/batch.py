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


@dataclass(frozen=True)
class GraphBatch:
    """B graphs, padded to the largest number of nodes n.

    Attributes:
        primitive: (B, n) int64, see ArchGraph; 0 in the padding.
        shape: (B, n, 4) int64; 0 in the padding.
        mask: (B, n) bool, True at real nodes.
        adjacency: (B, n, n) float32, 1 at distance-1 edges, row to column.
        closeness: (B, n, n) float32, 1/distance where a path of at most 50 edges leads from row to column.
        levels: per level, its nodes as (B, w) int64 positions, padded with n.
    """

    primitive: Tensor
    shape: Tensor
    mask: Tensor
    adjacency: Tensor
    closeness: Tensor
    levels: list[Tensor]

    @classmethod
    def from_graphs(cls, graphs: Sequence[ArchGraph]) -> "GraphBatch":
        """Collates graphs; which graphs share a batch changes no graph's result."""
        size, n = len(graphs), max(len(g.primitive) for g in graphs)
        primitive = torch.zeros(size, n, dtype=torch.int64)
        shape = torch.zeros(size, n, 4, dtype=torch.int64)
        mask = torch.zeros(size, n, dtype=torch.bool)
        adjacency = np.zeros((size, n, n), dtype=np.float32)
        closeness = np.zeros((size, n, n), dtype=np.float32)
        by_level: list[list[np.ndarray]] = []
        for b, graph in enumerate(graphs):
            k = len(graph.primitive)
            primitive[b, :k], shape[b, :k], mask[b, :k] = graph.primitive, graph.shape, True
            distance = graph.distance_matrix
            adjacency[b, :k, :k] = distance == 1
            near = (distance > 0) & (distance <= MAX_DISTANCE)
            np.divide(1.0, distance, out=closeness[b, :k, :k], where=near)
            for level, nodes in enumerate(_nodes_by_level(graph.levels)):
                if level == len(by_level):
                    by_level.append([np.empty(0, dtype=np.int64)] * size)
                by_level[level][b] = nodes
        levels = [torch.from_numpy(_pad(nodes, n)) for nodes in by_level]
        return cls(primitive, shape, mask, torch.from_numpy(adjacency), torch.from_numpy(closeness), levels)

    def to(self, device: torch.device | str) -> "GraphBatch":
        """The same batch on another device."""
        return GraphBatch(
            self.primitive.to(device),
            self.shape.to(device),
            self.mask.to(device),
            self.adjacency.to(device),
            self.closeness.to(device),
            [level.to(device) for level in self.levels],
        )


def _nodes_by_level(level: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(level, kind="stable")
    return np.split(order, np.cumsum(np.bincount(level))[:-1])


def _pad(nodes: list[np.ndarray], fill: int) -> np.ndarray:
    padded = np.full((len(nodes), max(map(len, nodes))), fill, dtype=np.int64)
    for row, values in zip(padded, nodes, strict=True):
        row[: len(values)] = values
    return padded


def batches(graphs: Sequence[ArchGraph], max_graphs: int = 64, max_nodes: int = 4096) -> Iterator[list[int]]:
    """Positions of graphs that go into one batch: of similar size, within a budget of padded nodes."""
    order = sorted(range(len(graphs)), key=lambda i: len(graphs[i].primitive))
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) == max_graphs or (len(batch) + 1) * len(graphs[i].primitive) > max_nodes):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
