"""Statistics of parameters, against numbers that are known."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kurtosis
from torch import nn

from archrep.errors import ArchrepError
from archrep.graph.capture import capture
from archrep.train.published import SPLITS
from archrep.train.published_rows import beside_published
from archrep.train.weight_statistics import weight_statistics


def test_moments_of_every_parameter():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )
    graph = capture(network, (3, 8, 8))
    own = dict(network.named_parameters())
    other = {name: value.detach() * 2 + 1 for name, value in own.items()}
    table = weight_statistics(graph, {"own": own, "other": other}).set_index("parameter")
    assert sorted(table.index) == sorted(own)
    assert table["kind"].to_dict() == {
        "0.weight": "weight",
        "0.bias": "bias",
        "1.weight": "scale",
        "1.bias": "bias",
        "4.weight": "weight",
        "4.bias": "bias",
    }
    weights = own["0.weight"].detach().double().numpy().ravel()
    assert table.loc["0.weight", "own_sd"] == pytest.approx(weights.std(ddof=1))
    assert table.loc["0.weight", "own_kurtosis"] == pytest.approx(kurtosis(weights))
    assert table.loc["0.weight", "other_sd"] == pytest.approx(2 * weights.std(ddof=1), rel=1e-5)
    assert table.loc["0.weight", "other_mean"] == pytest.approx(2 * weights.mean() + 1, rel=1e-5)
    assert table.loc["1.weight", "own_sd"] == 0
    assert np.isnan(table.loc["1.weight", "own_kurtosis"])
    with pytest.raises(ArchrepError, match=r"new parameters lack '0\.weight'"):
        weight_statistics(graph, {"new": {"1.weight": torch.ones(8)}})


def test_accuracies_stand_beside_the_published_ones():
    rows = pd.DataFrame(
        [("GHN-2", "wide", value) for value in (30.0, 40.0, 50.0)] + [("MLP", "test", 20.0), ("GHN-2", "odd", 1.0)],
        columns=["ghn", "split", "accuracy"],
    )
    table = beside_published(rows)
    assert table[["split", "ghn", "n"]].to_numpy().tolist() == [["test", "MLP", 1], ["wide", "GHN-2", 3]]
    wide = table.iloc[1]
    assert (wide["mean"], wide["best"], wide["published"]) == (40, 50, SPLITS["wide"][0])
    assert 30 <= wide["low"] < 40 < wide["high"] <= 50
