"""Architectures that do not exist, and different ones that compute the same."""

from collections import defaultdict
from collections.abc import Iterator

import pandas as pd

from archrep.data.lint.finding import ERROR, NOTE, WARNING, Checked, Finding
from archrep.errors import ArchrepError
from archrep.space.architecture import Architecture
from archrep.space.specs import SPACES, architectures

DEEPNETS = ("deepnets", "deepnets-small")
SPREAD = 3.0  # percentage points: further apart than the noise of seeds


def unknown_architectures(checked: Checked) -> Iterator[Finding]:
    """Specs that name no architecture, or not the one that they should name."""
    wrong: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for spec in _specs(checked):
        try:
            found = list(architectures(spec)) if _checkable(spec) else []
        except ArchrepError as error:
            wrong[spec] = str(error)
            continue
        if len(found) > 1:
            wrong[spec] = f"{spec} names {len(found)} architectures"
        elif found and found[0].id != spec:
            renamed[spec] = found[0].id
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
    column = next((n for n in ("accuracy", *checked.accuracies) if n in checked.numeric), None)
    if not classes or column is None:
        return
    values = checked.table.assign(_name=_names(checked)).groupby("_name")[column].mean()
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
    named: dict[str, list[Architecture]] = defaultdict(list)
    for spec in _specs(checked):
        space = spec.partition(":")[0]
        if space in checked.classes or (space in DEEPNETS and _checkable(spec)):
            try:
                named[space] += architectures(spec)
            except ArchrepError:
                continue  # reported as unknown
    return {
        a.id: checked.classes[space](a) if space in checked.classes else a.graph.hash()
        for space, found in named.items()
        for a in found
    }


def _specs(checked: Checked) -> list[str]:
    return list(dict.fromkeys(_names(checked).dropna()))


def _names(checked: Checked) -> pd.Series:
    """Specs of the rows; missing where a row has none."""
    table = checked.table
    if "arch_str" in table and "arch" not in table:
        return "nasbench201:" + table["arch_str"].astype(str)
    if "adj_upper" in table and "arch" not in table:
        return "nasbench101:" + table["adj_upper"].astype(str) + ":" + table["ops"].fillna("").astype(str)
    if "arch" not in table:
        return pd.Series([None] * len(table), index=table.index, dtype=object)
    names = table["arch"].astype(str)
    return names.where(names.str.contains(":"))  # others are the source's own names


def _checkable(spec: str) -> bool:
    """Whether looking an architecture up needs nothing but its name: no package, no file, no code of others."""
    space, _, rest = spec.partition(":")
    if space not in SPACES:
        return "." not in space and "/" not in space
    return space.startswith("nasbench") or (space in DEEPNETS and "/" not in rest)
