"""Reading Parquet files of unknown origin: a small one may claim, in a few bytes, more than a machine holds."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from archrep.errors import ArchrepError, first_line
from archrep.parquet_pages import unfolded

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


def refuse_claims(path: Path, nulls: int = 0) -> tuple[int, int]:
    """How many bytes a file unfolds to, and how many it may.

    Args:
        nulls: values that no page holds.

    Raises:
        ValueError: if it unfolds to more.
    """
    claimed, most = unfolded(path) + 8 * nulls, max(SMALL, RATIO * path.stat().st_size)
    if claimed > most:
        raise ValueError(f"it claims {claimed / 2**30:.1f} GiB")
    return claimed, most


def _checked(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        fields, rows = list(file.schema_arrow), file.metadata.num_rows
    claimed, most = refuse_claims(path, rows * sum(_fixed(f.type) for f in fields))
    texts = [f.name for f in fields if pa.types.is_string(f.type) or pa.types.is_binary(f.type)]
    table = pq.read_table(path, read_dictionary=texts, page_checksum_verification=True)
    table.validate(full=True)  # that text is text, and lists end within their values
    for name in texts:
        column = table[name]
        size = sum(pc.sum(pc.binary_length(c.dictionary).take(c.indices)).as_py() or 0 for c in column.chunks)
        claimed += size
        if claimed > most:
            raise ValueError(f"its column {name!r:.40} claims {size / 2**30:.1f} GiB")
        position = table.column_names.index(name)
        table = table.set_column(position, fields[position], column.cast(fields[position].type))
    return table


def _fixed(kind: pa.DataType) -> int:
    """Values of a row in lists of a fixed size, which are there for nulls, too."""
    size = 1 if kind.num_fields else 0
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
    return size * max([1, *(_fixed(kind.field(i).type) for i in range(kind.num_fields))])
