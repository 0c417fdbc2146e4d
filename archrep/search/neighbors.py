"""Nearest architectures in an embedding table."""

from dataclasses import dataclass

import numpy as np

from archrep.data.embeddings import Embeddings
from archrep.errors import ArchrepError, lookup

ROWS = 65_536  # of the table in work at once


@dataclass(frozen=True)
class Neighbors:
    """The nearest architectures, nearest first; equal distances by name.

    Attributes:
        names: (k,) specs. distances: (k,). tied: how many further ones are as far away as the last.
    """

    names: list[str]
    distances: np.ndarray
    tied: int


def nearest(embeddings: Embeddings, query: str | np.ndarray, k: int = 10, metric: str = "euclidean") -> Neighbors:
    """The k nearest architectures of a table; all if it has fewer.

    Args:
        query: an architecture of the table, which is not its own neighbour, or an embedding (d,).
        metric: a name of `METRICS`.

    Raises:
        ArchrepError: for an architecture that is not in the table, an embedding of another length or with values
            that are not finite, a k below 1, an unknown metric, or a table without another architecture.
    """
    distance_to = lookup(METRICS, metric, "metric")
    if k < 1:
        raise ArchrepError(f"The number of neighbours must be at least 1; got {k}.")
    index, values = embeddings.table.index, embeddings.values
    own = None
    if isinstance(query, str):
        if query not in index:
            raise ArchrepError(f"{query}: not in the table of {len(index):,} architectures; give its embedding.")
        own = int(index.get_loc(query))
        query = values[own]
    query = np.asarray(query, dtype=np.float32).ravel()
    if query.shape != values.shape[1:] or not np.isfinite(query).all():
        raise ArchrepError(f"Expected a finite embedding of {values.shape[1]} numbers; got {len(query)}.")
    parts = [distance_to(values[first : first + ROWS], query) for first in range(0, len(values), ROWS)]
    distance = np.concatenate(parts)
    if own is not None:
        distance[own] = np.inf
    k = min(k, len(distance) - (own is not None))
    if k == 0:
        raise ArchrepError("The table holds no other architecture.")
    limit = np.partition(distance, k - 1)[k - 1]
    found = np.flatnonzero(distance <= limit)
    names = np.asarray(index[found], dtype=object)
    order = np.lexsort((names.astype(str), distance[found]))[:k]
    return Neighbors(names[order].tolist(), distance[found][order].astype(float), len(found) - k)


def _euclidean(values: np.ndarray, query: np.ndarray) -> np.ndarray:
    apart = values - query
    return np.sqrt(np.einsum("nd,nd->n", apart, apart))


def _cosine(values: np.ndarray, query: np.ndarray) -> np.ndarray:
    """1 - cosine of the angle; 1 where one of the two is zero."""
    norms = np.sqrt(np.einsum("nd,nd->n", values, values)) * np.sqrt(query @ query)
    return 1 - np.divide(values @ query, norms, out=np.zeros(len(values), np.float32), where=norms > 0)


METRICS = {"euclidean": _euclidean, "cosine": _cosine}
