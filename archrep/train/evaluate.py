"""Accuracy of predicted parameters (paper § 5.1), on clean and on noisy images (§ 5.2)."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from archrep.data.images import Images, noisy
from archrep.errors import ArchrepError
from archrep.ghn.model import GHN
from archrep.space.architecture import Architecture
from archrep.space.deepnets import Stream, fitted
from archrep.train.functional import run, runnable

BATCH = 64  # evaluation batch: batch norm uses its statistics
TOP5 = 100  # classes from which on top-5 accuracy is reported
KEPT_BYTES = 2**29  # batches are kept between architectures if they are no more than that


@dataclass(frozen=True)
class Predicted:
    """Accuracy of one architecture with predicted parameters.

    Attributes:
        accuracy: top-1 in %. accuracy_top5: in %, from 100 classes on.
        non_finite: images whose logits are not all finite; they count as wrong.
    """

    arch: str
    space: str
    split: str
    accuracy: float
    accuracy_top5: float | None
    non_finite: int


class Batches:
    """Batches of 64 images in a fixed order that mixes classes; a remainder is spread over the batches.

    All of them are the same at every iteration, noise included.
    """

    def __init__(self, images: Images, device: torch.device, noise: float = 0.0, seed: int = 0) -> None:
        """Prepares batches.

        Args:
            noise: standard deviation of Gaussian noise on pixels in [0, 1], clipped to that range, as in the released
                code (which takes 0.08 on CIFAR-10, 0.18 on ImageNet). seed: of the noise.
        """
        self.images, self.device, self.noise, self.seed = images, device, noise, seed
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        self.chunks = torch.tensor_split(order, max(len(images) // BATCH, 1))
        few = 12 * len(images) * images.image_size**2 <= KEPT_BYTES
        self._kept = [self._batch(i) for i in range(len(self.chunks))] if few else None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (k, 3, H, W) and labels (k,), on the device."""
        return iter(self._kept) if self._kept is not None else map(self._batch, range(len(self.chunks)))

    def _batch(self, number: int) -> tuple[Tensor, Tensor]:
        x, y = self.images.batch(self.chunks[number])
        if self.noise:
            seed = int(Stream("archrep", "noise", self.seed, number).choice(range(2**62)))
            x = noisy(x, self.images, self.noise, torch.Generator().manual_seed(seed))
        return x.to(self.device), y.to(self.device)


def evaluate(
    ghn: GHN, architectures: Iterable[Architecture], images: Images, noise: float = 0.0, seed: int = 0
) -> Iterator[Predicted]:
    """Yields the accuracy of every architecture with the parameters that `ghn` predicts for it.

    Architectures get their form for the data set, see `fitted`. `noise` and its `seed` as in `Batches`.

    Raises:
        ArchrepError: for an architecture that cannot take the images, or an unreadable image.
    """
    batches = Batches(images, ghn.device, noise, seed)
    for architecture in architectures:
        yield evaluate_one(ghn, architecture, batches)


@torch.no_grad()
def evaluate_one(ghn: GHN, architecture: Architecture, batches: Batches) -> Predicted:
    """Accuracy of an architecture with the parameters that `ghn` predicts for it; errors as of `evaluate`."""
    classes = ghn.config.num_classes
    architecture = fitted(architecture, classes, batches.images.image_size)
    network = runnable(architecture, ghn.device).eval()
    parameters = ghn.predict(architecture.graph_in(ghn.config.vocabulary))
    correct = correct_top5 = non_finite = 0
    for x, y in batches:
        logits = run(network, parameters, x)  # (k, classes)
        finite = logits.isfinite().all(dim=1)
        top = logits.topk(min(5, classes), dim=1).indices
        hits = (top == y[:, None]) & finite[:, None]  # (k, 5)
        correct += int(hits[:, 0].sum())
        correct_top5 += int(hits.sum())
        non_finite += int((~finite).sum())
    n = len(batches.images)
    top5 = 100 * correct_top5 / n if classes >= TOP5 else None
    return Predicted(architecture.id, architecture.space, architecture.split, 100 * correct / n, top5, non_finite)


@dataclass(frozen=True)
class Evaluation:
    """The work of evaluating GHNs on images, for `run_jobs`; the key names the GHN.

    Attributes:
        ghns: by name, on the CPU. device: where they run. noise, seed: as in `Batches`.
    """

    ghns: dict[str, GHN]
    images: Images
    device: str = "cpu"
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.noise < math.inf:
            raise ArchrepError(f"noise must be a finite number from 0 on; got {self.noise}.")

    def __call__(self, key: dict, architecture: Architecture) -> dict:
        """Accuracies of an architecture; see `Predicted`."""
        row = asdict(evaluate_one(self._ghns[key["ghn"]], architecture, self._batches))
        return {name: value for name, value in row.items() if value is not None}

    @cached_property
    def _ghns(self) -> dict[str, GHN]:
        return {name: ghn.to(self.device) for name, ghn in self.ghns.items()}

    @cached_property
    def _batches(self) -> Batches:
        return Batches(self.images, torch.device(self.device), self.noise, self.seed)


def summarize(results: Sequence[Predicted | dict], seed: int = 0) -> list[dict]:
    """Per GHN, space and split: n, mean, max and 95 % interval of the mean over architectures, in %.

    Args:
        results: what `evaluate` yields, or rows of `Evaluation`, failures among them. seed: of the bootstrap.

    Returns:
        Rows with `ghn` (if the results name it), `space`, `split`, `n`, `mean`, `max`, `ci_low`, `ci_high`, from 100
        classes on `mean_top5`; `failed`: architectures without a result, which are not in the mean; `non_finite`:
        architectures with logits that are not finite, which are. Figures that nothing gives are None.
    """
    groups: dict[tuple, list[dict]] = {}
    for result in results:
        row = result if isinstance(result, dict) else asdict(result)
        key = tuple((name, row[name]) for name in ("ghn", "space", "split") if name in row)
        groups.setdefault(key, []).append(row)
    return [dict(key) | _summary(group, seed) for key, group in groups.items()]


def _summary(group: list[dict], seed: int) -> dict:
    done = [row for row in group if "error" not in row]
    values = np.array([row["accuracy"] for row in done])
    low, high = mean_interval(values, seed)
    summary = {
        "n": len(done),
        "mean": float(values.mean()) if done else None,
        "max": float(values.max()) if done else None,
        "ci_low": low,
        "ci_high": high,
    }
    if done and done[0].get("accuracy_top5") is not None:
        summary["mean_top5"] = float(np.mean([row["accuracy_top5"] for row in done]))
    failed, non_finite = len(group) - len(done), sum(row["non_finite"] > 0 for row in done)
    return summary | {"failed": failed, "non_finite": non_finite}


def mean_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float] | tuple[None, None]:
    """Ends of the 95 % bootstrap interval of the mean of (n,) values; None without values."""
    if len(values) == 0:
        return None, None
    means = np.random.default_rng(seed).choice(values, size=(2000, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
