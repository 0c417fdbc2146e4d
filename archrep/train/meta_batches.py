"""Meta-batches: the architectures of every training step."""

from torch.utils.data import Dataset

from archrep.errors import ArchrepError
from archrep.space.architecture import Architecture
from archrep.space.deepnets import Emitter, Split, Stream, deepnet_of, fitted, make_plan, redraw_width
from archrep.space.specs import split_of
from archrep.train.config import TrainConfig

ATTEMPTS = 1000  # at finding small architectures, and few nodes


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
        small_steps: int = 0,
        small_macs: int = 0,
        num_classes: int = 10,
        image_size: int = 32,
        vocabulary: str = "released",
        seed: int = 0,
    ) -> None:
        """Draws from a split.

        Args:
            chosen: indices to draw from; default: all.
            meta_batch: architectures per step; drawn again while they have more than `max_nodes` nodes.
            small_steps: first steps, in which an architecture that needs more than `small_macs` multiply-accumulates
                is drawn again.
            num_classes, image_size: of the data set that the networks are made for, see `fitted`.
            vocabulary: primitives of the graphs.
        """
        self.split, self.chosen = split, chosen or range(len(split))
        self.steps, self.meta_batch, self.max_nodes = steps, meta_batch, max_nodes
        self.small_steps, self.small_macs = small_steps, small_macs
        self.num_classes, self.image_size = num_classes, image_size
        self.vocabulary, self.seed = vocabulary, seed

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> list[Architecture]:
        if not 0 <= step < self.steps:
            raise IndexError(f"Steps are 0 … {self.steps - 1}; got {step}.")
        stream = Stream("archrep", "train", self.seed, step)
        for _ in range(ATTEMPTS):
            drawn = [self._visit(stream, small=step < self.small_steps) for _ in range(self.meta_batch)]
            nodes = sum(len(a.graph_in(self.vocabulary).primitive) for a in drawn)
            if nodes <= self.max_nodes or self.meta_batch == 1:
                return drawn
        raise ArchrepError(
            f"{ATTEMPTS} meta-batches in a row, of {self.meta_batch} architectures, have more than {self.max_nodes} "
            "nodes. Raise --max-nodes, or lower --meta-batch."
        )

    def _visit(self, stream: Stream, small: bool) -> Architecture:
        for _ in range(ATTEMPTS):
            split, index = self.split, self.chosen[stream.between(0, len(self.chosen) - 1)]
            config = redraw_width(split.config(index), split.preset, stream)
            if not small or Emitter(make_plan(config)).macs <= self.small_macs:
                architecture = deepnet_of(config, split.name(index), split.space, split.split)
                return fitted(architecture, self.num_classes, self.image_size)
        raise ArchrepError(
            f"{ATTEMPTS} architectures in a row need more than {self.small_macs:,} multiply-accumulates. "
            "Raise --small-macs, or leave out --small-first."
        )


def meta_batches(config: TrainConfig, image_size: int = 32) -> MetaBatches:
    """The architectures of every step of a run on images of that size.

    Raises:
        ArchrepError: if its spec of architectures names no DeepNets split.
    """
    split, chosen = split_of(config.archs or f"{config.space}:train")
    return MetaBatches(
        split,
        chosen,
        steps=config.steps,
        meta_batch=config.meta_batch,
        max_nodes=config.max_nodes,
        small_steps=round(config.small_first * config.steps),
        small_macs=config.small_macs,
        num_classes=config.ghn.num_classes,
        image_size=image_size,
        vocabulary=config.ghn.vocabulary,
        seed=config.seed,
    )
