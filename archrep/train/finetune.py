"""Predicted parameters as an initialisation: fine-tuning on few images, against random ones (paper § 5.3)."""

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from archrep.data.images import Images
from archrep.errors import ArchrepError
from archrep.ghn.assign import predict_parameters
from archrep.ghn.model import GHN
from archrep.graph.archgraph import ArchGraph
from archrep.seeding import seeded
from archrep.space.architecture import Architecture
from archrep.space.deepnets import Stream, fitted
from archrep.train.evaluate import Batches, mean_interval

INITS = ("ghn", "random")
LR = {"sgd": 0.025, "adam": 1e-3}


@dataclass(frozen=True)
class Recipe:
    """How networks are fine-tuned, whatever their initialisation. The defaults are those of the released code.

    Attributes:
        shots: training images per class. epochs: passes over them. batch: images per step, at most.
        optimizer: "sgd" (momentum 0.9) or "adam". lr: at the start, falls to 0 as a cosine over the epochs.
        weight_decay: L2 term. clip: largest norm of the gradient.
    """

    shots: int = 100
    epochs: int = 50
    batch: int = 96
    optimizer: str = "sgd"
    lr: float = LR["sgd"]
    weight_decay: float = 1e-3
    clip: float = 5.0

    def __post_init__(self) -> None:
        for name, least in (("shots", 1), ("epochs", 1), ("batch", 2)):
            if getattr(self, name) < least:
                raise ArchrepError(f"{name} must be at least {least}; got {getattr(self, name)}.")
        for name in ("lr", "weight_decay", "clip"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ArchrepError(f"{name} must be a finite number from 0 on; got {getattr(self, name)}.")
        if self.optimizer not in LR:
            raise ArchrepError(f"optimizer must be {' or '.join(map(repr, LR))}; got {self.optimizer!r}.")

    def lr_at(self, epoch: int) -> float:
        """Learning rate of an epoch (from 0)."""
        return self.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))


def few_shots(images: Images, shots: int, num_classes: int) -> Images:
    """The first `shots` images of every class.

    Raises:
        ArchrepError: if a class has fewer.
    """
    counts = torch.bincount(images.labels, minlength=num_classes)
    if int(counts.min()) < shots:
        raise ArchrepError(
            f"{shots} images of every class are not there: class {int(counts.argmin())} has "
            f"{int(counts.min())}. Give fewer --shots."
        )
    return images.subset(shots * num_classes)


@dataclass(frozen=True)
class Finetuning:
    """The work of fine-tuning, for `run_jobs`; the key names `init` and `seed`.

    Networks of all initialisations see the same images in the same order, with the same augmentation and dropout.

    Attributes:
        ghn: on the CPU. train: few images of every class. test: what the accuracy is measured on.
        num_classes: of the images. device: where networks run.
    """

    ghn: GHN
    train: Images
    test: Images
    num_classes: int
    recipe: Recipe = Recipe()
    device: str = "cpu"

    def __call__(self, key: dict, architecture: Architecture) -> dict:
        """Fine-tunes one network: `accuracy` on the test images and `train_accuracy` of the last epoch, in %.

        `diverged` is set if the loss stopped being finite: the network is then measured as it is. Batch norm tracks
        running statistics from the first step on and uses them in the test; they lag behind in budgets of less than
        about 100 steps.
        """
        network, train_accuracy, diverged = self.tune(key, architecture)
        accuracy = _accuracy(network, self._batches)
        return {"accuracy": accuracy, "train_accuracy": train_accuracy, "diverged": diverged}

    def tune(self, key: dict, architecture: Architecture) -> tuple[nn.Module, float, bool]:
        """The fine-tuned network, its training accuracy (%) in the last epoch, and whether it diverged."""
        device = torch.device(self.device)
        network, _ = self.start(key, architecture)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with seeded(_seed(key["seed"], 1), device):  # dropout
            return network, *_train(network, self.recipe, self.train, key["seed"], device)

    def start(self, key: dict, architecture: Architecture) -> tuple[nn.Module, ArchGraph]:
        """The network before its first step, and its graph."""
        architecture = fitted(architecture, self.num_classes, self.train.image_size)
        graph = architecture.graph_in(self.ghn.config.vocabulary)
        with seeded(_seed(key["seed"], 0)):
            network = architecture.build()
        if key["init"] == "ghn":
            fill(network, self._ghn, graph, self.num_classes)
        return network, graph

    @cached_property
    def _ghn(self) -> GHN:
        return self.ghn.to(self.device)

    @cached_property
    def _batches(self) -> Batches:
        return Batches(self.test, torch.device(self.device))


def fill(network: nn.Module, ghn: GHN, graph: ArchGraph, num_classes: int) -> None:
    """Fills a network with the parameters that a GHN predicts; `graph` is the network's.

    The classification layer keeps its values if the GHN was trained on another number of classes, as in § 5.3.
    """
    own = _classifier(graph) if ghn.config.num_classes != num_classes else ()
    kept = {name: network.get_parameter(name).detach().clone() for name in own}
    predict_parameters(network, ghn, graph=graph)
    with torch.no_grad():
        for name, value in kept.items():
            network.get_parameter(name).copy_(value)


def _classifier(graph: ArchGraph) -> list[str]:
    """Parameters of the last node and of the matrix before it."""
    last = len(graph.parameters) - 1
    before = [u for u in graph.edge_index[0][graph.edge_index[1] == last].tolist() if graph.parameters[u]]
    nodes = [last, *(u for u in before if len(graph.parameter_shapes[u][0]) == 2)]
    return [name for node in nodes for name in graph.parameters[node]]


def _seed(seed: int, purpose: int) -> int:
    return int(Stream("archrep", "finetune", seed, purpose).choice(range(2**62)))


def _train(network: nn.Module, recipe: Recipe, images: Images, seed: int, device: torch.device) -> tuple[float, bool]:
    """Training accuracy (%) of the last epoch, and whether loss or gradients stopped being finite."""
    generator = torch.Generator().manual_seed(_seed(seed, 2))
    optimizer = _optimizer(network, recipe)
    network.train()
    correct = torch.zeros((), device=device)
    for epoch in range(recipe.epochs):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at(epoch)
        correct.zero_()
        order = torch.randperm(len(images), generator=generator)
        for index in torch.tensor_split(order, -(-len(images) // recipe.batch)):
            x, y = (t.to(device) for t in images.batch(index, augment=generator))
            logits = network(x)
            loss = nn.functional.cross_entropy(logits, y)
            if not torch.isfinite(loss):
                return 0.0, True
            optimizer.zero_grad()
            loss.backward()
            if not nn.utils.clip_grad_norm_(network.parameters(), recipe.clip).isfinite():
                return 0.0, True
            optimizer.step()
            correct += (logits.detach().argmax(dim=1) == y).sum()
    return 100 * float(correct) / len(images), False


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), recipe.lr, momentum=0.9, weight_decay=recipe.weight_decay)
    return torch.optim.Adam(network.parameters(), recipe.lr, weight_decay=recipe.weight_decay)


@torch.no_grad()
def _accuracy(network: nn.Module, batches: Batches) -> float:
    """In %; logits that are not finite are wrong."""
    network.eval()
    correct = 0
    for x, y in batches:
        logits: Tensor = network(x)
        correct += int(((logits.argmax(dim=1) == y) & logits.isfinite().all(dim=1)).sum())
    return 100 * correct / len(batches.images)


def summarize_inits(rows: list[dict], seed: int = 0) -> list[dict]:
    """Test accuracy in % by initialisation, and the paired difference if there are both.

    The interval (95 %, bootstrap of the mean) is over architectures, whose seeds are averaged; over seeds if there is
    but one architecture.

    Returns:
        Rows with `init` ("ghn", "random", "ghn - random"), `n` architectures, `runs`, `mean`, `max`, `ci_low`,
        `ci_high`, `failed` and `diverged` runs. Figures that nothing gives are None.
    """
    runs: dict[str, dict[tuple, float]] = defaultdict(dict)
    for row in rows:
        done = runs[row["init"]]
        if "error" not in row:
            done[row["arch"], row["seed"]] = row["accuracy"]
    summary = []
    for init, done in runs.items():
        own = [row for row in rows if row["init"] == init]
        summary.append(
            {"init": init}
            | _figures(done, seed)
            | {"failed": sum("error" in r for r in own), "diverged": sum(r.get("diverged", False) for r in own)}
        )
    if len(runs) == 2:
        both = runs["ghn"].keys() & runs["random"].keys()
        paired = {key: runs["ghn"][key] - runs["random"][key] for key in sorted(both)}
        summary.append({"init": "ghn - random"} | _figures(paired, seed))
    return summary


def _figures(accuracies: dict[tuple, float], seed: int) -> dict:
    by_arch: dict[str, list[float]] = defaultdict(list)
    for (arch, _), accuracy in accuracies.items():
        by_arch[arch].append(accuracy)
    means = [float(np.mean(values)) for values in by_arch.values()]
    low, high = mean_interval(np.array(means if len(means) != 1 else next(iter(by_arch.values()))), seed)
    return {
        "n": len(means),
        "runs": len(accuracies),
        "mean": float(np.mean(means)) if means else None,
        "max": max(accuracies.values(), default=None),
        "ci_low": low,
        "ci_high": high,
    }
