"""Architecture: a name, its computational graph and its network, each made when asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import nn

from archrep.errors import ArchrepError
from archrep.graph.archgraph import ArchGraph, Shape
from archrep.graph.cost import count_flops

if TYPE_CHECKING:
    from archrep.space.deepnets.config import DeepNetConfig


@dataclass(frozen=True)
class Architecture:
    """One architecture of a space.

    Attributes:
        id: canonical spec string; rebuilds the architecture on any machine.
        space, split: where it comes from; the split is empty in a space without splits.
        make_graph: called once per vocabulary, with its name.
        make_network: called at every `build()`; a DeepNets architecture's takes `make_block`, see `DeepNet`.
        input_shape: shape of one input without the batch dimension.
        config: genotype and arguments of a DeepNets architecture.
        make_flops: counts FLOPs without building the network, where there is a way.
    """

    id: str
    space: str
    split: str
    make_graph: Callable[[str], ArchGraph]
    make_network: Callable[..., nn.Module]
    input_shape: Shape = (3, 32, 32)
    config: "DeepNetConfig | None" = None
    make_flops: Callable[[], int] | None = None

    @property
    def graph(self) -> ArchGraph:
        """The computational graph in the released vocabulary; an error names the architecture."""
        return self.graph_in("released")

    def graph_in(self, vocabulary: str) -> ArchGraph:
        """The computational graph in a vocabulary of primitives (see graph/primitives.py)."""
        if vocabulary not in self._graphs:
            try:
                self._graphs[vocabulary] = self.make_graph(vocabulary)
            except ArchrepError as error:
                raise type(error)(f"{self.id}: {error}") from error
        return self._graphs[vocabulary]

    @cached_property
    def _graphs(self) -> dict[str, ArchGraph]:
        return {}

    @property
    def flops(self) -> int:
        """Floating-point operations per input, see `count_flops`."""
        if self.make_flops is not None:
            return self.make_flops()
        with torch.device("meta"):
            return count_flops(self.build(), self.input_shape)

    def build(self) -> nn.Module:
        """A new network with its default initialisation (global torch seed), for inputs of `input_shape`."""
        return self.make_network()
