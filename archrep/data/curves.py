"""Training curves that `archrep measure` keeps beside the labels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from archrep.data.tables import read_table
from archrep.errors import ArchrepError


def read_curves(path: Path) -> pd.DataFrame:
    """Training accuracy over the budget, averaged over seeds.

    Returns:
        One row per architecture, one column per fraction of the budget (the last is 1.0), in %. Runs whose curve was
        cut short, because they diverged, are left out.

    Raises:
        ArchrepError: if the table has no column `curve`, or curves of one length are none.
    """
    raw, _ = read_table(path, "labels", ("arch", "curve"))
    kind = raw.schema.field("curve").type
    if not (kind.num_fields == 1 and pa.types.is_floating(kind.value_type)):
        raise ArchrepError(f"{path}: column 'curve' holds {kind}, no lists of numbers; measure with `archrep measure`.")
    table = raw.select(["arch", "curve"]).to_pandas().dropna()
    lengths = table["curve"].map(len)
    steps = int(lengths.max()) if len(table) else 0
    if steps < 2:
        raise ArchrepError(f"{path}: its training curves have no two points; measure with `archrep measure`.")
    whole = table[lengths == steps]
    fractions = np.arange(1, steps + 1) / steps
    curves = pd.DataFrame(np.stack(whole["curve"].to_list()), columns=fractions).assign(arch=whole["arch"].to_numpy())
    return curves.groupby("arch", sort=False).mean()
