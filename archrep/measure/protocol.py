"""Frozen training protocols. A label is comparable only with labels of the same protocol.

A protocol that changes gets a new name: tables and journals store versioned names, and a name without a version is
that of the newest one.
"""

from dataclasses import dataclass, replace

from archrep.errors import ArchrepError


@dataclass(frozen=True)
class Protocol:
    """How an architecture is trained from scratch and measured.

    The learning rate rises linearly and falls to zero as a cosine.

    Attributes:
        steps: the training budget in batches; 0 if it is told in `epochs`, passes over the training images.
        batch: images per step.
        optimizer: adamw, or sgd with momentum 0.9.
        lr, weight_decay, warmup, clip: of the optimiser; warmup is a fraction of the budget.
        label_smoothing: of the loss.
        augment: whether training images are flipped and cropped at random.
        reach: training accuracy (%) whose first reaching is `trainability`, as a moving average …
        window: … over so many steps.
        val_images, test_images: size of the fixed stratified subsets that are evaluated; 0 for all.
        noise_images: size of the one that robustness is measured on, and …
        noise: … standard deviation of the Gaussian noise on pixels in [0, 1], which are clipped to that range
            (arXiv:2110.13100, § 5.2; 0.08 on CIFAR-10 in the released code).
        latency_batch, latency_warmup, latency_repeats: images per batch, batches before the clock runs, timed batches.
    """

    name: str
    batch: int
    lr: float
    steps: int = 0
    epochs: int = 0
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip: float = 5.0
    label_smoothing: float = 0.0
    augment: bool = True
    reach: float = 30.0
    window: int = 20
    val_images: int = 2000
    test_images: int = 4000
    noise_images: int = 2000
    noise: float = 0.08
    latency_batch: int = 64
    latency_warmup: int = 3
    latency_repeats: int = 20

    def __post_init__(self) -> None:
        if (self.steps > 0) == (self.epochs > 0) or self.optimizer not in ("adamw", "sgd"):
            raise ArchrepError(
                f"Protocol {self.name}: its budget is told in steps or in epochs, its optimizer is adamw or sgd; got "
                f"steps={self.steps}, epochs={self.epochs}, optimizer={self.optimizer}."
            )

    def steps_on(self, images: int) -> int:
        """Steps of the budget with that many training images; an epoch leaves out what does not fill a batch."""
        return self.steps or self.epochs * max(images // self.batch, 1)


QUICK = Protocol(
    "quick-2",
    steps=120,
    batch=32,
    lr=4e-3,
    augment=False,
    reach=25.0,
    window=30,
    val_images=1000,
    test_images=3000,
    noise_images=1000,
)
# 50 epochs (arXiv:2110.13100, § 5.1) of the recipe for networks of DARTS cells (arXiv:1806.09055, app. A.2).
PAPER = Protocol(
    "paper-1",
    epochs=50,
    batch=96,
    lr=0.025,
    optimizer="sgd",
    weight_decay=3e-4,
    warmup=0.0,
    reach=90.0,
    window=468,
    val_images=0,
    test_images=0,
    noise_images=0,
    latency_repeats=50,
)
SMOKE = Protocol(
    "smoke",
    steps=10,
    batch=32,
    lr=6e-3,
    window=2,
    val_images=64,
    test_images=128,
    noise_images=64,
    latency_repeats=3,
)
QUICK_8X = replace(QUICK, name="quick-2-8x", steps=8 * QUICK.steps)  # eight times the budget: does quick rank like it?

PROTOCOLS: dict[str, Protocol] = {
    "quick": QUICK,
    "quick-8x": QUICK_8X,
    "paper": PAPER,
    **{p.name: p for p in (QUICK, QUICK_8X, PAPER, SMOKE)},
}
