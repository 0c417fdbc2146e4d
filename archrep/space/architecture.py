"""Architecture: a name, its computational graph and its network, each made when asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from archrep.graph.archgraph import ArchGraph


@dataclass(frozen=True)
class Architecture:
    """One architecture of a space.

    Attributes:
        id: canonical spec string; rebuilds the architecture on any machine.
        space, split: where it comes from.
        make_graph, make_network: called at most once by `graph`, and at every `build()`.
    """

    id: str
    space: str
    split: str
    make_graph: Callable[[], ArchGraph]
    make_network: Callable[[], nn.Module]

    @cached_property
    def graph(self) -> ArchGraph:
        """The computational graph."""
        return self.make_graph()

    def build(self) -> nn.Module:
        """A new network with its default initialisation (global torch seed), for 32×32 images and 10 classes."""
        return self.make_network()
