"""Nearest neighbours against the definition; what differs between architectures."""

import time

import numpy as np
import pandas as pd
import pytest

from archrep import architectures
from archrep.data.embeddings import Embeddings
from archrep.errors import ArchrepError
from archrep.search import nearest
from archrep.search.difference import difference


def table_of(values):
    names = [f"a:{i:07d}" for i in range(len(values))]
    return Embeddings(pd.DataFrame({"space": "a"}, index=pd.Index(names, name="arch")), values.astype(np.float32), {})


@pytest.fixture(scope="module")
def thousand():
    return table_of(np.random.default_rng(0).normal(size=(1000, 8)))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_they_are_the_nearest(thousand, metric):
    from scipy.spatial.distance import cdist

    distance = cdist(thousand.values[[7]], thousand.values, metric)[0]
    distance[7] = np.inf
    found = nearest(thousand, "a:0000007", 10, metric)
    assert found.names == [thousand.table.index[i] for i in np.argsort(distance)[:10]]
    np.testing.assert_allclose(found.distances, np.sort(distance)[:10], rtol=1e-4, atol=1e-6)
    assert found.tied == 0


def test_an_embedding_of_its_own(thousand):
    found = nearest(thousand, thousand.values[7], 1)
    assert (found.names, found.distances[0]) == (["a:0000007"], 0)


def test_ties_come_by_name_and_are_counted():
    values = np.zeros((6, 2))
    values[5] = 1
    found = nearest(table_of(values), "a:0000002", 2)
    assert (found.names, found.tied) == (["a:0000000", "a:0000001"], 2)


def test_fewer_than_asked_for(thousand):
    assert len(nearest(table_of(thousand.values[:3]), "a:0000001", 10).names) == 2


def test_refusals(thousand):
    cases = {
        "not in the table of 1,000": dict(query="b:1"),
        "Unknown metric 'manhattan'": dict(query="a:0000001", metric="manhattan"),
        "at least 1; got 0": dict(query="a:0000001", k=0),
        "Expected a finite embedding of 8 numbers; got 3": dict(query=np.zeros(3)),
        "Expected a finite": dict(query=np.full(8, np.nan)),
    }
    for message, arguments in cases.items():
        with pytest.raises(ArchrepError, match=message):
            nearest(thousand, **arguments)
    with pytest.raises(ArchrepError, match="no other architecture"):
        nearest(table_of(np.zeros((1, 2))), "a:0000000")


def test_one_among_a_million_takes_less_than_a_second():
    rng = np.random.default_rng(0)
    embeddings = table_of(rng.normal(size=(1_000_000, 32)).astype(np.float32))
    nearest(embeddings, "a:0000001")  # which builds the index of names
    began = time.process_time()
    found = nearest(embeddings, "a:0123456", 10)
    assert time.process_time() - began < 1
    assert len(found.names) == 10


def one(spec):
    (architecture,) = architectures(spec)
    return architecture


CELL = "nasbench201:|{}~0|+|none~0|{}~1|+|none~0|none~1|nor_conv_3x3~2|"


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (CELL.format("skip_connect", "nor_conv_1x1"), CELL.format("nor_conv_1x1", "skip_connect"),
         "computes the same; edge 0→1: skip_connect → nor_conv_1x1; edge 1→2: nor_conv_1x1 → skip_connect"),
        (CELL.format("nor_conv_3x3", "nor_conv_1x1"), CELL.format("avg_pool_3x3", "nor_conv_1x1"),
         "edge 0→1: nor_conv_3x3 → avg_pool_3x3"),
        ("nasbench_macro:01210210", "nasbench_macro:01210211", "layer 7: 0 → 1"),
        ("nasbench101:111111:01", "nasbench101:111111:01", "computes the same"),
    ],
)  # fmt: skip
def test_differences_of_cells(a, b, words):
    assert difference(one(a), one(b)) == words


def test_differences_of_networks(small):
    a, b = small[:2]
    assert difference(a, a) == "computes the same"
    words = difference(a, b)
    assert f"fc_layers {a.config.fc_layers} → {b.config.fc_layers}" in words or a.config.fc_layers == b.config.fc_layers
    for op in set(a.config.genotype.ops) | set(b.config.genotype.ops):
        normal = [sum(name == op for name, _ in c.config.genotype.normal) for c in (a, b)]
        assert (f"{normal[1] - normal[0]:+d} {op}" in words.partition("reduce cell")[0]) == (normal[0] != normal[1])
    across = difference(one("deepnets:predefined:0"), one("nasbench_macro:01210210"))
    assert "parameters 23,520,842 → " in across
    assert "-1 max_pool" in across or "conv" in across
