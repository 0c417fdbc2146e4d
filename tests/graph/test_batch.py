"""GraphBatch: distances and levels of graphs that share a batch, from a list or from torch_geometric."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from torch.utils.data import DataLoader
from torch_geometric.data import Batch

from archrep.graph import MAX_DISTANCE, ArchGraph
from archrep.graph.batch import GraphBatch, batches, graphs_of
from tests.graph.test_distance import by_scipy, dags


def graph_of(dag):
    edges, n = dag
    zeros = torch.zeros(n, 4, dtype=torch.int64)
    return ArchGraph(primitive=zeros[:, 0], shape=zeros, edge_index=torch.from_numpy(edges), num_nodes=n)


CHAINS = [graph_of((np.stack([np.arange(n - 1), np.arange(1, n)]), n)) for n in (60, 2, 300)]
graphs = st.lists(dags().map(graph_of), min_size=1, max_size=4)


def same(one, other):
    tensors = ((getattr(batch, name) for name in ("position", "distance", "order")) for batch in (one, other))
    return one.widths == other.widths and all(map(torch.equal, *tensors))


@settings(max_examples=80, deadline=None)
@given(graphs)
@example(CHAINS)
def test_closeness_is_that_of_shortest_paths(graphs):
    """1/distance, in float32, up to distance 50; nothing beyond a graph's nodes."""
    closeness = GraphBatch.from_graphs(graphs).closeness.numpy()
    expected = np.zeros_like(closeness)
    for graph, own in zip(graphs, expected, strict=True):
        n = len(graph.primitive)
        distance = by_scipy(graph.edge_index.numpy(), n)
        near = (distance > 0) & (distance <= MAX_DISTANCE)
        own[:n, :n][near] = np.float32(1) / distance[near].astype(np.float32)
    assert closeness.dtype == np.float32
    assert np.array_equal(closeness, expected)


@settings(max_examples=80, deadline=None)
@given(graphs)
def test_levels_are_longest_paths(graphs):
    batch = GraphBatch.from_graphs(graphs)
    size, n, _ = batch.distance.shape
    assert len(batch.levels) == 1 + max(graph.levels.max() for graph in graphs)
    for depth, level in enumerate(batch.levels):  # (B, w)
        expected = [np.flatnonzero(graph.levels == depth).tolist() for graph in graphs]
        width = max(map(len, expected))
        assert level.tolist() == [nodes + [n] * (width - len(nodes)) for nodes in expected]
    assert n == max(len(graph.primitive) for graph in graphs)
    assert batch.position.tolist() == [b * n + v for b in range(size) for v in range(len(graphs[b].primitive))]


@settings(max_examples=80, deadline=None)
@given(graphs)
def test_batched_equals_one_by_one(graphs):
    together = GraphBatch.from_graphs(graphs)
    for b, graph in enumerate(graphs):
        alone, k = GraphBatch.from_graphs([graph]), len(graph.primitive)
        assert torch.equal(together.distance[b, :k, :k], alone.distance[0])
        assert together.distance[b].count_nonzero() == alone.distance.count_nonzero()
        levels = [level[b][level[b] < k].tolist() for level in together.levels]
        assert levels[: len(alone.levels)] == [level[0].tolist() for level in alone.levels]
        assert not any(levels[len(alone.levels) :])


@settings(max_examples=40, deadline=None)
@given(graphs)
def test_from_torch_geometric(graphs):
    batch = Batch.from_data_list(graphs)
    assert same(GraphBatch.from_graphs(batch), GraphBatch.from_graphs(graphs))
    assert all(
        torch.equal(back.edge_index, graph.edge_index) for back, graph in zip(graphs_of(batch), graphs, strict=True)
    )


@settings(max_examples=40, deadline=None)
@given(dags())
def test_virtual_edges_are_pairs_at_distance_2_to_50(dag):
    graph = graph_of(dag)
    distance = by_scipy(*dag)
    pairs = np.argwhere((distance >= 2) & (distance <= MAX_DISTANCE))
    assert graph.virtual_edges.t().tolist() == pairs.tolist()
    assert graph.distances.tolist() == distance[tuple(pairs.T)].tolist()
    assert graph.virtual_edges.dtype == graph.distances.dtype == torch.int64


def test_real_networks(small):
    graphs = [architecture.graph for architecture in small]
    batch = GraphBatch.from_graphs(graphs)
    assert same(batch, GraphBatch.from_graphs(Batch.from_data_list(graphs)))
    for graph, distance in zip(graphs, batch.distance.numpy(), strict=True):
        k = len(graph.primitive)
        assert np.array_equal(distance[:k, :k], np.where(graph.distance_matrix <= 50, graph.distance_matrix, 0))
        sources, targets = np.nonzero(distance == 1)
        assert {*zip(sources, targets, strict=True)} == {*map(tuple, graph.edge_index.t().tolist())}


class Prepared(torch.utils.data.Dataset):
    """Batches of two graphs, collated where the loader wants them."""

    def __init__(self, graphs):
        self.graphs = graphs

    def __len__(self):
        return len(self.graphs) // 2

    def __getitem__(self, i):
        return GraphBatch.from_graphs(self.graphs[2 * i : 2 * i + 2])


def test_prepared_in_another_process(small):
    prepared = Prepared([architecture.graph for architecture in small[:4]])
    loaded = list(DataLoader(prepared, batch_size=None, num_workers=1))
    assert all(same(batch, prepared[i]) for i, batch in enumerate(loaded))
    assert len(loaded) == 2


@pytest.mark.parametrize(("most", "cells"), [(2, 10**9), (100, 400)])
def test_batches_within_budgets(small, most, cells):
    graphs = [architecture.graph for architecture in small]
    chosen = list(batches(graphs, most, cells))
    assert sorted(i for batch in chosen for i in batch) == list(range(len(graphs)))
    for batch in chosen:
        n = max(len(graphs[i].primitive) for i in batch)
        assert len(batch) == 1 or (len(batch) <= most and len(batch) * n**2 <= cells)
