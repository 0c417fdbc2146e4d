"""Values that cannot be, and columns that say nothing."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from archrep.data.imported import NO_TIME, NOTHING_RUNS, SENTINEL
from archrep.data.lint.finding import ERROR, NOTE, WARNING, Checked, Finding

POSITIVE = re.compile(r"(.*_)?(latency|time|seconds|params|param_count|parameters|flops|gmacs|macs|memory)(_.*)?")
PERCENT = ("accuracy", "accuracy_val", "robustness", "train_accuracy_mean")


def out_of_range(checked: Checked) -> Iterator[Finding]:
    """Accuracies outside 0 … 100 % or given as fractions, sizes and times that are not positive, infinities."""
    for name in checked.numeric:
        values = checked.table[name].dropna()
        infinite = int(np.isinf(values).sum())
        if infinite:
            yield Finding(ERROR, "out of range", (name,), infinite, "infinite values; make them missing")
        values = values[np.isfinite(values)]
        if len(values) == 0:
            continue
        if name in checked.accuracies:
            yield from _accuracy(checked, name, values)
        elif name.startswith("trainability") and name != "trainability_reached":
            yield from _outside(name, values, 0, 1, "a fraction of the budget lies in 0 … 1")
        elif POSITIVE.fullmatch(name):
            yield from _positive(name, values)
        elif name in NOTHING_RUNS:
            if few := int((values < NO_TIME).sum()):
                yield Finding(WARNING, "out of range", (name,), few, "below 1 ms: disconnected cells, not latencies")
        elif (far := int((values.abs() >= SENTINEL).sum())) and values.abs().median() < SENTINEL / 1000:
            told = f"±{SENTINEL:g} and more: stands for what could not be computed; make it missing"
            yield Finding(WARNING, "out of range", (name,), far, told)


def _accuracy(checked: Checked, name: str, values: pd.Series) -> Iterator[Finding]:
    yield from _outside(name, values, 0, 100, "an accuracy lies in 0 … 100 %")
    unit = checked.columns.get(name, {}).get("unit", "%" if name in PERCENT else "")
    if unit == "%" and values.max() <= 1:
        told = f"all at most 1: fractions, where % is expected; multiply {name} by 100"
        yield Finding(ERROR, "out of range", (name,), len(values), told)
    dataset = str(checked.columns.get(name, {}).get("dataset", "cifar10" if name == "accuracy" else ""))
    chance = 10 if values.max() > 1 else 0.1
    if dataset == "cifar10" and (few := int((values <= 1.02 * chance).sum())):
        told = "at or below chance: the training failed; leave them out, or keep them knowingly"
        yield Finding(NOTE, "failed training", (name,), few, told)


def _positive(name: str, values: pd.Series) -> Iterator[Finding]:
    if few := int((values <= 0).sum()):
        yield Finding(ERROR, "out of range", (name,), few, f"not positive (down to {values.min():g})")
    if name == "params" and values.max() < 1000:
        told = f"at most {values.max():g}: millions? A target params is a count"
        yield Finding(WARNING, "out of range", (name,), len(values), told)


def _outside(name: str, values: pd.Series, low: float, high: float, why: str) -> Iterator[Finding]:
    outside = values[(values < low) | (values > high)]
    if len(outside):
        told = f"{why}; found {outside.min():g} … {outside.max():g}"
        yield Finding(ERROR, "out of range", (name,), len(outside), told)


def missing(checked: Checked) -> Iterator[Finding]:
    """Targets without a value."""
    for name in checked.numeric:
        if few := int(checked.table[name].isna().sum()):
            yield Finding(NOTE, "missing", (name,), few, "no value")


def constant(checked: Checked) -> Iterator[Finding]:
    """Columns with one value only."""
    for name in checked.numeric:
        values = checked.table[name].dropna()
        if name != "seed" and len(values) >= 5 and values.nunique() == 1:
            yield Finding(WARNING, "constant", (name,), len(values), f"always {values.iloc[0]:g}: nothing to rank")
