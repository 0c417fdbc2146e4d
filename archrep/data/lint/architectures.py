"""Architectures that do not exist, and different ones that compute the same."""

from collections.abc import Iterator

import pandas as pd

from archrep.data.lint.finding import ERROR, NOTE, WARNING, Checked, Finding
from archrep.errors import ArchrepError

SPREAD = 3.0  # percentage points: further apart than the noise of seeds


def unknown_architectures(checked: Checked) -> Iterator[Finding]:
    """Specs that name no architecture, or not the one that they should name."""
    wrong: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for spec, found in checked.architectures.items():
        if isinstance(found, ArchrepError):
            wrong[spec] = str(found)
        elif found.id != spec:
            renamed[spec] = found.id
    if wrong:
        told = f"they name no architecture; the first: {next(iter(wrong.values()))}"
        yield Finding(ERROR, "unknown architecture", ("arch",), len(wrong), told)
    if renamed:
        first = next(iter(renamed))
        told = f"not the canonical name, which other tables use: {first} is {renamed[first]}"
        yield Finding(WARNING, "unknown architecture", ("arch",), len(renamed), told)


def twins(checked: Checked) -> Iterator[Finding]:
    """Architectures that compute the same function, or are the same network, under several names.

    Further apart than seeds take them, their labels contradict each other; otherwise they measure the noise of labels,
    but a random split of the table puts twins on both sides.
    """
    classes = _classes(checked)
    final = sorted(checked.accuracies, key=lambda n: -(checked.epochs(n) or 0))
    column = next((n for n in ("accuracy", "mean_acc", *final) if n in checked.numeric), None)
    if not classes or column is None:
        return
    values = checked.table.assign(_name=checked.specs).groupby("_name")[column].mean()
    groups = pd.Series(classes)
    several = groups[groups.duplicated(keep=False)]
    if several.empty:
        return
    spread = values.reindex(several.index).groupby(several).agg(lambda v: v.max() - v.min()).dropna()
    scale = 1.0 if values.max() > 1 else 0.01
    apart = spread[spread > SPREAD * scale]
    kind = "functional class" if checked.space in checked.classes else "graph"
    count, many = several.nunique(), len(several)
    told = f"{many} architectures share a {kind} with others ({count} of them): keep each on one side of a split"
    yield Finding(NOTE, "duplicates", ("arch",), many, told)
    if len(apart):
        members = sorted(several.index[several == apart.idxmax()])[:2]
        told = (
            f"{len(apart)} times, {column} of one {kind} differs by more than {SPREAD * scale:g}, at most by "
            f"{apart.max():.4g} ({' and '.join(members)}): check both, and whether they have the same epochs and seed"
        )
        yield Finding(WARNING, "duplicates with different values", (column,), len(apart), told)


def _classes(checked: Checked) -> dict[str, str]:
    """Architecture → its functional class or graph hash, where its space has them without building networks."""
    return {
        spec: checked.classes[a.space](a) if a.space in checked.classes else a.graph.hash()
        for spec, a in checked.architectures.items()
        if not isinstance(a, ArchrepError) and (a.space in checked.classes or a.config is not None)
    }
