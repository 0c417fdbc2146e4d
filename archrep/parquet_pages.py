"""What the pages of a Parquet file unfold to, read from their headers alone.

Arrow takes memory for what a page claims, and where it looks at such claims without reading, damage in a footer ends
the process. Headers are structs of Thrift's compact protocol (parquet-format, README.md and parquet.thrift).
"""

import mmap
from pathlib import Path

MAGIC = b"PAR1"
Struct = dict[int, object]  # field id → value


def unfolded(path: Path, width: int = 8) -> int:
    """Bytes that all pages take at most, with `width` for every value.

    Raises:
        ValueError: if it is no Parquet file, or its pages do not lie where its footer says.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise ValueError("it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end = len(data) - 8
            start = end - int.from_bytes(data[end : end + 4], "little")
            if data[:4] != MAGIC or data[-4:] != MAGIC or start < 4:
                raise ValueError("it does not begin and end as a Parquet file")
            try:
                footer, _ = _struct(data, start)
                columns = [column for group in footer[4] for column in group[1]]  # type: ignore[attr-defined]
                return sum(_chunk(data, column[3], start, width) for column in columns)
            except (IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise ValueError(f"its headers are damaged ({type(error).__name__})") from error


def _chunk(data: mmap.mmap, meta: dict, limit: int, width: int) -> int:
    """Of a column's pages in a row group."""
    at = min(offset for offset in (meta.get(9), meta.get(11)) if offset)  # its data pages, and before them a dictionary
    end, total = at + meta[7], 0
    if not 4 <= at <= end <= limit:
        raise ValueError("a column lies outside of the file")
    while at < end:
        header, at = _struct(data, at)
        values = next((header[kind][1] for kind in (5, 7, 8) if kind in header), 0)  # type: ignore[index]
        if not (header[2] >= 0 and header[3] >= 0 and values >= 0):  # type: ignore[operator]
            raise ValueError("a page of negative size")
        total += header[2] + width * values  # type: ignore[operator]
        at += header[3]  # type: ignore[operator]
    return total


def _struct(data: mmap.mmap, at: int) -> tuple[Struct, int]:
    fields: Struct = {}
    number = 0
    while kind := data[at]:
        at += 1
        if kind >> 4:
            number += kind >> 4
        else:
            number, at = _integer(data, at)
        fields[number], at = (kind & 15 == 1, at) if kind & 15 in (1, 2) else _value(data, at, kind & 15)
    return fields, at + 1


def _value(data: mmap.mmap, at: int, kind: int) -> tuple[object, int]:
    if kind in (1, 2, 3):  # booleans in lists, and bytes
        return data[at], at + 1
    if kind in (4, 5, 6):
        return _integer(data, at)
    if kind == 7:
        return None, at + 8
    if kind == 8:
        size, at = _unsigned(data, at)
        return None, at + size
    if kind in (9, 10):
        size, inner, at = data[at] >> 4, data[at] & 15, at + 1
        if size == 15:
            size, at = _unsigned(data, at)
        items = []
        for _ in range(size):
            item, at = _value(data, at, inner)
            items.append(item)
        return items, at
    if kind == 12:
        return _struct(data, at)
    raise ValueError(f"its headers hold a field of kind {kind}")  # maps are in none


def _unsigned(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("its headers hold a number of more than 64 bits")


def _integer(data: mmap.mmap, at: int) -> tuple[int, int]:
    value, at = _unsigned(data, at)
    return (value >> 1) ^ -(value & 1), at  # zigzag
