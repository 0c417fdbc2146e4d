"""Published results as label tables of archrep: what every column is stands in the metadata.

| format | files |
|---|---|
| `nasbench201` | a table with `arch_str` (accuracies, latencies or zero-cost proxies), or the official API's `.pth` |
| `nasbench101` | a table with `adj_upper` and `ops` |
| `nasbench_macro` | a table with `arch` (8 digits) and `mean_acc` |
| `timm` | timm's `results-*.csv` (`model` or `arch` and `tag`, `top1`), or its benchmark runs (`samples_per_sec`) |
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from archrep.data.imported import EPOCHS_101, EPOCHS_201, TOP1, Request, imported, text_columns
from archrep.data.nasbench201_api import is_api_file, read_api_file
from archrep.data.targets import TARGETS
from archrep.errors import ArchrepError, lookup
from archrep.frames import read_frame

SEED = re.compile(r"acc_seed(\d+)")
SCALES = (1, 100, 2, 1_000_000, 2_000_000)  # fractions → %, multiply-accumulates → operations, millions → 1
NOT_NUMBERS = ("index", "seed", "n_vertices", "img_size")
FORMATS = {
    "nasbench201": "a table with a column arch_str, or the official NAS-Bench-201-….pth",
    "nasbench101": "a table with columns adj_upper and ops",
    "nasbench_macro": "a table with columns arch (8 digits) and mean_acc",
    "timm": "timm's results-imagenet.csv, or a table with columns model, run, img_size and samples_per_sec",
}


@dataclass(frozen=True)
class Adapted:
    """A label table with one row per architecture, or per architecture and seed where the source tells seeds.

    Attributes:
        columns: numeric column → unit, direction, meaning, dataset, split, epochs and seed, as far as they apply;
            `source` where a column is another one's values in the unit of a target.
        counted: what was left out or changed → how often.
    """

    table: pd.DataFrame
    columns: dict[str, dict]
    counted: dict[str, int]


def adapt(name: str, path: Path, request: Request = Request()) -> Adapted:
    """Reads a file of published results.

    Args:
        name: one of `FORMATS`. request: which data set, epochs and recipe become `accuracy`.

    Raises:
        ArchrepError: if the file cannot be read, is of another format, or has no such data set, epochs or recipe.
    """
    expected = lookup(FORMATS, name, "format")
    table = _read(name, path)
    try:
        result = imported(table, request)
    except ArchrepError as error:
        raise ArchrepError(f"{path}: {error}") from error
    spaces = set() if result is None else set(result.table["arch"].str.partition(":")[0])
    if result is None or spaces != {name}:
        told = f"it is of {', '.join(sorted(spaces))}" if spaces else f"its columns are {', '.join(map(str, table))}"
        raise ArchrepError(f"{path}: not of format {name}, which is {expected}; {told}.")
    table, counted = _once(result.table, dict(result.counted))
    chosen = _chosen(table)
    columns = {n: _facts(name, n, result.columns, chosen) for n in table.select_dtypes("number")}
    return Adapted(table, {n: facts for n, facts in columns.items() if n not in NOT_NUMBERS}, counted)


def _read(name: str, path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ArchrepError(f"{path}: no such file.")
    if name == "nasbench201" and is_api_file(path):
        return read_api_file(path)
    table = read_frame(path, text_columns())
    if name == "timm" and {"model", "top1"} <= set(table) and "arch" not in table:
        names = table["model"].str.partition(".")
        table = table.assign(arch=names[0], tag=names[2])
    return table


def _once(table: pd.DataFrame, counted: dict[str, int]) -> tuple[pd.DataFrame, dict[str, int]]:
    """One row per architecture (and seed): numbers averaged, the first of what is no number."""
    keys = ["arch", *(["seed"] if "seed" in table else [])]
    twice = int(table.duplicated(keys).sum())
    if twice:
        numeric = [n for n in table.select_dtypes("number") if n not in keys]
        other = [n for n in table if n not in {*keys, *numeric}]
        grouped = table.groupby(keys, sort=False)
        table = grouped[numeric].mean().join(grouped[other].first()).reset_index()[list(table)]
        counted["further rows of an architecture, averaged with its first"] = twice
    first = [*keys, *(n for n in TARGETS if n in table)]
    return table[[*first, *(n for n in table if n not in first)]], counted


def _chosen(table: pd.DataFrame) -> dict[str, str]:
    """Target → the source column whose values it has, if in another unit."""
    chosen: dict[str, str] = {}
    sources = [n for n in table.select_dtypes("number") if n not in TARGETS]
    for target in (n for n in TARGETS if n in table):
        for source, factor in ((s, f) for s in sources for f in SCALES):
            if np.allclose(factor * table[source], table[target], rtol=1e-12, atol=0, equal_nan=True):
                chosen.setdefault(target, source)
    return chosen


def _facts(name: str, column: str, declared: dict[str, dict[str, str]], chosen: dict[str, str]) -> dict:
    facts: dict = dict(declared.get(column, {}))
    if column in TARGETS:
        target = TARGETS[column]
        direction = "higher" if target.higher_is_better else "lower"
        facts = {"unit": target.unit, "direction": direction, "meaning": target.meaning}
    source = chosen.get(column)
    told = MEASURED[name](source or column)
    return facts | told | ({"source": source} if source else {})


def _measured_201(column: str) -> dict:
    if match := EPOCHS_201.fullmatch(column):
        return {"dataset": match[1], "split": match[2], "epochs": int(match[3])}
    return {"dataset": "cifar10", "split": "valid", "epochs": 200} if column == "val_accuracy" else {}


def _measured_101(column: str) -> dict:
    match = EPOCHS_101.fullmatch(column)
    return {"dataset": "cifar10", "split": "valid", "epochs": int(match[1])} if match else {}


def _measured_macro(column: str) -> dict:
    if match := SEED.fullmatch(column):
        return {"dataset": "cifar10", "split": "test", "epochs": 50, "seed": int(match[1])}
    return {"dataset": "cifar10", "split": "test", "epochs": 50, "seed": "mean of 3"} if column == "mean_acc" else {}


def _measured_timm(column: str) -> dict:
    dataset = next((name for name, source in TOP1.items() if source == column), None)
    return {"dataset": dataset, "split": "val"} if dataset else {}


MEASURED: dict[str, Callable[[str], dict]] = {
    "nasbench201": _measured_201,
    "nasbench101": _measured_101,
    "nasbench_macro": _measured_macro,
    "timm": _measured_timm,
}
