"""Quality of maps: laws on points whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from archrep.errors import ArchrepError
from archrep.probe.map_quality import map_quality, told_by_neighbors


@pytest.fixture
def plane():
    return np.random.default_rng(0).normal(size=(80, 2))


def test_a_map_that_is_the_embedding_is_perfect_and_rotations_do_not_matter(plane):
    turned = plane @ np.array([[0.0, 2.0], [-2.0, 0.0]]) + 3
    table = map_quality(plane, {0: plane, 1: turned}, k=5)
    assert table["trustworthiness"].tolist() == pytest.approx([1, 1])
    assert table["neighbors_kept"].tolist() == pytest.approx([1, 1])
    assert table["neighbors_shared"].tolist() == pytest.approx([1, 1])
    assert table["disparity"].to_numpy() == pytest.approx(0, abs=1e-9)


def test_a_random_map_is_not_trusted(plane):
    random = np.random.default_rng(1).normal(size=plane.shape)
    table = map_quality(plane, {0: plane, 7: random}, k=5).set_index("seed")
    assert table.loc[7, "trustworthiness"] < 0.65
    assert table.loc[7, "neighbors_kept"] < 0.2
    assert table.loc[0, "disparity"] > 0.8
    assert map_quality(plane, {0: plane}, k=5)["disparity"].isna().all()
    with pytest.raises(ArchrepError, match="at least 12"):
        map_quality(plane[:11], {0: plane[:11]}, k=5)


def test_neighbours_tell_what_varies_smoothly_and_twins_do_not_count(plane):
    noise = np.random.default_rng(2).normal(size=len(plane))
    columns = pd.DataFrame({"place": plane[:, 0], "noise": noise})
    told = told_by_neighbors({"map": plane}, columns, np.arange(len(plane)), k=5).set_index("target")
    assert told.loc["place", "tau_low"] > 0.6
    assert told.loc["noise", "tau_low"] < 0 < told.loc["noise", "tau_high"]
    twice, groups = np.repeat(plane, 2, axis=0), np.repeat(np.arange(len(plane)), 2)
    doubled = pd.DataFrame({"noise": np.repeat(noise, 2)})
    remembered = told_by_neighbors({"map": twice}, doubled, np.arange(len(twice)), k=1)["tau"][0]
    kept_apart = told_by_neighbors({"map": twice}, doubled, groups, k=1)["tau"][0]
    assert remembered == pytest.approx(1)
    assert abs(kept_apart) < 0.3
