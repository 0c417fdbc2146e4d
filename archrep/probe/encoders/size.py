"""Encoders: what a probe sees of an architecture, each `graphs → (n, d)`."""

import numpy as np
import pandas as pd

from archrep.ghn import GHN, GHNConfig
from archrep.graph.archgraph import ArchGraph
from archrep.graph.cost import count_flops
from archrep.graph.primitives import PRIMITIVES
from archrep.space import Architecture


def op_counts(graphs: list[ArchGraph]) -> np.ndarray:
    """(n, 15): how often each primitive occurs."""
    return np.stack([np.bincount(g.primitive.numpy(), minlength=len(PRIMITIVES)) for g in graphs]).astype(float)


def params_and_flops(architectures: list[Architecture], table: pd.DataFrame) -> np.ndarray:
    """(n, 2): log10 of parameters and FLOPs, from the label table where it has them."""
    columns = ["params", "flops"]
    if set(columns) <= set(table) and np.isfinite(table[columns].to_numpy(dtype=float)).all():
        values = table[columns].to_numpy()
    else:
        values = np.array([[a.graph.num_params, _flops(a)] for a in architectures])
    return np.log10(np.maximum(values, 1))


def _flops(architecture: Architecture) -> int:
    import torch

    with torch.device("meta"):
        return count_flops(architecture.build())


def untrained_ghn(graphs: list[ArchGraph], config: GHNConfig, seed: int) -> np.ndarray:
    """(n, d): embeddings by a freshly initialised GHN of the same configuration, the control."""
    return GHN.untrained(config, seed).embed(graphs).numpy()
