"""Graphs for a GHN: as a list, as a torch_geometric batch, collated before; with and without numba."""

import subprocess
import sys

import pytest
import torch
from torch_geometric.data import Batch

from archrep import GHN, GHNConfig
from archrep.errors import ArchrepError
from archrep.ghn import kernel
from archrep.graph.batch import GraphBatch
from archrep.space.dataset import DeepNets
from archrep.space.deepnets import generate


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Graphs from a store, which hold tensors only."""
    folder = tmp_path_factory.mktemp("stores") / "test"
    generate(folder, "deepnets-small", "test", size=4, workers=1)
    return [DeepNets(f"deepnets-small:{folder}")[i] for i in range(4)]


@pytest.fixture(params=["made", "stored"])
def graphs(request, small, stored):
    return stored if request.param == "stored" else [architecture.graph for architecture in small[:4]]


@pytest.mark.parametrize("compiled", [True, False])
def test_torch_geometric_batch(graphs, ghn, compiled, monkeypatch):
    batch = Batch.from_data_list(graphs)
    monkeypatch.setattr(kernel, "COMPILES", compiled)
    assert torch.equal(ghn.embed(batch), ghn.embed(graphs))
    assert torch.equal(ghn.embed(batch, batch_size=1), ghn.embed(graphs, batch_size=1))
    assert torch.equal(ghn(batch), ghn(graphs))
    for values, expected in zip(ghn.predict_many(batch), ghn.predict_many(graphs), strict=True):
        assert list(values) == list(expected)
        assert all(map(torch.equal, values.values(), expected.values()))


def test_vocabulary_of_a_torch_geometric_batch(graphs):
    ghn = GHN.untrained(GHNConfig(vocabulary="extended"))
    for function in (ghn, ghn.embed, ghn.predict_many):
        with pytest.raises(ArchrepError, match="vocabulary='extended'"):
            function(Batch.from_data_list(graphs))


def test_one_graph_is_no_list(small, ghn):
    with pytest.raises(ArchrepError, match="list of graphs"):
        ghn.embed(small[0].graph)


@pytest.mark.parametrize("config", [GHNConfig(), GHNConfig(virtual_edges=False), GHNConfig(gnn="mlp")])
def test_collated_before(small, config, monkeypatch):
    """Same parameters and same gradients, and nothing is collated again."""
    graphs = [architecture.graph for architecture in small[:4]]
    ghn, batch = GHN.untrained(config), GraphBatch.from_graphs(graphs)
    results = []
    for prepared in (None, batch):
        if prepared is not None:
            monkeypatch.setattr(GraphBatch, "from_graphs", None)
        ghn.zero_grad()
        predicted = [value for values in ghn.predict_many(graphs, prepared) for value in values.values()]
        sum(value.square().mean() for value in predicted).backward()
        results.append([*predicted, *(p.grad for p in ghn.parameters() if p.grad is not None)])
    assert all(map(torch.equal, *results))
    with torch.no_grad():  # on a CPU, the kernel does not need it
        assert torch.equal(ghn(graphs, batch), ghn(graphs))


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None  # as if it were not installed
import torch
from archrep import GHN, architectures
from archrep.ghn import kernel
assert not kernel.COMPILES
graphs = [a.graph for a in architectures("deepnets-small:test:0-2")]
distances = [torch.from_numpy(g.distance_matrix) for g in graphs]
levels = [torch.from_numpy(g.levels) for g in graphs]
torch.save((GHN.untrained(seed=3).embed(graphs), distances, levels), sys.argv[1])
"""


def test_without_numba(small, ghn, tmp_path):
    subprocess.run([sys.executable, "-c", WITHOUT_NUMBA, tmp_path / "result.pt"], check=True)
    embeddings, distances, levels = torch.load(tmp_path / "result.pt")
    graphs = [architecture.graph for architecture in small[:3]]
    torch.testing.assert_close(embeddings, ghn.embed(graphs))
    for graph, distance, level in zip(graphs, distances, levels, strict=True):
        assert torch.equal(distance, torch.from_numpy(graph.distance_matrix))
        assert torch.equal(level, torch.from_numpy(graph.levels))
