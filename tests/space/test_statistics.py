"""What `archrep info` counts, counted again from the architectures themselves."""

from collections import Counter

import numpy as np
import pytest

from archrep.plot.deepnets import draw_statistics
from archrep.plot.style import save_figure
from archrep.space.deepnets import Generated, Store, generate
from archrep.space.deepnets.sampler import standard
from archrep.space.deepnets.statistics import shared, statistics

N = 60


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [generate(folder / split, "deepnets-small", split, N, workers=1) for split in ("train", "test", "wide")]


def test_counts(stores):
    source = Generated("deepnets-small", "train")
    configs, graphs = ([get(i) for i in range(N)] for get in (source.config, source.graph))
    row = statistics(stores[0])
    assert (row["split"], row["architectures"]) == ("train", N)
    assert row["nodes"]["mean"] == pytest.approx(np.mean([len(g.primitive) for g in graphs]))
    assert row["edges"]["sd"] == pytest.approx(np.std([g.edge_index.shape[1] for g in graphs], ddof=1))
    assert row["params"]["max"] == max(standard(c).num_params for c in configs)
    assert row["path_length"]["min"] == pytest.approx(min(mean_path(g) for g in graphs))
    for cell in ("normal", "reduce"):
        ops = Counter(op for c in configs for op, _ in getattr(c.genotype, cell))
        assert row["ops"][cell] == pytest.approx({op: ops[op] / ops.total() for op in row["ops"][cell]})
    has = {"attention": "msa", "squeeze_excite": "cse"}
    assert all(row["shares"][k] == sum(op in c.genotype.ops for c in configs) / N for k, op in has.items())
    assert row["shares"]["batch_norm"] == sum(c.norm for c in configs) / N
    assert row["duplicates"] == N - len({g.hash(shapes=False) for g in graphs})
    for d in (row["nodes"], row["params"], row["n_cells"]):
        assert sum(d["histogram"]["counts"]) == N
        assert len(d["histogram"]["edges"]) == len(d["histogram"]["counts"]) + 1


def mean_path(graph):
    distance = graph.distance_matrix
    return distance[distance > 0].mean()


def test_duplicates_are_found(stores, monkeypatch):
    """Every architecture of the wide split is one of test with other channels; a store twice is all duplicates."""
    counted = {(p["first"], p["second"]): p["shared"] for p in shared(stores)}
    train, test, wide = (str(store.path) for store in stores)
    assert counted == {(train, test): 0, (train, wide): 0, (test, wide): N}
    twice = Store(stores[1].path)
    monkeypatch.setattr(twice, "shards", lambda: [twice.shard(0)] * 2)
    monkeypatch.setattr(Store, "__len__", lambda self: 2 * N)
    assert statistics(twice)["duplicates"] == N + statistics_of_one(stores[1])


def statistics_of_one(store):
    return N - len({store.graph(i).hash(shapes=False) for i in range(N)})


def test_figure(stores, tmp_path):
    rows = [statistics(store) for store in stores]
    png, svg, csv = save_figure(*draw_statistics(rows), tmp_path / "a")
    again = save_figure(*draw_statistics(rows), tmp_path / "b")
    assert [a.read_bytes() for a in (png, svg, csv)] == [b.read_bytes() for b in again]
    assert csv.read_text().splitlines()[0] == "split,quantity,statistic,value"
