"""One-hot and adjacency encodings of genotypes, the baseline of the literature (White et al., NeurIPS 2020, § 3)."""

from collections.abc import Callable, Sequence

import numpy as np

from archrep.errors import ArchrepError
from archrep.probe.cells import digits_macro, genotype_space, operations_201
from archrep.probe.encoders.cell_features import dense_101
from archrep.probe.encoders.context import Context
from archrep.space import Architecture
from archrep.space.deepnets.config import OPS, DeepNetConfig, Edge
from archrep.space.nasbench201 import OPERATIONS

STEPS = 10  # most sum nodes of a DeepNets cell (split dense)


def encode_one_hot(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, d): the genotype as it is written, dead branches included.

    NAS-Bench-201: the operation of every edge (30). NAS-Bench-101: the upper triangle of the adjacency matrix with
    the output last, and the operation of every inner vertex (36). NAS-Bench-Macro: every layer (24). DeepNets:
    operation and source of every edge and the concatenation of both cells, and the arguments around them (1,115).
    """
    return BY_SPACE[genotype_space(architectures, "one-hot")](architectures)


def _nasbench201(architectures: Sequence[Architecture]) -> np.ndarray:
    return np.array([[name == op for name in operations_201(a) for op in OPERATIONS] for a in architectures], float)


def _nasbench101(architectures: Sequence[Architecture]) -> np.ndarray:
    edges, kinds = dense_101(architectures)
    upper = edges[:, *np.triu_indices(edges.shape[1], 1)]
    inner = kinds[:, 1:-1, None] == np.arange(3)
    return np.concatenate([upper, inner.reshape(len(upper), -1)], axis=1).astype(float)


def _nasbench_macro(architectures: Sequence[Architecture]) -> np.ndarray:
    return np.array([[d == digit for d in digits_macro(a) for digit in "012"] for a in architectures], float)


def _deepnets(architectures: Sequence[Architecture]) -> np.ndarray:
    return np.array([_deepnet(a.id, a.config) for a in architectures if a.config is not None])


def _deepnet(name: str, config: DeepNetConfig) -> np.ndarray:
    g = config.genotype
    cells = [_cell(name, g.normal, g.normal_concat), _cell(name, g.reduce, g.reduce_concat)]
    flags = [config.stem_type, config.stem_pool, config.norm, config.preproc, config.glob_avg]
    sizes = [config.n_cells, config.channel_mult, config.stem_kernel, config.fc_layers]
    logs = [np.log2(config.channels), np.log2(config.fc_dim)]
    return np.concatenate([*cells, np.array([*flags, *sizes, *logs], dtype=float)])


def _cell(name: str, edges: Sequence[Edge], concat: Sequence[int]) -> np.ndarray:
    """(552,): two edges for each of ten sum nodes, 15 operations and 12 states each; 12 states in the concatenation."""
    if len(edges) > 2 * STEPS:
        raise ArchrepError(f"{name}: the encoder 'one-hot' takes up to {STEPS} sum nodes; got {len(edges) // 2}.")
    operation, source = np.zeros((2 * STEPS, len(OPS))), np.zeros((2 * STEPS, STEPS + 2))
    for i, (op, state) in enumerate(edges):
        operation[i, OPS.index(op)] = source[i, state] = 1
    chosen = np.zeros(STEPS + 2)
    chosen[list(concat)] = 1
    return np.concatenate([operation.ravel(), source.ravel(), chosen])


BY_SPACE: dict[str, Callable[[Sequence[Architecture]], np.ndarray]] = {
    "nasbench101": _nasbench101,
    "nasbench201": _nasbench201,
    "nasbench_macro": _nasbench_macro,
    "deepnets": _deepnets,
}
