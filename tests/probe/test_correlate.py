"""τ of columns, and of probes on several targets of the shipped labels."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from archrep.data.labels import read_labels
from archrep.errors import ArchrepError
from archrep.probe.correlate import correlate, probe_targets
from archrep.probe.encoders import Context
from archrep.shipped import LABELS, shipped


def test_columns_are_correlated_with_intervals_around():
    rng = np.random.default_rng(0)
    y = rng.normal(size=60)
    columns = pd.DataFrame({"same": y, "less": -y + rng.normal(size=60), "none": rng.normal(size=60)})
    rows = correlate(columns, y, seed=1).set_index("encoder")
    for name in columns:
        assert rows.loc[name, "tau"] == pytest.approx(kendalltau(columns[name], y).statistic)
        assert rows.loc[name, "tau_low"] <= rows.loc[name, "tau"] <= rows.loc[name, "tau_high"]
    assert rows.loc["same", "tau"] == pytest.approx(1)
    assert rows.loc["less", "tau_high"] < 0
    assert rows.loc["none", "tau_low"] < 0 < rows.loc["none", "tau_high"]
    pd.testing.assert_frame_equal(correlate(columns, y, seed=1), rows.reset_index())
    with pytest.raises(ArchrepError, match="finite"):
        correlate(columns.assign(same=np.nan), y)


def test_size_tells_parameters_and_constant_targets_are_left_out():
    labels = read_labels(shipped(LABELS)).take(slice(40))
    labels.table["flat"] = 1.0
    rows = probe_targets(labels, ["params", "flat"], ["size", "op-counts"], Context(labels.table), repeats=1)
    assert rows[["target", "encoder"]].to_numpy().tolist() == [["params", "size"], ["params", "op-counts"]]
    by_encoder = rows.set_index("encoder")
    assert by_encoder.loc["size", "tau"] > 0.9
    assert by_encoder.loc["op-counts", "delta"] < 0
    assert (rows["n"] == 40).all()
    assert rows["ceiling"].isna().all()
