"""Embedding tables: one row per architecture (design: files and formats)."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from archrep.data.tables import read_table, write_parts
from archrep.errors import ArchrepError

LARGEST = 1e15  # squares of larger values are no float32, nor are distances
Part = tuple[dict[str, list], np.ndarray]  # columns, (n, d) float32


@dataclass(frozen=True)
class Embeddings:
    """Embeddings (n, d) float32; row i belongs to `table.iloc[i]`, which is indexed by architecture."""

    table: pd.DataFrame
    values: np.ndarray
    header: dict


def write_embeddings(path: Path, columns: dict[str, list], values: np.ndarray, header: dict, force: bool) -> None:
    """Writes a table of architectures and their embeddings.

    Args:
        columns: `arch`, `space`, `split` and further facts, one entry per architecture.
        values: (n, d) float32.
        header: what the embeddings were made with.
    """
    write_embedding_parts(path, [(columns, values)], header, force)


def write_embedding_parts(path: Path, parts: Iterable[Part], header: dict, force: bool) -> int:
    """Like `write_embeddings`, part by part, so that only one of them is in memory; returns how many rows it wrote.

    Raises:
        ArchrepError: if there is no part, or the table cannot be written.
    """
    return write_parts((_table(*part) for part in parts), {"format": 1, "kind": "embeddings", **header}, path, force)


def _table(columns: dict[str, list], values: np.ndarray) -> pa.Table:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float32).ravel()), values.shape[1])
    return pa.table({**columns, "embedding": vectors})


def read_embeddings(path: Path) -> Embeddings:
    """Reads an embedding table.

    Raises:
        ArchrepError: if it is missing or damaged, or names an architecture twice or none.
    """
    raw, header = read_table(path, "embeddings", ("arch", "space", "split", "embedding"))
    column = raw["embedding"].combine_chunks()
    kind = column.type
    vectors = pa.types.is_fixed_size_list(kind) and (
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    )
    if not vectors or len(raw) == 0 or column.null_count:
        raise ArchrepError(
            f"{path}: column 'embedding' must hold vectors of one length; write it with `archrep embed`."
        )
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(raw), -1)
    if not (np.abs(values) <= LARGEST).all():
        raise ArchrepError(f"{path}: embeddings have NaN or infinite values, or some beyond {LARGEST:g}.")
    if raw["arch"].null_count:
        raise ArchrepError(f"{path}: a row names no architecture.")
    table = raw.drop_columns(["embedding"]).to_pandas().set_index("arch")
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise ArchrepError(f"{path}: architecture {twice[0]!r} occurs more than once.")
    return Embeddings(table, values, header)
