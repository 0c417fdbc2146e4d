"""Pools: classes, neighbours, selection labels, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from archrep import architectures
from archrep.data.labels import read_labels
from archrep.errors import ArchrepError
from archrep.probe.encoders import Context, encode
from archrep.search import make_pool
from archrep.search.neighbourhood import edits, nearest


def pool_of(path, space="nasbench_macro", target="accuracy", **more):
    labels = read_labels(path)
    return make_pool(labels, space, target, (), Context(labels.table), **more)


def test_selection_and_reported_labels_are_told_apart(pool, planted):
    table = pd.read_csv(planted, dtype={"arch": str}).set_index("arch")
    assert pool.selected_by == "accuracy_val"
    np.testing.assert_allclose(pool.value, table.loc[pool.names, "accuracy_val"])
    np.testing.assert_allclose(pool.test, table.loc[pool.names, "accuracy"])
    assert pool.notes == []
    assert pool.classes < len(pool.names)


def test_a_step_edits_one_operation():
    cells = np.random.default_rng(0).permutation(np.array(list(architectures("nasbench201:all")), object))[:8000]
    neighbours = edits(cells)
    assert edits(cells[:400]) is None  # these hold too few of each other's edits
    for position in (0, 17, 4000):
        mine = cells[position].id
        near = {cells[i].id for i in neighbours.of(position)}
        there = {other.id for other in cells if _edited(mine, other.id) == 1}
        assert near == there


def _edited(one, other):
    a, b = (name.replace("+", "").split("|") for name in (one, other))
    return sum(x != y for x, y in zip(a, b, strict=True))


def test_where_cells_have_no_edits_the_nearest_are_neighbours(small):
    x = encode("op-counts", small, Context())
    near = nearest(x, "op-counts", 3)
    z = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
    distance = np.linalg.norm(z[:, None] - z[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    for i in range(len(x)):
        assert len(near.of(i)) == 3
        assert distance[i, near.of(i)].max() <= np.sort(distance[i])[2] + 1e-4


def test_labels_that_are_missing_are_left_out_and_said(planted, tmp_path):
    table = pd.read_csv(planted, dtype={"arch": str})
    table.loc[:4, "accuracy_val"] = np.nan
    table.loc[10:12, "accuracy"] = np.nan
    table.loc[len(table)] = ["torchvision:resnet50", 70.0, 71.0, 1e6]
    table.to_csv(tmp_path / "l.csv", index=False)
    pool = pool_of(tmp_path / "l.csv")
    assert len(pool.names) == 400 - 5 - 3
    assert np.isfinite(pool.value).all()
    assert sorted(pool.notes) == [
        "1 labels of other spaces, left out",
        "3 labels that are not finite",
        "5 architectures without a finite accuracy_val, left out",
    ]


def test_one_kind_of_label_serves_for_both(planted, tmp_path):
    table = pd.read_csv(planted, dtype={"arch": str})
    table.drop(columns="accuracy_val").to_csv(tmp_path / "test.csv", index=False)
    table.drop(columns="accuracy").to_csv(tmp_path / "val.csv", index=False)
    only_test, only_val = pool_of(tmp_path / "test.csv"), pool_of(tmp_path / "val.csv")
    assert only_test.selected_by == "accuracy"
    assert "selects by accuracy, which it reports" in only_test.notes[0]
    assert (only_val.selected_by, only_val.target.name) == ("accuracy_val", "accuracy_val")
    np.testing.assert_array_equal(only_val.test, only_val.value)


def test_refusals(planted):
    with pytest.raises(ArchrepError, match="Unknown space 'nasbench'"):
        pool_of(planted, "nasbench")
    with pytest.raises(ArchrepError, match="no labels of the space 'nasbench201'; it has nasbench_macro"):
        pool_of(planted, "nasbench201")
    with pytest.raises(ArchrepError, match="Unknown target 'accurate'"):
        pool_of(planted, target="accurate")
    with pytest.raises(ArchrepError, match="different directions"):
        pool_of(planted, select_by="params")
