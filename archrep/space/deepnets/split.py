"""Splits: architectures by index, generated when asked for (here), or read from files (store.py, official.py)."""

from abc import ABC, abstractmethod
from functools import partial

from archrep.graph.archgraph import ArchGraph
from archrep.space.architecture import Architecture
from archrep.space.deepnets.architecture import emitted, flops_of
from archrep.space.deepnets.config import DeepNetConfig
from archrep.space.deepnets.network import DeepNet
from archrep.space.deepnets.sampler import limits, sample


class Split(ABC):
    """Architectures 0 … len - 1, with random access. Splits can be pickled: every process opens files itself.

    Attributes:
        space: such as deepnets. split: such as train.
    """

    space: str
    split: str

    @property
    def preset(self) -> str:
        """Preset whose limits apply to channels."""
        return "deepnets-small" if self.space == "deepnets-small" else "deepnets"

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, index: int) -> str:
        """Architecture spec of an architecture."""

    @abstractmethod
    def config(self, index: int) -> DeepNetConfig:
        """Genotype and arguments of an architecture."""

    def graph(self, index: int, vocabulary: str = "released") -> ArchGraph:
        """Computational graph of an architecture."""
        return self.graph_of(self.config(index), index, vocabulary)

    def architecture(self, index: int) -> Architecture:
        """Architecture `index`."""
        config = self.config(index)
        make_graph = partial(self.graph_of, config, index)
        make_network, make_flops = partial(DeepNet, config), partial(flops_of, config)
        name = self.name(index)
        return Architecture(
            name, self.space, self.split, make_graph, make_network, config=config, make_flops=make_flops
        )

    def graph_of(self, config: DeepNetConfig, index: int, vocabulary: str) -> ArchGraph:
        """The graph of architecture `index`, whose configuration is at hand."""
        return emitted(config, vocabulary, self.lost(config, index))

    def lost(self, config: DeepNetConfig, index: int) -> frozenset[str]:
        """Names of the steps whose node the graph of an architecture lacks: none, except in official files."""
        return frozenset()


class Generated(Split):
    """A split whose architectures are generated when asked for."""

    def __init__(self, space: str, split: str) -> None:
        """A split of a preset.

        Raises:
            ArchrepError: if there is no such preset or split.
        """
        self.space, self.split = space, split
        self._size = limits(space, split).size

    def __len__(self) -> int:
        return self._size

    def name(self, index: int) -> str:
        """Architecture spec of an architecture."""
        return f"{self.space}:{self.split}:{index}"

    def config(self, index: int) -> DeepNetConfig:
        """Genotype and arguments of an architecture."""
        return sample(self.space, self.split, index)
