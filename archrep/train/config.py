"""Training configurations and presets."""

from dataclasses import dataclass, field

from archrep.errors import ArchrepError
from archrep.ghn.config import GHNConfig


@dataclass(frozen=True)
class TrainConfig:
    """How a GHN is trained. The defaults are the paper's for CIFAR-10 (§ 5, appendix).

    Attributes:
        ghn: the hypernetwork.
        space: DeepNets preset; its val split selects the best checkpoint.
        archs: spec of the split to train on, such as `deepnets:DIR`; None: the preset's train split.
        steps: optimiser steps. meta_batch: architectures per step. images: images per step.
        lr: peak learning rate of Adam. weight_decay: L2 term of Adam. clip: largest norm of the gradient.
        schedule: "step" (×0.1 at 2/3 and 5/6 of the steps) or "cosine", after `warmup` steps of linear rise.
        max_nodes: meta-batches with more nodes are drawn again.
        val_archs, val_images: size of the validation, every `val_every` steps.
        save_every: seconds between saves of the resume state.
        seed: of weights, architectures, images and dropout.
    """

    ghn: GHNConfig = field(default_factory=GHNConfig)
    space: str = "deepnets"
    archs: str | None = None
    steps: int = 300 * 703
    meta_batch: int = 8
    images: int = 64
    lr: float = 1e-3
    weight_decay: float = 1e-5
    clip: float = 5.0
    schedule: str = "step"
    warmup: int = 0
    max_nodes: int = 2200
    val_archs: int = 32
    val_images: int = 1000
    val_every: int = 703
    save_every: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "meta_batch", "images", "max_nodes", "val_archs", "val_images", "val_every"):
            if getattr(self, name) < 1:
                raise ArchrepError(f"{name} must be at least 1; got {getattr(self, name)}.")
        if self.schedule not in ("step", "cosine"):
            raise ArchrepError(f"schedule must be 'step' or 'cosine'; got {self.schedule!r}.")

    def lr_at(self, step: int) -> float:
        """Learning rate of a step (from 0)."""
        import math

        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * done))
        return self.lr * (1.0 if done < 2 / 3 else 0.1 if done < 5 / 6 else 0.01)


PRESETS: dict[str, TrainConfig] = {
    "ghn2-cifar10": TrainConfig(),
    "ghn2-cifar10-small": TrainConfig(
        space="deepnets-small",
        steps=4000,
        meta_batch=4,
        lr=3e-3,
        weight_decay=0.0,
        schedule="cosine",
        warmup=200,
        val_archs=24,
        val_images=500,
        val_every=250,
    ),
}
