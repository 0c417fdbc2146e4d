"""Columns of the label table as an encoding: zero-cost proxies of a published table, early accuracies."""

from collections.abc import Sequence

import numpy as np

from archrep.errors import ArchrepError, lookup
from archrep.probe.encoders.context import Context
from archrep.space import Architecture


def encode_columns(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, d): the named columns of the label table.

    Args:
        argument: names of d numeric columns, separated by commas.

    Raises:
        ArchrepError: if there is no label table, no such numeric column, or a value is missing.
    """
    if context.labels is None:
        raise ArchrepError("The encoder 'columns' reads a label table; give --labels.")
    names = [name for name in argument.split(",") if name]
    numeric = context.labels.select_dtypes("number")
    known = dict.fromkeys(map(str, numeric.columns.drop("seeds", errors="ignore")))
    if not names:
        raise ArchrepError(f"Name a column: columns:NAME,NAME. The label table has {', '.join(known)}.")
    for name in names:
        lookup(known, name, "numeric column of the label table")
    ids = [a.id for a in architectures]
    values = numeric[names].reindex(ids).to_numpy(dtype=np.float64)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise ArchrepError(
            f"The label table has no {', '.join(names)} of {(~finite).sum()} of {len(ids)} architectures, such as "
            f"{ids[int((~finite).argmax())]}. Take these rows out, or name other columns."
        )
    return values
