"""What the shell offers for options whose values are known: `archrep --install-completion` switches it on.

The values are written out here, because the modules that own them import torch, and a shell waits for every answer; a
test compares the two.
"""

from collections.abc import Callable

DEEPNETS = ("deepnets", "deepnets-small")
VALUES: dict[str, tuple[str, ...]] = {
    "space": (
        *DEEPNETS,
        *("deepnets-official", "torchvision", "timm", "transformers"),
        *("nasbench101", "nasbench201", "nasbench201-cell", "nasbench_macro"),
    ),
    "deepnets": DEEPNETS,
    "split": ("train", "val", "test", "wide", "deep", "dense", "bnfree", "search"),
    "target": (
        *("accuracy", "accuracy_val", "robustness", "train_accuracy_mean", "trainability", "latency_ms"),
        *("params", "flops", "activation_memory"),
    ),
    "encoder": (
        *("columns", "ghn", "ghn-accuracy", "ghn-untrained", "gnn-random", "graph-features", "one-hot", "op-counts"),
        *("paths", "size", "wl", "zero-cost"),
    ),
    "probe": ("auto", "ensemble", "ridge", "svr", "svr-wide", "gp", "boosting", "forest", "knn"),
    "probe protocol": (
        *("ppuda", "nasbench201-100", "nasbench201-781", "nasbench201-class-100", "nasbench201-class-781"),
        *("nasbench101-100", "nasbench101-424", "nasbench_macro-100"),
    ),
    "probe split": ("grouped", "random", "one-per-group"),
    "direction": ("higher", "lower"),
    "strategy": ("random", "local-search", "evolution", "bananas", "gp-ei", "gp-ts"),
    "measuring protocol": ("quick", "quick-8x", "paper", "smoke"),
    "engine": ("local", "ray"),
    "preset": tuple(
        f"{ghn}-{data}" for data in ("cifar10", "imagenet", "cifar10-small") for ghn in ("ghn2", "ghn1", "mlp")
    ),
    "optimizer": ("adam", "adamw"),
    "schedule": ("step", "cosine"),
    "amp": ("off", "bf16", "fp16"),
    "vocabulary": ("released", "extended"),
    "initialisation": ("ghn", "random"),
    "fine-tuning optimizer": ("sgd", "adam"),
    "published": ("nasbench201", "nasbench101", "nasbench_macro", "timm"),
    "dataset": ("cifar10", "cifar100", "imagenet16", "imagenet"),
    "store": ("arrow", "official"),
    "metric": ("euclidean", "cosine"),
    "device": ("auto", "cpu", "cuda", "cuda:0"),
    "images": ("cifar10", "digits"),
}


def one(kind: str) -> Callable[[str], list[str]]:
    """Completes one value of that kind."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in VALUES[kind] if value.startswith(incomplete)]

    return complete


def several(kind: str, separators: str = ",") -> Callable[[str], list[str]]:
    """Completes the last of several values, joined by one of the separators."""

    def complete(incomplete: str) -> list[str]:
        start = 1 + max(incomplete.rfind(separator) for separator in separators)
        return [incomplete[:start] + value for value in VALUES[kind] if value.startswith(incomplete[start:])]

    return complete


def spec(incomplete: str) -> list[str]:
    """Completes the space of an architecture spec, and the split of DeepNets."""
    space, colon, _ = incomplete.partition(":")
    if not colon:
        return [f"{value}:" for value in VALUES["space"] if value.startswith(incomplete)]
    splits = [f"{space}:{split}" for split in VALUES["split"]] if space in DEEPNETS else []
    return [value for value in splits if value.startswith(incomplete)]
