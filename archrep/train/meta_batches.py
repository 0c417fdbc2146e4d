"""Meta-batches: the architectures of every training step."""

from torch.utils.data import Dataset

from archrep.space.architecture import Architecture
from archrep.space.deepnets import Split, Stream, deepnet_of, redraw_width


class MetaBatches(Dataset[list[Architecture]]):
    """Architectures per step, with their graphs; channels and fc_dim are drawn anew at every visit (design: training).

    A dataset over steps, for a torch DataLoader with `batch_size=None`. What a step draws follows from
    (seed, step): neither the number of workers nor where a run was resumed changes it, and a store draws what the
    generator does if it holds as many architectures.
    """

    def __init__(
        self,
        split: Split,
        chosen: range | None = None,
        *,
        steps: int,
        meta_batch: int = 8,
        max_nodes: int = 2200,
        vocabulary: str = "released",
        seed: int = 0,
    ) -> None:
        """Draws from a split.

        Args:
            chosen: indices to draw from; default: all.
            meta_batch: architectures per step; drawn again while they have more than `max_nodes` nodes.
            vocabulary: primitives of the graphs.
        """
        self.split, self.chosen = split, chosen or range(len(split))
        self.steps, self.meta_batch, self.max_nodes = steps, meta_batch, max_nodes
        self.vocabulary, self.seed = vocabulary, seed

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> list[Architecture]:
        if not 0 <= step < self.steps:
            raise IndexError(f"Steps are 0 … {self.steps - 1}; got {step}.")
        stream = Stream("archrep", "train", self.seed, step)
        while True:
            drawn = [self._visit(stream) for _ in range(self.meta_batch)]
            nodes = sum(len(a.graph_in(self.vocabulary).primitive) for a in drawn)
            if nodes <= self.max_nodes or self.meta_batch == 1:
                return drawn

    def _visit(self, stream: Stream) -> Architecture:
        split, index = self.split, self.chosen[stream.between(0, len(self.chosen) - 1)]
        config = redraw_width(split.config(index), split.preset, stream)
        return deepnet_of(config, split.name(index), split.space, split.split)
