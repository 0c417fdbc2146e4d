"""What every training step gets: architectures and images, prepared off the training process where asked for."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from archrep.data.images import Images
from archrep.errors import ArchrepError
from archrep.graph.batch import GraphBatch
from archrep.space.architecture import Architecture
from archrep.space.deepnets import Emitter, Stream, make_plan
from archrep.train.config import TrainConfig
from archrep.train.group import Group
from archrep.train.meta_batches import meta_batches
from archrep.workers import process_context

NODE_MACS = 110_000  # multiply-accumulates that take as long as a node does besides, with 64 small images on a CPU core


@dataclass(frozen=True)
class Step:
    """A step's part for one process.

    Attributes:
        architectures: (position in the meta-batch, architecture) pairs, with their graphs.
        batch: the graphs, collated for a GPU; a CPU does not need that.
        images: (B, 3, H, W) float32. labels: (B,) int64.
    """

    architectures: list[tuple[int, Architecture]]
    batch: GraphBatch | None
    images: Tensor
    labels: Tensor

    def pin_memory(self) -> "Step":
        """The same in memory that a GPU reads; what a torch DataLoader asks for."""
        batch = self.batch.pin_memory() if self.batch else None
        return Step(self.architectures, batch, self.images.pin_memory(), self.labels.pin_memory())


class Steps(Dataset[Step]):
    """A dataset over steps; what a step holds follows from (seed, step), who gets which part from the group."""

    def __init__(self, config: TrainConfig, images: Images, group: Group) -> None:
        if config.images > len(images):
            raise ArchrepError(f"A step takes {config.images} images, there are {len(images)}. Lower --images.")
        self.config, self.images, self.group = config, images, group
        self.meta_batches = meta_batches(config, images.image_size)

    def __len__(self) -> int:
        return self.config.steps

    def __getitem__(self, step: int) -> Step:
        vocabulary = self.config.ghn.vocabulary
        drawn = self.meta_batches[step]
        mine = self.group.share(drawn, list(map(self._cost, drawn)) if self.group.size > 1 else [1.0] * len(drawn))
        graphs = [a.graph_in(vocabulary) for _, a in mine]
        batch = GraphBatch.from_graphs(graphs) if graphs and self.group.device.type == "cuda" else None
        index, augment = self._positions(step)
        return Step(mine, batch, *self.images.batch(index, augment if self.config.augment else None))

    def _cost(self, architecture: Architecture) -> float:
        """Time that a network takes, in proportion: on a GPU, that is launching its operations."""
        nodes = len(architecture.graph_in(self.config.ghn.vocabulary).primitive)
        if self.group.device.type == "cuda" or architecture.config is None:
            return nodes
        return NODE_MACS * nodes + Emitter(make_plan(architecture.config)).macs

    def _positions(self, step: int) -> tuple[Tensor, torch.Generator]:
        """Images of a step, and the generator of their augmentation."""
        config = self.config
        per_epoch = max(len(self.images) // config.images, 1)
        epoch, position = divmod(step, per_epoch)
        shuffle = torch.Generator().manual_seed(seed_of(config.seed, epoch, 2))
        order = torch.randperm(len(self.images), generator=shuffle)
        index = order[position * config.images :][: config.images]
        return index, torch.Generator().manual_seed(seed_of(config.seed, step, 3))

    def iterate(self, first: int) -> Iterator[Step]:
        """Steps from `first` on, ahead of time by `config.workers` processes."""
        if not self.config.workers:
            return map(self.__getitem__, range(first, len(self)))
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(first, len(self)),
            num_workers=self.config.workers,
            multiprocessing_context=process_context(),
            pin_memory=self.group.device.type == "cuda",
            prefetch_factor=4,
        )
        return self._loaded(loader)

    @staticmethod
    def _loaded(loader: DataLoader) -> Iterator[Step]:
        try:
            yield from loader
        except ArchrepError as error:  # with the traceback of the process that it comes from
            raise ArchrepError(str(error).splitlines()[-1].partition(": ")[2]) from error


def seed_of(*parts: int) -> int:
    """A seed below 2⁶² from several numbers."""
    return int(Stream(*parts).choice(range(2**62)))
