"""Accuracies of predicted parameters by split, beside those of the released GHNs."""

import pandas as pd

from archrep.train.evaluate import mean_interval
from archrep.train.published import GHNS, SPLITS


def beside_published(rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """One row per split and GHN.

    Args:
        rows: columns `ghn` (a name of `GHNS`), `split` and `accuracy` (%), one row per architecture.
        seed: of the bootstrap over architectures.

    Returns:
        Columns `split`, `ghn`, `n`, `mean`, `low`, `high` (95 %), `best` and `published`, in %; splits in the paper's
        order. `published` is that of the paper: other networks, larger ones, and 35 times the training.
    """
    found = []
    for split, published in SPLITS.items():
        for ghn, value in zip(GHNS, published, strict=True):
            own = rows.loc[(rows["split"] == split) & (rows["ghn"] == ghn), "accuracy"].to_numpy()
            if len(own) == 0:
                continue
            low, high = mean_interval(own, seed)
            row = {"split": split, "ghn": ghn, "n": len(own), "mean": own.mean(), "low": low, "high": high}
            found.append(row | {"best": own.max(), "published": value})
    return pd.DataFrame(found)
