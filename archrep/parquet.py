"""Reading Parquet files of unknown origin: a small one may claim, in a few bytes, more than a machine holds."""

from collections.abc import Iterator
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
        ArchrepError: if it is no such file, has two columns of one name, or claims more than SMALL bytes and RATIO
            times what it has.
    """
    try:
        return _checked(path)
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise ArchrepError(f"{path}: not a readable Parquet file ({first_line(error)}).") from error


def refuse_claims(path: Path, nulls: int = 0, width: int = 8) -> tuple[int, int]:
    """How many bytes a file unfolds to, and how many it may.

    Args:
        nulls: values that no page holds. width: bytes that every value takes.

    Raises:
        ValueError: if it unfolds to more.
    """
    claimed, most = unfolded(path, width) + width * nulls, max(SMALL, RATIO * path.stat().st_size)
    if claimed > most:
        raise ValueError(f"it claims {claimed / 2**30:.1f} GiB")
    return claimed, most


def _checked(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        fields, rows = list(file.schema_arrow), file.metadata.num_rows
        leaves = [file.schema.column(i) for i in range(len(file.schema))]
    names = [field.name for field in fields]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"its column {twice!r:.40} occurs more than once")
    widest = max([8, *(leaf.length for leaf in leaves if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY")])
    claimed, most = refuse_claims(path, rows * sum(_fixed(f.type) for f in fields), widest)
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    table = pq.read_table(path, read_dictionary=texts, page_checksum_verification=True)
    table.validate(full=True)  # that text is text, and lists end within their values
    for position, (field, column) in enumerate(zip(fields, table.columns, strict=True)):
        size = sum(_unfolded_texts(chunk) for chunk in column.chunks)
        claimed += size
        if claimed > most:
            raise ValueError(f"its column {field.name!r:.40} claims {size / 2**30:.1f} GiB")
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        table = table.set_column(position, field.name, column.cast(kind))
    return table


def _unfolded_texts(array: pa.Array) -> int:
    """Bytes of all texts of a column, at any depth, once they are no dictionaries."""
    return sum(pc.sum(pc.binary_length(d.dictionary).take(d.indices)).as_py() or 0 for d in _dictionaries(array))


def is_text(kind: pa.DataType) -> bool:
    """Whether a column is of text, however Arrow keeps it."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _dictionaries(array: pa.Array) -> Iterator[pa.DictionaryArray]:
    """Those of text that a column consists of."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from [array] if pa.types.is_binary(kind.value_type) or is_text(kind.value_type) else []
    elif pa.types.is_struct(kind):
        for part in array.flatten():
            yield from _dictionaries(part)
    elif pa.types.is_map(kind):
        yield from _dictionaries(array.keys)
        yield from _dictionaries(array.items)
    elif kind.num_fields:  # lists
        yield from _dictionaries(array.flatten())


def _fixed(kind: pa.DataType) -> int:
    """Values of a row in lists of a fixed size, which are there for nulls, too."""
    size = 1 if kind.num_fields else 0
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
    return size * max([1, *(_fixed(kind.field(i).type) for i in range(kind.num_fields))])
