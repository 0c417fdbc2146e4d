"""Accuracies that are not what a benchmark's final ones look like, though nothing in the table tells."""

from collections.abc import Iterator

from archrep.data.lint.finding import WARNING, Checked, Finding

AT_LEAST = 30  # architectures, for their upper quartile to be within 2 points of the benchmark's
# Upper quartile (%) of CIFAR-10 accuracies over architectures, from there on: what they are. Of NAS-Bench-201
# (arXiv:2001.00326) test accuracies after 200 epochs have 92.2, validation 88.7, test after 12 epochs 83.8, validation
# 76.4; of NAS-Bench-101 (arXiv:1902.09635) validation accuracies after 108 epochs 92.8, 36 epochs 89.5, 12 epochs 71.0.
KNOWN: dict[str, tuple[tuple[float, str], ...]] = {
    "nasbench201": (
        (90.0, "test accuracies after 200 epochs"),
        (86.4, "validation accuracies after 200 epochs"),
        (79.5, "test accuracies after 12 epochs"),
        (72.0, "validation accuracies after 12 epochs"),
    ),
    "nasbench101": (
        (91.2, "accuracies after 108 epochs"),
        (80.0, "accuracies after 36 epochs"),
        (50.0, "accuracies after 12 epochs"),
    ),
}
FITTING = {
    ("nasbench201", "accuracy"): "test accuracies after 200 epochs",
    ("nasbench201", "accuracy_val"): "validation accuracies after 200 epochs",
    ("nasbench101", "accuracy"): "accuracies after 108 epochs",
    ("nasbench101", "accuracy_val"): "accuracies after 108 epochs",
}


def not_the_benchmark(checked: Checked) -> Iterator[Finding]:
    """CIFAR-10 accuracies of a benchmark whose distribution is that of another of its columns."""
    for name in ("accuracy", "accuracy_val"):
        expected = FITTING.get((checked.space, name))
        told = checked.columns.get(name, {})
        if expected is None or name not in checked.numeric or str(told.get("dataset", "cifar10")) != "cifar10":
            continue
        values = checked.table[name].dropna()
        if len(values) < AT_LEAST or values.max() <= 1:
            continue
        quartile = values.quantile(0.75)
        looks_like = next((what for least, what in KNOWN[checked.space] if quartile >= least), None)
        if looks_like not in (None, expected):
            message = (
                f"its upper quartile, {quartile:.1f}, is that of {looks_like}; {name} should hold {expected} of "
                "CIFAR-10. Take the right column, or say what it is in the metadata"
            )
            check = (
                "early as final" if " 12 " in str(looks_like) or " 36 " in str(looks_like) else "valid/test confusion"
            )
            yield Finding(WARNING, check, (name,), len(values), message)
