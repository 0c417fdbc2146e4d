"""Columns and rows that repeat others: what a mix-up of columns, or of splits, leaves behind."""

from collections.abc import Iterator
from itertools import combinations

import pandas as pd

from archrep.data.imported import EPOCHS_101, EPOCHS_201
from archrep.data.lint.finding import ERROR, NOTE, WARNING, Checked, Finding

OOD = ("wide", "deep", "dense", "bnfree")
ENOUGH = 5  # rows that must agree before a copy is no accident
FINAL = {"nasbench201": 200, "nasbench101": 108}  # epochs of the benchmarks' longest schedules
VALID, TEST = ("valid", "val"), ("test",)
UNTESTED = ("imagenet", "real")  # data sets whose validation images are what everybody tests on


def copied_columns(checked: Checked) -> Iterator[Finding]:
    """Two columns of the same values, unless the metadata says that one is the other."""
    useful = [n for n in checked.numeric if checked.table[n].nunique() > 1]
    for a, b in combinations(useful, 2):
        declared = {checked.columns.get(a, {}).get("source"), checked.columns.get(b, {}).get("source")}
        if not declared & {a, b} and checked.is_copy(a, b):
            told = f"{b} repeats {a} in every row; if both are right, keep one"
            yield Finding(WARNING, "copied column", (a, b), len(checked.table), told)


def valid_as_test(checked: Checked) -> Iterator[Finding]:
    """A validation accuracy in the place of a test accuracy, or the other way round."""
    for name, wrong in (("accuracy", VALID), ("accuracy_val", TEST)):
        if name not in checked.table:
            continue
        should = "test" if wrong is VALID else "validation"
        facts = checked.columns.get(name, {})
        if str(facts.get("split", "")) in wrong and facts.get("dataset") not in UNTESTED:
            told = f"the metadata says split {facts['split']}; {name} is of {should} images"
            yield Finding(ERROR, "valid/test confusion", (name,), len(checked.table), told)
        for other in checked.numeric:
            if _of(other, wrong) and _same_values(checked, name, other):
                told = f"{name} holds {other}; it is of {should} images"
                yield Finding(ERROR, "valid/test confusion", (name, other), len(checked.table), told)
    for val in checked.accuracies:
        for test in checked.accuracies:
            if _partner(val) == test and val != test and checked.is_copy(val, test):
                told = f"{val} and {test} are the same: one of them is not what its name says"
                yield Finding(ERROR, "valid/test confusion", (val, test), len(checked.table), told)


def early_as_final(checked: Checked) -> Iterator[Finding]:
    """An accuracy early in training in the place of the final one."""
    for name in ("accuracy", "accuracy_val"):
        if name not in checked.table:
            continue
        longest = max(
            [FINAL.get(checked.space, 0), *(checked.epochs(n) or 0 for n in checked.numeric if n != name)], default=0
        )
        told_epochs = checked.columns.get(name, {}).get("epochs")
        copies = [n for n in checked.numeric if n != name and checked.epochs(n) and _same_values(checked, name, n)]
        epochs = told_epochs or max((checked.epochs(n) or 0 for n in copies), default=None)
        if epochs and epochs < longest:
            level = WARNING if told_epochs else ERROR  # who says so knows it
            told = f"after {epochs} of {longest} epochs: no final accuracy; rename it, or take the one of {longest}"
            yield Finding(level, "early as final", (name, *copies[:1]), len(checked.table), told)


def copies_of_test(checked: Checked) -> Iterator[Finding]:
    """Rows of a split, above all an out-of-distribution one, whose values are those of other rows or columns.

    As in a published table of DeepNets-1M, whose `val_acc` repeats `test_acc` outside the split val.
    """
    if checked.split is None:
        return
    scalar = [name for name in checked.accuracies if name not in checked.lists]
    for column in scalar:
        partner = _partner(column)
        if partner != column and partner in scalar and not checked.is_copy(column, partner):
            yield from _repeated_partner(checked, column, partner)
    for column in scalar:
        yield from _repeated_rows(checked, column)


def _repeated_partner(checked: Checked, column: str, partner: str) -> Iterator[Finding]:
    assert checked.split is not None
    rows = checked.table[[column, partner]].assign(split=checked.split).dropna()
    same = (rows[column] == rows[partner]).groupby(rows["split"]).agg(["all", "size"])
    copied = list(same.index[same["all"] & (same["size"] >= ENOUGH)])
    if copied:
        count = int(same.loc[copied, "size"].sum())
        told = (
            f"{column} repeats {partner} in the split{'s' * (len(copied) > 1)} {', '.join(copied)}; use {partner} there"
        )
        yield Finding(ERROR, "copied rows", (column, partner), count, told)


def _repeated_rows(checked: Checked, column: str) -> Iterator[Finding]:
    """Values of a split that are those of the split test, row by row or in any order, by data set."""
    assert checked.split is not None
    rows = pd.DataFrame({"value": checked.table[column], "split": checked.split}).dropna()
    datasets = checked.table["dataset"] if "dataset" in checked.table else pd.Series("", index=checked.table.index)
    for _, of_dataset in rows.groupby(datasets.reindex(rows.index), sort=False):
        test = of_dataset["value"][of_dataset["split"] == "test"]
        for split in OOD:
            own = of_dataset["value"][of_dataset["split"] == split]
            if len(test) >= ENOUGH and own.nunique() >= ENOUGH and _repeats(own, test):
                told = (
                    f"{column} of the split {split} repeats rows of the split test: not its own values, leave them out"
                )
                yield Finding(ERROR, "copied rows", (column,), len(own), told)


def _repeats(own: pd.Series, test: pd.Series) -> bool:
    n = min(len(own), len(test))
    in_order = (own.to_numpy()[:n] == test.to_numpy()[:n]).mean()
    in_any = own.isin(set(test)).mean() if own.nunique() > len(own) / 2 and _fine(own) else 0.0
    return bool(in_order > 0.5 or in_any > 0.9)


def _fine(values: pd.Series) -> bool:
    """Whether two architectures hardly share a value by accident: more digits than a few hundred rows fill."""
    return values.map(lambda v: len(str(v)) > 6).mean() > 0.5


def repeated_keys(checked: Checked) -> Iterator[Finding]:
    """An architecture with several rows of one seed and protocol, alike or not."""
    keys = [
        n for n in ("arch", "arch_str", "protocol", "seed", "device", "tag", "run", "dataset") if n in checked.table
    ]
    keys += [n for n in ("split", "hash", "model", "img_size") if n in checked.table]
    keys = [n for n in keys if n not in checked.lists]
    if not {"arch", "arch_str"} & set(keys):
        return
    again = checked.table[checked.table.duplicated(keys, keep=False)]
    if again.empty:
        return
    targets = [n for n in checked.accuracies if n in checked.numeric] or [n for n in checked.numeric if n not in keys]
    differ = again.groupby(keys, dropna=False)[targets].nunique().gt(1).any(axis=1)
    name = again.iloc[0][keys[0]]
    if differ.any():
        told = f"{int(differ.sum())} architectures with different values, such as {name}; tell them apart by a seed"
        yield Finding(ERROR, "repeated architecture", tuple(keys), len(again), told)
    if not differ.all():
        told = f"{int((~differ).sum())} architectures with the same values twice, such as {name}; keep one row"
        yield Finding(WARNING, "repeated architecture", tuple(keys), len(again), told)


def mixed(checked: Checked) -> Iterator[Finding]:
    """Rows that are not comparable."""
    for name in ("protocol", "device"):
        values = sorted(map(str, checked.table[name].dropna().unique())) if name in checked.table else []
        if len(values) > 1:
            told = f"{', '.join(values)}: labels of several {name}s are not comparable; keep one"
            yield Finding(ERROR, "mixed rows", (name,), len(checked.table), told)
    if "processor" in checked.table and (count := checked.table["processor"].nunique()) > 1:
        told = f"latencies of {count} processors; compare only those of one"
        yield Finding(WARNING, "mixed rows", ("latency_ms", "processor"), len(checked.table), told)
    if "diverged" in checked.table and (count := int(checked.table["diverged"].fillna(False).astype(bool).sum())):
        yield Finding(NOTE, "failed training", ("diverged",), count, "the loss stopped being finite")


def _same_values(checked: Checked, a: str, b: str) -> bool:
    """Whether a column is another one, perhaps in % instead of as a fraction."""
    if b in ("accuracy", "accuracy_val") or not {a, b} <= {*checked.numeric} or checked.table[b].nunique() < 2:
        return False
    both = checked.table[[a, b]].dropna()
    scale = 100 if len(both) and both[b].max() <= 1 < both[a].max() else 1
    return len(both) >= ENOUGH and bool((both[a] - scale * both[b]).abs().max() < 1e-9 * max(both[a].abs().max(), 1))


def _of(column: str, words: tuple[str, ...]) -> bool:
    """Whether the name of a column tells one of these splits."""
    if column in ("accuracy", "accuracy_val") or not (EPOCHS_101.fullmatch(column) or EPOCHS_201.fullmatch(column)):
        parts = set(column.lower().split("_"))
        return bool(parts & set(words)) and bool(parts & {"acc", "accuracy", "top1"})
    return bool(set(column.split("_")) & set(words))


def _partner(column: str) -> str:
    """The test column that belongs to a validation column, by its name; the column itself if it is none."""
    if column == "accuracy_val":
        return "accuracy"
    return "_".join("test" if part in VALID else part for part in column.split("_"))
