"""Bi-level training of a GHN (paper Eq. 2): the mean loss of a meta-batch of architectures on a batch of images.

Everything random in a step follows from (seed, step), so a run that was killed continues from its last save
exactly as if it had never stopped (CPU, same number of threads).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from archrep.data.images import Images
from archrep.ghn.model import GHN
from archrep.seeding import seeded
from archrep.space.architecture import Architecture
from archrep.space.deepnets import Stream
from archrep.space.specs import split_of
from archrep.train.config import TrainConfig
from archrep.train.functional import run, skeleton
from archrep.train.meta_batches import MetaBatches


@dataclass(frozen=True)
class StepResult:
    """Mean loss and accuracy (%) over the finite architectures of a meta-batch; how many were skipped."""

    loss: float
    accuracy: float
    skipped: int


class Trainer:
    """A GHN in training, with its optimiser and position."""

    def __init__(self, config: TrainConfig, images: Images, device: torch.device = torch.device("cpu")) -> None:
        self.config, self.images, self.device = config, images, device
        self.ghn = GHN.untrained(config.ghn, config.seed).to(device).train()
        self.optimizer = torch.optim.Adam(self.ghn.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
        self.meta_batches = meta_batches(config)
        self.step = 0

    def advance(self) -> StepResult:
        """One optimiser step."""
        config = self.config
        x, y = (t.to(self.device) for t in self.images.batch(*self._image_batch()))
        architectures = self.meta_batches[self.step]
        predicted = self.ghn.predict_many([a.graph_in(config.ghn.vocabulary) for a in architectures])
        leaves: list[dict[str, Tensor]] = []
        results = []
        with seeded(_seed(config.seed, self.step, 1), self.device):  # dropout
            for architecture, parameters in zip(architectures, predicted, strict=True):
                leaf, result = _forward_backward(architecture, parameters, x, y, config.meta_batch)
                if result is not None:
                    results.append(result)
                    leaves.append(leaf)
                else:
                    leaves.append({})
        updated = self._update(predicted, leaves)
        self.step += 1
        skipped = len(architectures) - len(results) if updated else len(architectures)
        if not updated:
            return StepResult(math.nan, math.nan, skipped)
        losses, accuracies = zip(*results, strict=True)
        return StepResult(sum(losses) / len(losses), sum(accuracies) / len(accuracies), skipped)

    def _update(self, predicted: list[dict[str, Tensor]], leaves: list[dict[str, Tensor]]) -> bool:
        """Backward through the GHN, once for the meta-batch, and an optimiser step; False if nothing was finite."""
        pairs = [
            (tensors[name], leaf.grad)
            for tensors, own in zip(predicted, leaves, strict=True)
            for name, leaf in own.items()
        ]
        pairs = [(tensor, grad) for tensor, grad in pairs if grad is not None]
        if not pairs:
            return False
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr_at(self.step)
        self.optimizer.zero_grad()
        tensors, grads = zip(*pairs, strict=True)
        torch.autograd.backward(tensors, grads)
        norm = torch.nn.utils.clip_grad_norm_(self.ghn.parameters(), self.config.clip)
        if not torch.isfinite(norm):
            return False
        self.optimizer.step()
        return True

    def _image_batch(self) -> tuple[Tensor, torch.Generator]:
        """Image positions of this step, and the generator of its augmentation."""
        per_epoch = max(len(self.images) // self.config.images, 1)
        epoch, position = divmod(self.step, per_epoch)
        shuffle = torch.Generator().manual_seed(_seed(self.config.seed, epoch, 2))
        order = torch.randperm(len(self.images), generator=shuffle)
        index = order[position * self.config.images :][: self.config.images]
        return index, torch.Generator().manual_seed(_seed(self.config.seed, self.step, 3))

    def state(self) -> dict:
        """Everything that a continued run needs, as plain types and tensors."""
        return {
            "step": self.step,
            "ghn": self.ghn.state_dict(),
            "provenance": self.ghn.provenance,
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state(self, state: dict) -> None:
        """Continues where `state` was taken."""
        self.ghn.load_state_dict(state["ghn"])
        self.ghn.provenance = state["provenance"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def _forward_backward(
    architecture: Architecture, parameters: dict[str, Tensor], x: Tensor, y: Tensor, meta_batch: int
) -> tuple[dict[str, Tensor], tuple[float, float] | None]:
    """Loss gradient in the predicted parameters; None if the loss or a gradient is not finite.

    The gradient stops at the predicted tensors, so no more than one network's activations are in memory.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    logits = run(skeleton(architecture).train(), leaves, x)
    loss = torch.nn.functional.cross_entropy(logits, y)
    if not torch.isfinite(loss):
        return {}, None
    (loss / meta_batch).backward()
    if not all(torch.isfinite(leaf.grad.sum()) for leaf in leaves.values() if leaf.grad is not None):
        return {}, None
    accuracy = (logits.detach().argmax(dim=1) == y).float().mean()
    return leaves, (float(loss.detach()), 100 * float(accuracy))


def meta_batches(config: TrainConfig) -> MetaBatches:
    """The architectures of every step of a run."""
    split, chosen = split_of(config.archs or f"{config.space}:train")
    return MetaBatches(
        split,
        chosen,
        steps=config.steps,
        meta_batch=config.meta_batch,
        max_nodes=config.max_nodes,
        vocabulary=config.ghn.vocabulary,
        seed=config.seed,
    )


def _seed(*parts: int) -> int:
    """A seed below 2⁶² from several numbers."""
    return int(Stream(*parts).choice(range(2**62)))


def steps(trainer: Trainer) -> Iterator[StepResult]:
    """Advances until the configured number of steps."""
    while trainer.step < trainer.config.steps:
        yield trainer.advance()
