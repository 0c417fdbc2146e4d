"""Parquet tables with provenance in their schema metadata; the base of label and embedding tables."""

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from archrep.errors import ArchrepError, first_line
from archrep.files import atomic, from_json
from archrep.frames import read_plain

KEY = b"archrep"
FORMAT = 1
DIRECTIONS = ("higher", "lower")


def write_table(table: pa.Table, header: dict, path: Path, force: bool) -> None:
    """Writes a table and its header, atomically."""
    write_parts([table], header, path, force)


def write_parts(parts: Iterable[pa.Table], header: dict, path: Path, force: bool) -> int:
    """Like `write_table`, part by part: they have the columns of the first one, and only one is in memory.

    Returns:
        How many rows were written.

    Raises:
        ArchrepError: if there is no part, or the table cannot be written.
    """
    parts = iter(parts)
    with atomic(path, force) as temporary:
        first = next(parts, None)
        if first is None:
            raise ArchrepError(f"{path}: nothing to write.")
        schema = first.schema.with_metadata({**(first.schema.metadata or {}), KEY: json.dumps(header).encode()})
        with pq.ParquetWriter(temporary, schema, write_page_checksum=True) as writer:
            rows = 0
            for part in chain([first], parts):
                writer.write_table(part.cast(schema))
                rows += len(part)
    return rows


def write_rows(rows: list[dict], header: dict, path: Path) -> None:
    """Writes rows as CSV or, with the header, as Parquet, by the suffix of `path`; atomically, over what is there."""
    table = pa.Table.from_pylist(rows, _schema(rows))
    if path.suffix == ".csv":
        with atomic(path, force=True) as temporary:
            csv.write_csv(table, temporary)
    else:
        write_table(table, header, path, force=True)


def _schema(rows: list[dict]) -> pa.Schema:
    """Columns of all rows, in the order in which they appear."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.schema([pa.field(n, pa.array([row.get(n) for row in rows]).type) for n in names])


def check_rows_path(path: Path) -> None:
    """Asked before long work starts.

    Raises:
        ArchrepError: if `write_rows` cannot write that kind of file.
    """
    if path.suffix not in (".csv", ".parquet") or path.is_dir():
        raise ArchrepError(f"{path}: a table is a Parquet or CSV file; give --out a name in .parquet or .csv.")


def read_table(path: Path, kind: str, required: tuple[str, ...]) -> tuple[pa.Table, dict]:
    """Reads a table and its header.

    Args:
        kind: what the file should be, for messages. required: columns it must have.

    Raises:
        ArchrepError: if the file is missing or truncated, lacks a column, or says of itself what no table does.
    """
    if not Path(path).is_file():
        raise ArchrepError(f"{path}: no such {kind} table.")
    table = read_plain(Path(path))
    try:
        header = _checked(from_json((table.schema.metadata or {}).get(KEY, b"{}")))
    except ValueError as error:
        raise ArchrepError(f"{path}: not a table that archrep wrote ({first_line(error)}).") from error
    missing = [name for name in required if name not in table.column_names]
    if missing:
        raise ArchrepError(
            f"{path}: not a table of {kind}: no column {', '.join(missing)}; "
            f"its columns are {', '.join(table.column_names)}."
        )
    return table, header


def _checked(header: object) -> dict:
    """What a table says of itself: `format`, `columns` (column → facts) and `provenance`, each if it is there.

    Raises:
        ValueError: if that is of another form.
    """
    if not isinstance(header, dict):
        raise ValueError(f"its metadata is {header!r:.60}, no JSON object")
    if header.get("format", FORMAT) != FORMAT:
        raise ValueError(f"its format is {header['format']!r:.60}, not {FORMAT}; a newer archrep may read it")
    for name in ("columns", "provenance"):
        if not isinstance(header.get(name, {}), dict):
            raise ValueError(f"its {name} are {header[name]!r:.60}, no JSON object")
    for name, facts in header.get("columns", {}).items():
        if not isinstance(facts, dict) or any(isinstance(value, dict | list) for value in facts.values()):
            raise ValueError(f"of column {name!r:.40} it tells {facts!r:.60}, no plain facts")
        if not all(isinstance(facts.get(key, ""), str) for key in ("unit", "meaning")):
            raise ValueError(f"unit and meaning of column {name!r:.40} are no text")
        if facts.get("direction", "higher") not in DIRECTIONS:
            raise ValueError(f"the direction of column {name!r:.40} is {facts['direction']!r:.40}, not higher or lower")
    return header
