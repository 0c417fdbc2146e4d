"""Checks of label tables for the mistakes that published ones have been found to hold.

finding (what a check sees and says) → ranges, copies, architectures, benchmarks (the checks). May import `space`.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from archrep.data.imported import text_columns
from archrep.data.lint.architectures import twins, unknown_architectures
from archrep.data.lint.benchmarks import not_the_benchmark
from archrep.data.lint.copies import (
    copied_columns,
    copies_of_test,
    early_as_final,
    mixed,
    repeated_keys,
    valid_as_test,
)
from archrep.data.lint.finding import ERROR, NOTE, WARNING, Checked, Finding
from archrep.data.lint.ranges import constant, missing, out_of_range
from archrep.data.tables import read_table
from archrep.errors import ArchrepError
from archrep.frames import read_csv
from archrep.space.architecture import Architecture

CHECKS: tuple[Callable[[Checked], Iterator[Finding]], ...] = (
    unknown_architectures,
    repeated_keys,
    mixed,
    out_of_range,
    early_as_final,
    valid_as_test,
    not_the_benchmark,
    copies_of_test,
    copied_columns,
    constant,
    twins,
    missing,
)
__all__ = ["CHECKS", "ERROR", "NOTE", "WARNING", "Checked", "Finding", "check_labels", "read_checked"]


def check_labels(checked: Checked) -> list[Finding]:
    """Everything the checks find, errors first."""
    found = [finding for check in CHECKS for finding in check(checked)]
    return sorted(found, key=lambda f: (ERROR, WARNING, NOTE).index(f.level))


def read_checked(path: Path, classes: Mapping[str, Callable[[Architecture], str]] | None = None) -> Checked:
    """Reads a table as its file has it, CSV (.csv, .csv.gz) or Parquet.

    Args:
        classes: space → the functional class of an architecture, to find duplicates by.

    Raises:
        ArchrepError: if it cannot be read or is empty.
    """
    columns: dict[str, dict] = {}
    if path.name.endswith((".csv", ".csv.gz")):
        table = read_csv(path, text_columns())
    else:
        raw, header = read_table(path, "label", ())
        table, columns = raw.to_pandas(), header.get("columns", {})
    if len(table) == 0:
        raise ArchrepError(f"{path}: the table is empty.")
    return Checked(table, columns, classes or {})
