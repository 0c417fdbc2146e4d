"""How often each primitive occurs."""

from collections.abc import Sequence

import numpy as np

from archrep.graph.archgraph import ArchGraph
from archrep.graph.primitives import PRIMITIVES
from archrep.probe.encoders.context import Context
from archrep.space import Architecture


def encode_op_counts(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, 15): how often each primitive occurs in the computational graph."""
    return op_counts([a.graph for a in architectures])


def op_counts(graphs: list[ArchGraph]) -> np.ndarray:
    """(n, 15): how often each primitive occurs."""
    return np.stack([np.bincount(g.primitive.numpy(), minlength=len(PRIMITIVES)) for g in graphs]).astype(float)
