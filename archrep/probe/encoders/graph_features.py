"""Graph features in the spirit of GRAF (Kadlecová et al., ICML 2024): of cells where the space has them."""

from collections.abc import Callable, Sequence

import numpy as np

from archrep.probe.cells import cell_space
from archrep.probe.encoders.cell_features import features_101, features_201, features_macro
from archrep.probe.encoders.context import Context
from archrep.probe.encoders.network_features import features_network
from archrep.space import Architecture

BY_CELL: dict[str, Callable[[Sequence[Architecture]], np.ndarray]] = {
    "nasbench101": features_101,
    "nasbench201": features_201,
    "nasbench_macro": features_macro,
}


def encode_graph_features(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, d): features of the cells of a NAS space, else, and with `network`, of whole computational graphs.

    Raises:
        ArchrepError: for cells mixed with anything else, which only `graph-features:network` can compare.
    """
    space = cell_space(architectures, "graph-features", argument)
    if space:
        return BY_CELL[space](architectures)
    return np.stack([features_network(a.graph) for a in architectures])
