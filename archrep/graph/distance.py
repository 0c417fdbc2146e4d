"""Shortest and longest paths in a topologically sorted graph."""

import numpy as np

from archrep.compiled import compiled

MAX_DISTANCE = 50  # cut-off of virtual edges, paper § 4.2
TOO_FAR = np.uint8(MAX_DISTANCE + 1)  # limits distances to what a virtual edge has; fits into bytes


def shortest_distances(edge_index: np.ndarray, n: int) -> np.ndarray:
    """Lengths of the shortest paths between all pairs of nodes.

    Args:
        edge_index: (2, E) int64, edges u → v with u < v, sorted by v (see `ArchGraph`).
        n: number of nodes.

    Returns:
        (n, n) int16, rows: source, columns: target; 0 where there is no path.
    """
    distance = np.empty((n, n), np.int16)
    fill_distances(np.ascontiguousarray(edge_index), n, np.int16(2**15 - 2), distance)
    return distance


def longest_paths(edge_index: np.ndarray, n: int) -> np.ndarray:
    """Lengths of the longest paths that end at every node, (n,) int64; arguments as above."""
    length = np.zeros(n, np.int64)
    fill_longest(np.ascontiguousarray(edge_index), length)
    return length


@compiled()
def fill_distances(edge_index, n, limit, distance):
    """Writes shortest distances into the first n rows and columns of a (m, m) array of integers.

    Args:
        edge_index: (2, E) int64, as above.
        n: number of nodes, at most m.
        limit: a path of this length or longer is none; below the largest number of its type.
        distance: (m, m) of the type of `limit`, rows: source, columns: target. Small types are faster.
    """
    one = distance.dtype.type(1)
    room = np.empty(n, distance.dtype)  # to allocate it for every edge would take longer than the sum
    for v in range(n):
        distance[v, :n] = limit
        distance[v, v] = 0
    for e in range(edge_index.shape[1] - 1, -1, -1):  # the edges from v come before those to v
        u, v = edge_index[0, e], edge_index[1, e]
        known, through = distance[u, v:n], room[v:]
        np.add(distance[v, v:n], one, through)
        np.fmin(known, through, known)
    for v in range(n):
        row = distance[v, :n]
        row[row == limit] = 0


@compiled()
def fill_longest(edge_index, length):
    """`longest_paths`, into a given (n,) array of zeros."""
    for e in range(edge_index.shape[1]):
        u, v = edge_index[0, e], edge_index[1, e]
        length[v] = max(length[v], length[u] + 1)
