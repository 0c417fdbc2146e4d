"""Frozen training protocols. A label is comparable only with labels of the same protocol."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """How an architecture is trained from scratch and measured.

    AdamW with a linear rise and a cosine fall of the learning rate; flip and pad-crop augmentation.

    Attributes:
        steps, batch: the training budget, batches of training images.
        lr, weight_decay, warmup, clip: of the optimiser; warmup is a fraction of the steps.
        reach: training accuracy (%) whose first reaching is `trainability`, as a moving average …
        window: … over so many steps.
        val_images, test_images: size of the fixed stratified subsets that are evaluated.
        latency_batch, latency_repeats: images per timed batch and number of timed batches.
    """

    name: str
    steps: int
    batch: int
    lr: float
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip: float = 5.0
    reach: float = 30.0
    window: int = 20
    val_images: int = 2000
    test_images: int = 4000
    latency_batch: int = 64
    latency_repeats: int = 20


PROTOCOLS: dict[str, Protocol] = {
    "quick": Protocol("quick", steps=200, batch=64, lr=6e-3),
    "smoke": Protocol(
        "smoke", steps=10, batch=32, lr=6e-3, window=2, val_images=64, test_images=128, latency_repeats=3
    ),
}
