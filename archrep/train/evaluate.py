"""Accuracy of predicted parameters (paper § 5.1)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from archrep.data.images import Images
from archrep.ghn.model import GHN
from archrep.space.architecture import Architecture
from archrep.train.functional import run, skeleton

BATCH = 64  # evaluation batch: batch norm uses its statistics


@dataclass(frozen=True)
class Predicted:
    """Top-1 accuracy in % of one architecture with predicted parameters."""

    arch: str
    split: str
    accuracy: float


@torch.no_grad()
def evaluate(ghn: GHN, architectures: Iterable[Architecture], images: Images) -> Iterator[Predicted]:
    """Yields the accuracy of every architecture with the parameters that `ghn` predicts for it.

    Images come in batches of 64 in an order that mixes classes; a remainder that is too small for batch
    statistics joins the last batch.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    chunks = list(torch.tensor_split(order, max(len(images) // BATCH, 1)))
    for architecture in architectures:
        network = skeleton(architecture).eval()
        parameters = ghn.predict(architecture.graph_in(ghn.config.vocabulary))
        correct = 0
        for chunk in chunks:
            x, y = (t.to(ghn.device) for t in images.batch(chunk))
            correct += int((run(network, parameters, x).argmax(dim=1) == y).sum())
        yield Predicted(architecture.id, architecture.split, 100 * correct / len(images))


def summarize(results: list[Predicted], seed: int = 0) -> list[dict]:
    """Per split: n, mean, max and the 95 % bootstrap interval of the mean over architectures, in %."""
    rng = np.random.default_rng(seed)
    rows = []
    for split in dict.fromkeys(r.split for r in results):
        values = np.array([r.accuracy for r in results if r.split == split])
        means = rng.choice(values, size=(2000, len(values))).mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        rows.append(
            {
                "split": split,
                "n": len(values),
                "mean": float(values.mean()),
                "max": float(values.max()),
                "ci_low": float(low),
                "ci_high": float(high),
            }
        )
    return rows
