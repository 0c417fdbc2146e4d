"""Path encoding: the sequences of operations from a cell's input to its output (White et al., AAAI 2021, § 3)."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import product

import numpy as np

from archrep.probe.cells import digits_macro, edges_101, genotype_space, operations_201
from archrep.probe.encoders.cell_features import OPS_201
from archrep.probe.encoders.context import Context
from archrep.space import Architecture
from archrep.space.deepnets.config import Edge
from archrep.space.nasbench_macro import STAGES

PATHS_201 = ((3,), (0, 4), (1, 5), (0, 2, 5))  # positions in `nasbench201.EDGES`
BUCKETS = 512  # for the paths of one DeepNets cell


def encode_paths(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, d): 1 for every sequence of operations that is a path from input to output.

    NAS-Bench-201: sequences of one to three operations, skip among them (84). NAS-Bench-101: of none to five (364).
    NAS-Bench-Macro, a chain: the sequence of each of its stages (63). DeepNets: for each of the two cells, paths from
    either input to the concatenation, counted and hashed into 512 buckets (1,024). Dead branches leave no trace.
    """
    return BY_SPACE[genotype_space(architectures, "paths")](architectures)


@lru_cache(maxsize=8)
def _columns(alphabet: str | tuple[str, ...], shortest: int, longest: int) -> dict[tuple[str, ...], int]:
    lengths = range(shortest, longest + 1)
    return {word: i for i, word in enumerate(w for k in lengths for w in product(alphabet, repeat=k))}


def _nasbench201(architectures: Sequence[Architecture]) -> np.ndarray:
    columns = _columns(OPS_201, 1, 3)
    values = np.zeros((len(architectures), len(columns)))
    for row, architecture in zip(values, architectures, strict=True):
        operations = operations_201(architecture)
        words = [tuple(operations[edge] for edge in path) for path in PATHS_201]
        row[[columns[word] for word in words if "none" not in word]] = 1
    return values


def _nasbench101(architectures: Sequence[Architecture]) -> np.ndarray:
    columns = _columns("012", 0, 5)
    values = np.zeros((len(architectures), len(columns)))
    for row, architecture in zip(values, architectures, strict=True):
        edges, ops = edges_101(architecture)
        words: list[set[tuple[str, ...]]] = [{()}, *(set() for _ in range(len(ops) + 1))]  # up to each vertex
        for u, v in sorted(edges, key=lambda edge: edge[1]):
            own = (ops[v - 1],) if v <= len(ops) else ()
            words[v] |= {word + own for word in words[u]}
        row[[columns[word] for word in words[-1]]] = 1
    return values


def _nasbench_macro(architectures: Sequence[Architecture]) -> np.ndarray:
    values = np.zeros((len(architectures), sum(3**layers for _, layers in STAGES)))
    for row, architecture in zip(values, architectures, strict=True):
        digits, offset = digits_macro(architecture), 0
        for _, layers in STAGES:
            row[offset + int(digits[:layers], 3)] = 1
            digits, offset = digits[layers:], offset + 3**layers
    return values


def _deepnets(architectures: Sequence[Architecture]) -> np.ndarray:
    values = np.zeros((len(architectures), 2, BUCKETS))
    for row, architecture in zip(values, architectures, strict=True):
        assert architecture.config is not None  # genotype_space has seen to it
        g = architecture.config.genotype
        for bins, edges, concat in zip(row, (g.normal, g.reduce), (g.normal_concat, g.reduce_concat), strict=True):
            for word in _words(edges, concat):
                bins[zlib.crc32(word.encode()) % BUCKETS] += 1
    return np.log1p(values.reshape(len(values), -1))


def _words(edges: Sequence[Edge], concat: Sequence[int]) -> Iterator[str]:
    """Paths from the states 0 and 1 to the concatenated ones, each beginning with its state; the two may repeat."""
    words: list[list[str]] = [["0"], ["1"]]
    for i in range(0, len(edges), 2):
        words.append([f"{w} {op}" for op, state in edges[i : i + 2] if op != "none" for w in words[state]])
    for state in concat:
        yield from words[state]


BY_SPACE: dict[str, Callable[[Sequence[Architecture]], np.ndarray]] = {
    "nasbench101": _nasbench101,
    "nasbench201": _nasbench201,
    "nasbench_macro": _nasbench_macro,
    "deepnets": _deepnets,
}
