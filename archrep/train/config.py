"""Training configurations and presets."""

import math
import reprlib
from dataclasses import dataclass, field, fields, replace
from typing import Any

from archrep.errors import ArchrepError
from archrep.ghn.config import GHNConfig

CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("adam", "adamw"),
    "schedule": ("step", "cosine"),
    "amp": ("off", "bf16", "fp16"),
}
LARGEST = 10**12  # whole number of a configuration but the seed
WORKERS = 1024


@dataclass(frozen=True)
class TrainConfig:
    """How a GHN is trained. The defaults are the paper's for CIFAR-10 (§ 5, appendix).

    Attributes:
        ghn: the hypernetwork.
        space: DeepNets preset; its val split selects the best checkpoint.
        archs: spec of the split to train on, such as `deepnets:DIR`; None: the preset's train split.
        steps: optimiser steps. meta_batch: architectures per step. images: images per step.
        optimizer: "adam" or "adamw". lr: its peak learning rate. weight_decay: L2 term of Adam, decay of AdamW.
        clip: largest norm of the gradient. network_clip: likewise of one network's, in its parameters.
        label_smoothing: 0 … 1.
        augment: whether training images are flipped and cropped at random.
        schedule: "step" (×0.1 at 2/3 and 5/6 of the steps) or "cosine", after `warmup` steps of linear rise.
        amp: "off", or the half precision in which networks run: "bf16", "fp16" (with loss scaling).
        max_nodes: meta-batches with more nodes are drawn again.
        small_first: share of the steps that come first, with networks of at most `small_macs` multiply-accumulates.
        val_archs, val_images: size of the validation, every `val_every` steps.
        save_every: seconds between saves of the resume state.
        workers: processes that prepare steps ahead of time; 0: none.
        seed: of weights, architectures, images and dropout.
    """

    ghn: GHNConfig = field(default_factory=GHNConfig)
    space: str = "deepnets"
    archs: str | None = None
    steps: int = 300 * 703
    meta_batch: int = 8
    images: int = 64
    optimizer: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 1e-5
    clip: float = 5.0
    network_clip: float | None = None
    label_smoothing: float = 0.0
    augment: bool = True
    schedule: str = "step"
    warmup: int = 0
    amp: str = "off"
    max_nodes: int = 2200
    small_first: float = 0.0
    small_macs: int = 3 * 10**6
    val_archs: int = 32
    val_images: int = 1000
    val_every: int = 703
    save_every: float = 300.0
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for known in fields(self):
            value = getattr(self, known.name)
            kinds: Any = known.type | int if known.type in (float, float | None) else known.type
            if not isinstance(value, kinds) or (isinstance(value, bool) and known.type is not bool):
                name = getattr(known.type, "__name__", known.type)
                raise ArchrepError(f"{known.name} must be of type {name}; got {reprlib.repr(value)}.")
            if isinstance(value, int) and known.name != "seed" and not -LARGEST <= value <= LARGEST:
                raise ArchrepError(f"{known.name} must be at most {LARGEST}; got {reprlib.repr(value)}.")
        for name in ("steps", "meta_batch", "images", "max_nodes", "val_archs", "val_images", "val_every"):
            if getattr(self, name) < 1:
                raise ArchrepError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("lr", "weight_decay", "warmup", "save_every", "workers"):
            if not getattr(self, name) >= 0:
                raise ArchrepError(f"{name} must not be negative; got {getattr(self, name)}.")
        for name in ("lr", "weight_decay"):
            if not getattr(self, name) < math.inf:
                raise ArchrepError(f"{name} must be finite; got {getattr(self, name)}.")
        if self.workers > WORKERS:
            raise ArchrepError(f"workers must be at most {WORKERS}; got {self.workers}.")
        for name in ("clip", "network_clip", "small_macs"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ArchrepError(f"{name} must be positive; got {getattr(self, name)}.")
        for name in ("label_smoothing", "small_first"):
            if not 0 <= getattr(self, name) <= 1:
                raise ArchrepError(f"{name} must be within 0 … 1; got {getattr(self, name)}.")
        if not -(2**63) <= self.seed < 2**63:
            raise ArchrepError(f"seed must be within 64 bits; got {self.seed}.")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ArchrepError(f"{name} must be {' or '.join(choices)}; got {getattr(self, name)!r}.")

    def lr_at(self, step: int) -> float:
        """Learning rate of a step (from 0)."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * done))
        return self.lr * (1.0 if done < 2 / 3 else 0.1 if done < 5 / 6 else 0.01)


GHNS: dict[str, GHNConfig] = {
    "ghn2": GHNConfig(),
    "ghn1": GHNConfig(virtual_edges=False, normalize=False, layer_norm=False),
    "mlp": GHNConfig(gnn="mlp"),
}
_CIFAR10 = TrainConfig(workers=4)
_IMAGENET = TrainConfig(
    ghn=GHNConfig(num_classes=1000, max_shape=(64, 64, 16, 16)),
    steps=150 * 5004,
    images=256,
    label_smoothing=0.1,
    val_archs=8,
    val_every=5004,
    workers=12,
)
_SMALL = TrainConfig(
    space="deepnets-small",
    steps=6000,
    meta_batch=4,
    lr=3e-3,
    weight_decay=0.0,
    network_clip=1.0,
    small_first=0.5,
    schedule="cosine",
    warmup=200,
    val_archs=24,
    val_images=500,
    val_every=250,
)


def _with(ghn: GHNConfig, config: TrainConfig) -> TrainConfig:
    """The same training of another kind of GHN, for the same classes and shapes."""
    same = config.ghn
    return replace(config, ghn=replace(ghn, num_classes=same.num_classes, max_shape=same.max_shape))


PRESETS: dict[str, TrainConfig] = {
    f"{kind}-{data}": _with(ghn, config)
    for data, config in (("cifar10", _CIFAR10), ("imagenet", _IMAGENET), ("cifar10-small", _SMALL))
    for kind, ghn in GHNS.items()
}
