"""Embeddings by GHNs, trained and untrained."""

from collections.abc import Sequence

import numpy as np

from archrep.errors import ArchrepError
from archrep.ghn import GHN, GHNConfig
from archrep.graph.archgraph import ArchGraph
from archrep.probe.encoders.context import Context
from archrep.space import Architecture


def encode_ghn(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, d): mean over node states of the trained GHN (paper, § 5.2)."""
    if context.ghn is None:
        raise ArchrepError("The encoder 'ghn' needs a GHN; give --checkpoint.")
    return context.ghn.embed([a.graph for a in architectures]).numpy()


def encode_untrained(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, d): the same with freshly initialised weights, the control."""
    config = GHNConfig() if context.ghn is None else context.ghn.config
    return untrained_ghn([a.graph for a in architectures], config, context.seed)


def untrained_ghn(graphs: list[ArchGraph], config: GHNConfig, seed: int) -> np.ndarray:
    """(n, d): embeddings by a freshly initialised GHN of the same configuration, the control."""
    return GHN.untrained(config, seed).embed(graphs).numpy()
