"""A small pool with planted labels: all 6,561 NAS-Bench-Macro networks are too many, 400 of them are real enough."""

import numpy as np
import pandas as pd
import pytest

from archrep.data.labels import read_labels
from archrep.probe.encoders import Context
from archrep.search import make_pool

ENCODERS = ("graph-features", "paths", "one-hot")


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """Label table: the more 5×5 convolutions the better, the first stage counts most; validation labels are noisy."""
    rng = np.random.default_rng(0)
    names = [np.base_repr(i, 3).zfill(8) for i in rng.permutation(3**8)[:400]]
    digits = np.array([[int(d) for d in name] for name in names])
    accuracy = 80 + (digits @ np.array([2, 1.5, 1, 0.8, 0.6, 0.4, 0.3, 0.2])) - (digits[:, 0] == 1)
    table = pd.DataFrame(
        {
            "arch": [f"nasbench_macro:{name}" for name in names],
            "accuracy": accuracy,
            "accuracy_val": accuracy + rng.normal(0, 0.1, 400),
            "params": digits.sum(axis=1) * 1e5 + 1e5,
        }
    )
    path = tmp_path_factory.mktemp("planted") / "labels.csv"
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def pool(planted):
    labels = read_labels(planted)
    return make_pool(labels, "nasbench_macro", "accuracy", ENCODERS, Context(labels.table))
