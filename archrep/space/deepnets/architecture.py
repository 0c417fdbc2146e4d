"""The architecture of a DeepNets configuration."""

from functools import partial

from archrep.graph.archgraph import ArchGraph
from archrep.space.architecture import Architecture
from archrep.space.deepnets.config import DeepNetConfig
from archrep.space.deepnets.graph import Emitter
from archrep.space.deepnets.network import DeepNet
from archrep.space.deepnets.plan import make_plan


def deepnet_of(config: DeepNetConfig, name: str, space: str, split: str) -> Architecture:
    """The architecture of a configuration: the one that `name` names, or a variant with other channels."""
    return Architecture(name, space, split, partial(emitted, config), partial(DeepNet, config))


def emitted(config: DeepNetConfig, vocabulary: str = "released", contracted: frozenset[str] = frozenset()) -> ArchGraph:
    """The computational graph of a configuration; `contracted` as in `Emitter`."""
    return Emitter(make_plan(config), contracted).graph(vocabulary)
