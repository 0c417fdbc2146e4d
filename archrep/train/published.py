"""Published accuracies of predicted parameters (paper Table 3 and § 5.1): mean CIFAR-10 test accuracy in %."""

from collections.abc import Sequence

GHNS = ("GHN-2", "GHN-1", "MLP")
SPLITS: dict[str, tuple[float, float, float]] = {
    "test": (66.9, 51.4, 42.2),
    "wide": (64.0, 43.1, 22.3),
    "deep": (60.5, 48.3, 37.9),
    "dense": (65.8, 51.8, 44.8),
    "bnfree": (36.8, 13.7, 23.9),
}
RESNET50 = (58.6, 19.2, 17.7)
RESNET50_SPECS = ("deepnets:predefined:0", "torchvision:resnet50@cifar10")


def published(space: str, split: str, archs: Sequence[str]) -> tuple[float, float, float] | None:
    """Means of the released GHN-2, GHN-1 and MLP on a split at the paper's size, or on ResNet-50; None elsewhere."""
    if space in ("deepnets", "deepnets-official"):
        found = SPLITS.get(split)
        if found:
            return found
    return RESNET50 if len(archs) == 1 and archs[0] in RESNET50_SPECS else None
