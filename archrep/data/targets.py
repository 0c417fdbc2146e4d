"""Targets: measured scalars with a unit and a direction (design: words)."""

from dataclasses import dataclass

from archrep.errors import ArchrepError


@dataclass(frozen=True)
class Target:
    """A measured scalar. `higher_is_better` is its direction."""

    name: str
    unit: str
    higher_is_better: bool
    meaning: str


TARGETS: dict[str, Target] = {
    t.name: t
    for t in (
        Target("accuracy", "%", True, "top-1 on the test images after training"),
        Target("accuracy_val", "%", True, "top-1 on the validation images after training"),
        Target("robustness", "%", True, "top-1 on the test images with Gaussian noise, after training"),
        Target("train_accuracy_mean", "%", True, "mean of the training accuracy over the whole budget"),
        Target("trainability", "fraction of budget", False, "to reach a stated training accuracy; 1.0 if never"),
        Target("latency_ms", "ms per batch", False, "median of repeated timed batches"),
        Target("params", "count", False, "parameters of the network"),
        Target("flops", "per image", False, "floating-point operations of one forward pass"),
        Target("activation_memory", "bytes per image", False, "most that activations take at once in a forward pass"),
    )
}


def target_named(name: str, directions: dict[str, str]) -> Target:
    """A known target, or one that a label table declares.

    Args:
        directions: column → "higher" or "lower", from the table's metadata.

    Raises:
        ArchrepError: if nothing says which direction is better.
    """
    if name in TARGETS:
        return TARGETS[name]
    if name in directions:
        return Target(name, "", directions[name] == "higher", "")
    raise ArchrepError(
        f"Target {name!r} has no known direction. Known: {', '.join(sorted(TARGETS))}; "
        "of others, say it with --direction (probe) or in the metadata of a Parquet label table."
    )
