"""Reading Parquet files of unknown origin: a small one may claim, in a few bytes, more than a machine holds."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from archrep.errors import ArchrepError, first_line

SMALL = 2**28  # bytes that any file may unfold to; and for each byte of the file:
RATIO = 2000


def read_parquet(path: Path) -> pa.Table:
    """Reads a table that is not much larger than its file lets expect.

    Runs of one value cost a file nothing, and neither do repeated texts or the nulls of lists of a fixed size: all
    that is added up before it is unfolded. Texts are read as dictionaries for that.

    Raises:
        ArchrepError: if it is no such file, or claims more than SMALL bytes and RATIO times what it has.
    """
    try:
        return _checked(path)
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise ArchrepError(f"{path}: not a readable Parquet file ({first_line(error)}).") from error


def refuse_claims(path: Path, values: int) -> int:
    """How many bytes a file may unfold to.

    Raises:
        ValueError: if that is less than `values` take, of 8 bytes each.
    """
    most = max(SMALL, RATIO * path.stat().st_size)
    if 8 * values > most:
        raise ValueError(f"it claims {8 * values / 2**30:.1f} GiB")
    return most


def _checked(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        fields, meta = list(file.schema_arrow), file.metadata
    groups = [meta.row_group(g) for g in range(meta.num_row_groups)]
    values = sum(g.column(c).num_values for g in groups for c in range(g.num_columns))
    claimed = 8 * (values + meta.num_rows * sum(_fixed(f.type) for f in fields))
    most = refuse_claims(path, claimed // 8)
    texts = [f.name for f in fields if pa.types.is_string(f.type) or pa.types.is_binary(f.type)]
    table = pq.read_table(path, read_dictionary=texts, page_checksum_verification=True)
    table.validate(full=True)  # that text is text, and lists end within their values
    for name in texts:
        column = table[name]
        unfolded = sum(pc.sum(pc.binary_length(c.dictionary).take(c.indices)).as_py() or 0 for c in column.chunks)
        claimed += unfolded
        if claimed > most:
            raise ValueError(f"its column {name!r:.40} claims {unfolded / 2**30:.1f} GiB")
        position = table.column_names.index(name)
        table = table.set_column(position, fields[position], column.cast(fields[position].type))
    return table


def _fixed(kind: pa.DataType) -> int:
    """Values of a row in lists of a fixed size, which are there for nulls, too."""
    size = 1 if kind.num_fields else 0
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
    return size * max([1, *(_fixed(kind.field(i).type) for i in range(kind.num_fields))])
