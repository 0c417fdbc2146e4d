"""Size: the strongest baseline in two numbers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from archrep.probe.encoders.context import Context
from archrep.space import Architecture


def encode_size(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, 2): log10 of parameters and FLOPs, from the label table where it has them."""
    ids = [a.id for a in architectures]
    labels = context.labels
    table = pd.DataFrame() if labels is None or not labels.index.isin(ids).any() else labels.reindex(ids)
    return params_and_flops(architectures, table)


def params_and_flops(architectures: Sequence[Architecture], table: pd.DataFrame) -> np.ndarray:
    """(n, 2): log10 of parameters and FLOPs, from the label table where it has them."""
    columns = ["params", "flops"]
    if set(columns) <= set(table) and np.isfinite(table[columns].to_numpy(dtype=float)).all():
        values = table[columns].to_numpy()
    else:
        values = np.array([[a.graph.num_params, a.flops] for a in architectures])
    return np.log10(np.maximum(values, 1))
