"""Tables that others made: numbers, text and lists of them, from Parquet and CSV files of unknown origin."""

import gzip
import io
import zlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa

from archrep.errors import ArchrepError, first_line
from archrep.parquet import SMALL, is_text, read_parquet

TEXTS = ("arch", "space", "split", "protocol", "device", "processor")  # columns that are text wherever they are
RATIO = 100  # bytes that compressed text may unfold to, for each byte of the file; SMALL in any case


def read_frame(path: Path, types: Mapping[str, type] | None = None) -> pd.DataFrame:
    """Reads a Parquet file, or a CSV file by any other suffix.

    Args:
        types: of the columns of a CSV file whose values do not tell it.

    Raises:
        ArchrepError: as `read_plain` and `read_csv`.
    """
    return read_plain(path).to_pandas() if path.suffix == ".parquet" else read_csv(path, types)


def read_csv(path: Path, types: Mapping[str, type] | None = None) -> pd.DataFrame:
    """Reads a CSV file, compressed if its name ends in .gz.

    Raises:
        ArchrepError: if it is no such file, is damaged, or unfolds to more than SMALL bytes and RATIO times its own.
    """
    if not path.is_file():
        raise ArchrepError(f"{path}: no such file.")
    try:
        if path.suffix != ".gz":
            return pd.read_csv(path, dtype=types, compression=None)
        most = max(SMALL, RATIO * path.stat().st_size)
        with gzip.open(path) as file:
            text = file.read(most + 1)
        if len(text) > most:
            raise ValueError(f"it unfolds to more than {most / 2**30:.1f} GiB")
        return pd.read_csv(io.BytesIO(text), dtype=types)
    except (OSError, ValueError, EOFError, zlib.error) as error:  # pandas' parser errors are ValueErrors
        raise ArchrepError(f"{path}: not a readable CSV table ({first_line(error)}).") from error


def read_plain(path: Path) -> pa.Table:
    """Reads a table of numbers, text and lists of them, as archrep's commands take it.

    Decimals become float64, dates and times text, a column of nulls alone NaN. What pandas has noted of an index is
    left out: an index is a column like others.

    Raises:
        ArchrepError: as `read_parquet`; if a column holds anything else, or is one of `TEXTS` and no text.
    """
    table = read_parquet(path)
    metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key != b"pandas"}
    columns = {}
    for name in table.column_names:
        kind = table[name].type
        text = is_text(kind) or pa.types.is_null(kind)
        wanted = _plain(kind) if name not in TEXTS else pa.string() if text else None
        if wanted is None or (name == "seed" and wanted.num_fields):
            must = "it must be text" if name in TEXTS else "it must be a number" if name == "seed" else ""
            what = must or "numbers, text and lists of them are read. Leave it out"
            raise ArchrepError(f"{path}: column {name!r:.60} holds {kind!s:.60}; {what}.")
        try:
            columns[name] = table[name].cast(wanted)
        except (pa.ArrowException, ValueError, LookupError) as error:
            raise ArchrepError(f"{path}: column {name!r:.60}, {kind!s:.60}: {first_line(error)}.") from error
    return pa.table(columns, metadata=metadata)


def _plain(kind: pa.DataType) -> pa.DataType | None:
    """What a column is read as; None if it is none of ours."""
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _plain(kind.value_type)
        if inner is None or inner == kind.value_type:
            return inner and kind
        return pa.list_(inner, kind.list_size) if types.is_fixed_size_list(kind) else pa.large_list(inner)
    if is_text(kind) or (types.is_temporal(kind) and not types.is_interval(kind)):
        return pa.string()
    if types.is_float16(kind):
        return pa.float32()
    if types.is_decimal(kind) or types.is_null(kind):
        return pa.float64()
    return kind if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) else None
