"""A DeepNets split as a torch_geometric dataset."""

from collections.abc import Callable

from torch_geometric.data import Dataset

from archrep.graph.archgraph import ArchGraph
from archrep.space.deepnets import Split
from archrep.space.specs import split_of


class DeepNets(Dataset):
    """Computational graphs of a DeepNets split: stored, official or generated when asked for.

    Items are `ArchGraph`s with the architecture's spec as `arch`. Everything of torch_geometric applies: indexing by
    slices, its `DataLoader` (with workers) and `DynamicBatchSampler(dataset, max_num=4000)` for batches within a
    budget of nodes. `GHN.embed` takes the batches as they are.

    Attributes:
        split: where the architectures come from; `split.config(i)`, `split.architecture(i)`.
    """

    def __init__(self, split: str | Split, transform: Callable | None = None) -> None:
        """Opens a split.

        Args:
            split: spec such as `deepnets:DIR` (written by `archrep sample`), `deepnets-official:PATH:test` or
                `deepnets:val:0-99`, or the split itself.
            transform: applied to every graph, see `virtual_edges`.

        Raises:
            ArchrepError: for a spec that names no DeepNets split.
        """
        super().__init__(transform=transform)
        if isinstance(split, str):
            self.split, self._indices = split_of(split)
        else:
            self.split, self._indices = split, range(len(split))

    def len(self) -> int:
        """Number of architectures of the whole split."""
        return len(self.split)

    def get(self, idx: int) -> ArchGraph:
        """Computational graph of an architecture."""
        graph = self.split.graph(int(idx))
        graph.arch = self.split.name(int(idx))
        return graph


def virtual_edges(graph: ArchGraph) -> ArchGraph:
    """Transform: adds `virtual_edge_index`, (2, V) int64, and `virtual_distance`, (V,) int64: 2 … 50 (paper § 4.2)."""
    graph.virtual_edge_index, graph.virtual_distance = graph.virtual_edges, graph.distances
    return graph
