"""Parquet tables with provenance in their schema metadata; the base of label and embedding tables."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from archrep.errors import ArchrepError, first_line
from archrep.files import atomic

KEY = b"archrep"


def write_table(table: pa.Table, header: dict, path: Path, force: bool) -> None:
    """Writes a table and its header, atomically."""
    metadata = {**(table.schema.metadata or {}), KEY: json.dumps(header).encode()}
    with atomic(path, force) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary)


def read_table(path: Path, kind: str, required: tuple[str, ...]) -> tuple[pa.Table, dict]:
    """Reads a table and its header.

    Args:
        kind: what the file should be, for messages. required: columns it must have.

    Raises:
        ArchrepError: if the file is missing or truncated, or lacks a column.
    """
    if not Path(path).is_file():
        raise ArchrepError(f"{path}: no such {kind} table.")
    try:
        table = pq.read_table(path)
        header = json.loads((table.schema.metadata or {}).get(KEY, b"{}"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArchrepError(f"{path}: not a readable Parquet file ({first_line(error)}).") from error
    missing = [name for name in required if name not in table.column_names]
    if missing:
        raise ArchrepError(
            f"{path}: not a table of {kind}: no column {', '.join(missing)}; "
            f"its columns are {', '.join(table.column_names)}."
        )
    return table, header
