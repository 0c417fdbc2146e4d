"""Shortest and longest paths: by scipy and networkx, compiled or not."""

import hypothesis.strategies as st
import networkx as nx
import numpy as np
from hypothesis import given, settings
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path

from archrep.compiled import COMPILES
from archrep.graph.distance import TOO_FAR, fill_distances, fill_longest, longest_paths, shortest_distances


@st.composite
def dags(draw, most=10, longest=70):
    """Edges (2, E), sorted by target, then source, and the number of nodes: a chain, then anything."""
    chain, more = draw(st.integers(1, longest)), draw(st.integers(0, most))
    n = chain + more
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda pair: pair[0] < pair[1])
    others = draw(st.lists(pairs, max_size=3 * most)) if n > 1 else []
    edges = {*others, *((v, v + 1) for v in range(chain - 1))}
    return np.array(sorted(edges, key=lambda edge: edge[::-1]), np.int64).reshape(-1, 2).T, n


def by_scipy(edges, n):
    """(n, n) float64; infinite where there is no path."""
    return shortest_path(coo_array((np.ones(edges.shape[1]), tuple(edges)), (n, n)).tocsr(), unweighted=True)


@settings(max_examples=80, deadline=None)
@given(dags())
def test_shortest_distances(dag):
    edges, n = dag
    expected = by_scipy(edges, n)
    distance = shortest_distances(edges, n)
    assert distance.dtype == np.int16
    assert np.array_equal(distance, np.where(np.isfinite(expected), expected, 0))


@settings(max_examples=80, deadline=None)
@given(dags())
def test_longest_paths(dag):
    edges, n = dag
    graph = nx.DiGraph(edges.T.tolist())
    graph.add_nodes_from(range(n))
    length = longest_paths(edges, n)
    assert {v: length[v] for v in range(n)} == {
        v: depth for depth, nodes in enumerate(nx.topological_generations(graph)) for v in nodes
    }


def test_far_beyond_bytes():
    chain = np.stack([np.arange(599), np.arange(1, 600)])
    steps = np.arange(600)
    assert np.array_equal(shortest_distances(chain, 600), np.maximum(steps - steps[:, None], 0))
    assert longest_paths(chain, 600).tolist() == steps.tolist()


@settings(max_examples=40, deadline=None)
@given(dags(), st.sampled_from([TOO_FAR, np.int16(300)]), st.integers(0, 3))
def test_compiled_or_not(dag, limit, padding):
    """The machine code does what the Python does, and leaves what lies beyond the graph alone."""
    assert COMPILES
    edges, n = dag
    distances = [np.full((n + padding, n + padding), 77, limit.dtype) for _ in range(2)]
    lengths = [np.zeros(n, np.int64) for _ in range(2)]
    for fill, longest, distance, length in zip(
        (fill_distances, fill_distances.py_func), (fill_longest, fill_longest.py_func), distances, lengths, strict=True
    ):
        fill(edges, n, limit, distance)
        longest(edges, length)
    assert np.array_equal(*distances)
    assert np.array_equal(*lengths)
    assert (distances[0][n:] == 77).all()
    assert (distances[0][:, n:] == 77).all()
    expected = by_scipy(edges, n)
    assert np.array_equal(distances[0][:n, :n], np.where(expected < limit, expected, 0))


def test_any_layout_of_the_edges():
    edges = np.array([[0, 1], [0, 2], [1, 3], [2, 3]]).T  # in Fortran's order
    assert shortest_distances(edges, 4)[0].tolist() == [0, 1, 1, 2]
    assert longest_paths(edges, 4).tolist() == [0, 1, 1, 2]
