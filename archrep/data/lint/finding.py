"""What a check finds, and the table that it looks at."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import numpy as np
import pandas as pd

from archrep.errors import ArchrepError
from archrep.space.architecture import Architecture
from archrep.space.specs import SPACES, architectures

ERROR, WARNING, NOTE = "error", "warning", "note"
ACCURACY = re.compile(r"(?:.*_)?(acc|accuracy|acc1es|top1|top5|robustness)(?:_.*)?|.*_(valid|val|test)_\d+ep")


@dataclass(frozen=True)
class Finding:
    """Attributes: error, warning or note; the check; the columns; how many rows; what is wrong and what to do."""

    level: str
    check: str
    columns: tuple[str, ...]
    rows: int
    message: str


@dataclass(frozen=True)
class Checked:
    """A table as its file has it.

    Attributes:
        columns: column → unit, direction, meaning, dataset, split, epochs …, where the file tells.
        classes: space → a name for what an architecture of it computes.
    """

    table: pd.DataFrame
    columns: Mapping[str, Mapping] = field(default_factory=dict)
    classes: Mapping[str, Callable[[Architecture], str]] = field(default_factory=dict)

    @cached_property
    def numeric(self) -> list[str]:
        """Columns of numbers."""
        return [str(n) for n in self.table.select_dtypes("number")]

    @cached_property
    def lists(self) -> list[str]:
        """Columns that hold lists."""
        others = [name for name, values in self.table.items() if values.dtype == object]
        return [str(n) for n in others if self.table[n].map(lambda v: isinstance(v, np.ndarray)).any()]

    @cached_property
    def accuracies(self) -> list[str]:
        """Columns of accuracies, by their names; of numbers or of lists of numbers."""
        return [n for n in map(str, self.table) if ACCURACY.fullmatch(n) and not n.endswith(("_time", "_s", "_err"))]

    @cached_property
    def space(self) -> str:
        """The space that all rows are of; empty if there is none, or several."""
        spaces = {spec.partition(":")[0] for spec in self.specs.dropna()}
        return spaces.pop() if len(spaces) == 1 else ""

    @cached_property
    def specs(self) -> pd.Series:
        """Architecture specs of the rows; missing where a row has none of archrep's or a benchmark's."""
        table = self.table
        if "arch_str" in table and "arch" not in table:
            return "nasbench201:" + table["arch_str"].astype(str)
        if "adj_upper" in table and "arch" not in table:
            return "nasbench101:" + table["adj_upper"].astype(str) + ":" + table["ops"].fillna("").astype(str)
        if "arch" not in table:
            return pd.Series([None] * len(table), index=table.index, dtype=object)
        names = table["arch"].astype(str)
        if "mean_acc" in table and "accuracy" not in table:
            return "nasbench_macro:" + names.str.zfill(8)
        return names.where(names.str.contains(":"))

    @cached_property
    def architectures(self) -> dict[str, Architecture | ArchrepError]:
        """Spec → its architecture or what is wrong with it; of specs that need no package, file or code of others."""
        return {spec: _looked_up(spec) for spec in dict.fromkeys(self.specs.dropna()) if _checkable(spec)}

    @cached_property
    def split(self) -> pd.Series | None:
        """The split of every row, from a column or from the specs; None if neither tells."""
        if "split" in self.table:
            return self.table["split"].astype(str)
        if "arch" not in self.table:
            return None
        told = self.table["arch"].astype(str).str.extract(r"^deepnets[\w-]*:(?:.*:)?([a-z]+):\d+$")[0]
        return told if told.notna().any() else None

    def epochs(self, column: str) -> int | None:
        """Epochs of training behind a column, from the metadata or its name."""
        told = self.columns.get(column, {}).get("epochs")
        match = re.fullmatch(r".+_(\d+)ep", column)
        return told if told is not None else int(match[1]) if match else None

    def is_copy(self, a: str, b: str) -> bool:
        """Whether two columns hold the same values in all rows that have both, which are at least five."""
        if {a, b} & {*self.lists}:
            return False
        both = self.table[[a, b]].dropna()
        return len(both) >= 5 and bool((both[a] == both[b]).all())


def _checkable(spec: str) -> bool:
    space, _, rest = spec.partition(":")
    if space not in SPACES:
        return "." not in space and "/" not in space
    return space.startswith("nasbench") or (space in ("deepnets", "deepnets-small") and "/" not in rest)


def _looked_up(spec: str) -> Architecture | ArchrepError:
    try:
        first, *others = islice(architectures(spec, typed=False), 2)
    except ArchrepError as error:
        return error
    except ValueError:
        return ArchrepError(f"{spec} names no architecture")
    return ArchrepError(f"{spec} names several architectures") if others else first
