"""Embeddings by GHNs, trained and untrained, from any layer and pool; the accuracy of the parameters they predict."""

from collections.abc import Sequence

import numpy as np

from archrep.errors import ArchrepError, lookup
from archrep.ghn import GHN, GHNConfig
from archrep.ghn.layers import LAYERS, POOLS, pooled
from archrep.graph.archgraph import ArchGraph
from archrep.probe.encoders.context import Context
from archrep.space import Architecture

ARGUMENT = "LAYER[,LAYER…][:POOL[,POOL…]]"
IMAGES = 256  # on which predicted parameters are judged: four batches


def encode_ghn(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, d): of the trained GHN, by default the mean over its final node states (paper, § 5.2).

    Args:
        argument: layers and pools, `final:mean,max` or `input,final:ends` (see archrep.ghn.layers); all pools of all
            layers are concatenated.
    """
    return _embed(_trained(context, "ghn"), architectures, argument)


def encode_untrained(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, d): the same with freshly initialised weights, the control."""
    config = GHNConfig() if context.ghn is None else context.ghn.config
    return _embed(GHN.untrained(config, context.seed), architectures, argument)


def untrained_ghn(graphs: list[ArchGraph], config: GHNConfig, seed: int) -> np.ndarray:
    """(n, d): embeddings by a freshly initialised GHN of the same configuration, the control."""
    return GHN.untrained(config, seed).embed(graphs).numpy()


def encode_ghn_accuracy(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, 1): top-1 in % of the parameters that the GHN predicts, on 256 validation images (paper, § 5.1)."""
    from archrep.train.evaluate import evaluate

    if context.images is None:
        raise ArchrepError("The encoder 'ghn-accuracy' needs images; give --data.")
    images = context.images.val.subset(IMAGES)
    return np.array([[r.accuracy] for r in evaluate(_trained(context, "ghn-accuracy"), architectures, images)])


def _trained(context: Context, name: str) -> GHN:
    if context.ghn is None:
        raise ArchrepError(f"The encoder {name!r} needs a GHN; give --checkpoint.")
    return context.ghn


def _embed(ghn: GHN, architectures: Sequence[Architecture], argument: str) -> np.ndarray:
    left, _, right = argument.partition(":")
    layers = [name for name in left.split(",") if name] or ["final"]
    pools = [name for name in right.split(",") if name] or ["mean"]
    for name in layers:
        lookup(LAYERS, name, "layer of a GHN")
    for name in pools:
        lookup(POOLS, name, "pool")
    out = []
    for first in range(0, len(architectures), 512):  # whose graphs are in memory at once, unless they are kept
        graphs = [a.graph_in(ghn.config.vocabulary) for a in architectures[first : first + 512]]
        out.append(pooled(ghn, graphs, layers, pools).numpy())
    return np.concatenate(out)
