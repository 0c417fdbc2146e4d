"""Label tables: measured targets per architecture (design: files and formats)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from archrep.data.tables import read_table, write_table
from archrep.data.targets import TARGETS, Target, target_named
from archrep.errors import ArchrepError, first_line, unknown

KEYS = ("arch", "protocol", "seed", "device")


@dataclass(frozen=True)
class Labels:
    """Labels averaged over seeds: `table` is indexed by architecture; `seeds` counts the runs of each."""

    table: pd.DataFrame
    directions: dict[str, str]
    header: dict
    path: Path

    def target(self, name: str) -> Target:
        """A numeric column as a target.

        Raises:
            ArchrepError: if there is no such column, it is not numeric, or it has no direction.
        """
        numeric = self.table.select_dtypes("number").columns.drop("seeds")
        if name in self.table and name not in numeric:
            example = self.table[name].dropna().iloc[0]
            raise ArchrepError(
                f"{self.path}: column {name!r} is not numeric (it holds {example!r}); fix it or name another."
            )
        if name not in numeric:
            raise unknown("target", name, numeric, f" ({self.path})")
        return target_named(name, self.directions)


def write_labels(path: Path, rows: list[dict], provenance: dict, force: bool = False) -> None:
    """Writes label rows with unit and direction per column."""
    table = pa.Table.from_pylist(rows)
    columns = {
        name: {"unit": t.unit, "direction": "higher" if t.higher_is_better else "lower", "meaning": t.meaning}
        for name, t in TARGETS.items()
        if name in table.column_names
    }
    write_table(table, {"format": 1, "kind": "labels", "columns": columns, "provenance": provenance}, path, force)


def read_labels(path: Path) -> Labels:
    """Reads a label table, Parquet or CSV with a column `arch`, and averages over seeds.

    Raises:
        ArchrepError: if the file cannot be read, has no column `arch`, or mixes protocols.
    """
    header: dict = {}
    if Path(path).suffix == ".csv":
        table = _read_csv(Path(path))
    else:
        raw, header = read_table(path, "labels", ("arch",))
        table = raw.to_pandas()
    table = table.dropna(subset=["arch"])
    if len(table) == 0:
        raise ArchrepError(f"{path}: the label table is empty.")
    for column in ("protocol", "device"):
        values = sorted(table[column].unique()) if column in table else []
        if len(values) > 1:
            raise ArchrepError(
                f"{path}: labels of several {column}s are not comparable: {', '.join(values)}. Keep one."
            )
    numeric = [c for c in table.select_dtypes(["number", "bool"]).columns if c != "seed"]
    other = [c for c in table.columns if c not in (*numeric, *KEYS, "curve", "error")]
    grouped = table.groupby("arch", sort=False)
    mean = grouped[numeric].mean().astype(np.float64).join(grouped[other].first())
    mean["seeds"] = grouped.size()
    directions = {name: facts["direction"] for name, facts in header.get("columns", {}).items()}
    return Labels(mean, directions, header, Path(path))


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"arch": str})
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise ArchrepError(f"{path}: not a readable CSV table ({first_line(error)}).") from error
    if "arch" not in table:
        raise ArchrepError(
            f"{path}: not a table of labels: no column arch; its columns are {', '.join(map(str, table))}."
        )
    return table
