"""Label tables: measured targets per architecture (design: files and formats)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pyarrow as pa

from archrep.data.imported import Request, imported, text_columns
from archrep.data.tables import read_table, write_table
from archrep.data.targets import TARGETS, Target, target_named
from archrep.errors import ArchrepError, unknown
from archrep.frames import read_csv

KEYS = ("arch", "protocol", "seed", "device")


@dataclass(frozen=True)
class Labels:
    """Labels averaged over seeds: `table` is indexed by architecture; `seeds` counts the runs of each.

    Attributes:
        directions: column → "higher" or "lower", where the table says so.
        counted: what was left out or changed when a published table was read → how often.
        runs: one row per row of the file, with `arch`, `seed` where it has one and the numeric columns.
    """

    table: pd.DataFrame
    directions: dict[str, str]
    header: dict
    path: Path
    counted: dict[str, int] = field(default_factory=dict)
    runs: pd.DataFrame | None = None

    def take(self, chosen: np.ndarray | slice) -> "Labels":
        """The labels of some rows of the table."""
        table = self.table[chosen]
        runs = None if self.runs is None else self.runs[self.runs["arch"].isin(table.index)]
        return replace(self, table=table, runs=runs)

    def target(self, name: str) -> Target:
        """A numeric column as a target.

        Raises:
            ArchrepError: if there is no such column, it is not numeric, or it has no direction.
        """
        numeric = self.table.select_dtypes("number").columns.drop("seeds")
        if name in self.table and name not in numeric:
            example = next(iter(self.table[name].dropna()), None)
            raise ArchrepError(
                f"{self.path}: column {name!r} is not numeric (it holds {example!r:.60}); fix it or name another."
            )
        if name not in numeric:
            raise unknown("target", name, numeric, f" ({self.path})")
        target = target_named(name, self.directions)
        facts = self.header.get("columns", {}).get(name, {})
        return replace(
            target, unit=target.unit or facts.get("unit", ""), meaning=target.meaning or facts.get("meaning", "")
        )


def write_labels(
    path: Path,
    rows: list[dict],
    provenance: dict,
    force: bool = False,
    facts: Mapping[str, dict] = MappingProxyType({}),
) -> None:
    """Writes label rows with unit and direction per column.

    Args:
        facts: column → more about it, such as data set, split and epochs.
    """
    table = pa.Table.from_pylist(rows)
    columns = {
        name: {"unit": t.unit, "direction": "higher" if t.higher_is_better else "lower", "meaning": t.meaning}
        | facts.get(name, {})
        for name, t in TARGETS.items()
        if name in table.column_names
    }
    write_table(table, {"format": 1, "kind": "labels", "columns": columns, "provenance": provenance}, path, force)


def read_labels(
    path: Path | Sequence[Path], dataset: str | None = None, epochs: int | None = None, recipe: str | None = None
) -> Labels:
    """Reads label tables, Parquet or CSV (.csv, .csv.gz), and averages over seeds.

    A table has a column `arch`, or is a published one that `imported` knows. Several tables are joined by
    architecture: each row has what any of them says, the first one that has a value being right.

    Args:
        path: one table or several.
        dataset: of a published table, its `accuracy`; default: cifar10, and imagenet of timm's tables.
        epochs: after how many epochs of training; default: 200 for NAS-Bench-201, 108 for NAS-Bench-101.
        recipe: of timm's accuracies, a tag or a pattern such as `ra*_in1k`; default: each architecture's own tag that
            most architectures have.

    Raises:
        ArchrepError: if a file cannot be read, has no column `arch` and is no known table, mixes protocols or has no
            such data set, epochs or recipe.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(p) for p in path]
    if not paths:
        raise ArchrepError("No label table is given.")
    request = Request(dataset, epochs, recipe)
    tables = [_read_one(p, request) for p in paths]
    asked = [name for name, value in vars(request).items() if value is not None]
    if asked and not any(labels.header.get("published") for labels in tables):
        raise ArchrepError(
            f"{paths[0]}: {asked[0]} chooses among the columns of published tables; a table with a column arch has "
            "one accuracy. Leave it out."
        )
    return tables[0] if len(tables) == 1 else _joined(tables)


def _joined(tables: Sequence[Labels]) -> Labels:
    table = tables[0].table
    for labels in tables[1:]:
        table = table.combine_first(labels.table)
    order = dict.fromkeys(name for labels in tables for name in labels.table)
    rows = dict.fromkeys(arch for labels in tables for arch in labels.table.index)
    columns = {k: v for labels in reversed(tables) for k, v in labels.header.get("columns", {}).items()}
    header = {"columns": columns, "tables": [labels.header for labels in tables]}
    counted: dict[str, int] = {}
    for labels in tables:
        for reason, count in labels.counted.items():
            counted[reason] = counted.get(reason, 0) + count
    directions = {k: v for labels in reversed(tables) for k, v in labels.directions.items()}
    path = Path(" + ".join(str(labels.path) for labels in tables))
    runs = pd.concat([labels.runs for labels in tables], ignore_index=True)
    return Labels(table.loc[list(rows), list(order)], directions, header, path, counted, runs)


def _read_one(path: Path, request: Request) -> Labels:
    header: dict = {}
    counted: dict[str, int] = {}
    if path.name.endswith((".csv", ".csv.gz")):
        table, header, counted = _read_csv(path, request)
    else:
        raw, header = read_table(path, "labels", ("arch",))
        table = raw.to_pandas()
    if nameless := int(table["arch"].isna().sum()):
        counted["rows without an architecture"] = nameless
    table = table.dropna(subset=["arch"])
    if len(table) == 0:
        raise ArchrepError(f"{path}: the label table is empty.")
    for column in ("protocol", "device"):
        values = sorted({str(value) for value in table[column]}) if column in table else []
        if len(values) > 1:
            raise ArchrepError(
                f"{path}: labels of several {column}s are not comparable: {', '.join(values)}. Keep one."
            )
    numeric = [c for c in table.select_dtypes(["number", "bool"]).columns if c != "seed"]
    other = [c for c in table.columns if c not in (*numeric, *KEYS, "curve", "error")]
    grouped = table.groupby("arch", sort=False)
    mean = grouped[numeric].mean().astype(np.float64).join(grouped[other].first())
    mean["seeds"] = grouped.size()
    if header.get("published") and (twice := int((mean["seeds"] - 1).sum())):
        counted["further rows of an architecture, averaged with its first"] = twice
    directions = {name: facts["direction"] for name, facts in header.get("columns", {}).items() if "direction" in facts}
    runs = table[["arch", *(["seed"] if "seed" in table else []), *numeric]]
    return Labels(mean, directions, header, path, counted, runs)


def _read_csv(path: Path, request: Request) -> tuple[pd.DataFrame, dict, dict[str, int]]:
    """A table with a column `arch`, its header and what was counted."""
    table = read_csv(path, text_columns())
    try:
        published = imported(table, request)
    except ArchrepError as error:
        raise ArchrepError(f"{path}: {error}") from error
    if published is not None:
        return published.table, {"published": True, "columns": published.columns}, published.counted
    if "arch" not in table:
        raise ArchrepError(
            f"{path}: not a table of labels: no column arch, and no published table that archrep knows; its columns "
            f"are {', '.join(map(str, table))}."
        )
    return table, {}, {}
