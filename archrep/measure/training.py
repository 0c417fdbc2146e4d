"""Training a network from scratch under a protocol."""

import math
import statistics
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archrep.data.images import Images
from archrep.measure.protocol import Protocol


@dataclass(frozen=True)
class Training:
    """How a training went.

    Attributes:
        steps: of the whole budget. accuracies: training accuracy (%) of every step's batch, before the step.
        diverged: the loss stopped being finite, and the training ended there.
    """

    steps: int
    accuracies: list[float]
    diverged: bool

    def row(self, protocol: Protocol) -> dict[str, object]:
        """What a label table says of it.

        `trainability` is the fraction of the budget after which the moving average of the training accuracy first is at
        `protocol.reach`, 1.0 if it never is; `train_accuracy_mean` the area under the training curve, in which the
        steps after a divergence count 0; `curve` the moving average at every `protocol.window`-th step.
        """
        window = protocol.window
        smooth = [
            statistics.fmean(self.accuracies[end - window : end]) for end in range(window, len(self.accuracies) + 1)
        ]
        first = next((i for i, accuracy in enumerate(smooth) if accuracy >= protocol.reach), None)
        return {
            "trainability": 1.0 if first is None else (first + window) / self.steps,
            "trainability_reached": first is not None,
            "train_accuracy_mean": sum(self.accuracies) / self.steps,
            "diverged": self.diverged,
            "curve": [round(accuracy, 2) for accuracy in smooth[::window]],
        }


def train(network: nn.Module, protocol: Protocol, images: Images, seed: int, device: torch.device) -> Training:
    """Trains a network in place. The seed decides the order of the images and their augmentation."""
    generator = torch.Generator().manual_seed(seed)
    steps = protocol.steps_on(len(images))
    order = _order(steps, protocol.batch, len(images), generator)
    optimizer = _optimizer(network, protocol)
    accuracies: list[float] = []
    network.train()
    for step in range(steps):
        x, y = images.batch(order[step], augment=generator if protocol.augment else None)
        x, y = x.to(device, non_blocking=True), y.to(device, non_blocking=True)
        for group in optimizer.param_groups:
            group["lr"] = protocol.lr * _schedule((step + 1) / steps, protocol.warmup)
        logits = network(x)
        loss = nn.functional.cross_entropy(logits, y, label_smoothing=protocol.label_smoothing)
        if not torch.isfinite(loss):
            return Training(steps, accuracies, diverged=True)
        optimizer.zero_grad()
        loss.backward()
        if not nn.utils.clip_grad_norm_(network.parameters(), protocol.clip).isfinite():
            return Training(steps, accuracies, diverged=True)
        optimizer.step()
        accuracies.append(100 * float((logits.detach().argmax(dim=1) == y).float().mean()))
    return Training(steps, accuracies, diverged=False)


def _order(steps: int, batch: int, images: int, generator: torch.Generator) -> Tensor:
    """Positions (steps, batch) of the images of every step: permutations one after another."""
    epochs = -(-steps * batch // images)
    return torch.cat([torch.randperm(images, generator=generator) for _ in range(epochs)])[: steps * batch].view(
        steps, batch
    )


def _optimizer(network: nn.Module, protocol: Protocol) -> torch.optim.Optimizer:
    parameters = [p for p in network.parameters() if p.requires_grad]
    if protocol.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, protocol.lr, momentum=0.9, weight_decay=protocol.weight_decay, fused=_can_fuse(parameters)
        )
    return torch.optim.AdamW(parameters, protocol.lr, weight_decay=protocol.weight_decay, fused=_can_fuse(parameters))


def _can_fuse(parameters: list[nn.Parameter]) -> bool:
    """One kernel for all of an optimiser's arithmetic, where parameters are of its kind."""
    return all(p.is_floating_point() for p in parameters)


def _schedule(done: float, warmup: float) -> float:
    """Factor on the learning rate after a fraction `done` of the budget."""
    return done / warmup if done < warmup else 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))
