"""Shortest paths in a topologically sorted graph, compiled where numba is installed."""

from collections.abc import Callable

import numpy as np

try:
    from numba import njit
except ImportError:  # what is here runs without, only slower
    njit = None  # type: ignore[assignment]

COMPILES = njit is not None


def compiled(function: Callable) -> Callable:
    """The function as machine code that releases the GIL; as it is where numba is missing."""
    if not COMPILES:
        return function
    contract = {"contract"}  # multiply and add in one instruction
    try:
        return njit(nogil=True, fastmath=contract, cache=True)(function)
    except RuntimeError:  # no folder to cache the machine code in
        return njit(nogil=True, fastmath=contract)(function)


def shortest_distances(edge_index: np.ndarray, n: int) -> np.ndarray:
    """Lengths of the shortest paths between all pairs of nodes.

    Args:
        edge_index: (2, E) int64, edges u → v with u < v, sorted by v (see `ArchGraph`).
        n: number of nodes.

    Returns:
        (n, n) float32, rows: target, columns: source; infinite where there is no path.
    """
    distance = np.empty((n, n), np.float32)
    fill_distances(edge_index, distance)
    return distance


@compiled
def fill_distances(edge_index: np.ndarray, distance: np.ndarray) -> None:
    """`shortest_distances`, into a given (n, n) float32 array."""
    distance[:] = np.inf
    for v in range(len(distance)):
        distance[v, v] = 0
    for e in range(edge_index.shape[1]):
        u, v = edge_index[0, e], edge_index[1, e]
        row = distance[v, : u + 1]
        np.fmin(row, distance[u, : u + 1] + np.float32(1), row)
