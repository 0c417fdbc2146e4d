"""DeepNets splits as torch_geometric datasets."""

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader, DynamicBatchSampler

import archrep
from archrep.errors import ArchrepError
from archrep.space.dataset import DeepNets, virtual_edges
from archrep.space.deepnets import Generated, generate


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores") / "test"
    generate(folder, "deepnets-small", "test", size=40, workers=1)
    return f"deepnets-small:{folder}"


def test_items_are_graphs(spec):
    stored, made = DeepNets(spec), DeepNets("deepnets-small:test:0-39")
    assert len(stored) == len(made) == 40
    for i in (0, 17, 39):
        assert stored[i].arch == made[i].arch == f"deepnets-small:test:{i}"
        assert stored[i].hash() == made[i].hash()
        assert stored[i].param_shapes == made[i].param_shapes
    assert stored.split.config(5) == made.split.config(5)


def test_slices_and_ranges(spec):
    dataset = DeepNets(spec)
    assert [g.arch for g in dataset[3:5]] == [g.arch for g in DeepNets(f"{spec}:3-4")]
    assert [g.arch for g in dataset[[7, 1]]] == ["deepnets-small:test:7", "deepnets-small:test:1"]
    assert len(DeepNets(Generated("deepnets-small", "wide"))) == 100
    with pytest.raises(IndexError):
        dataset[40]


def test_specs_that_are_no_split():
    for spec, message in [
        ("torchvision:resnet18", "Unknown DeepNets space"),
        ("deepnets-small:tset", "Did you mean 'test'"),
        ("deepnets:predefined", "no genotypes"),
    ]:
        with pytest.raises(ArchrepError, match=message):
            DeepNets(spec)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches(spec, ghn, workers):
    """Batches of a loader, also from other processes, embed as the graphs alone do."""
    dataset = DeepNets(spec, transform=virtual_edges)
    loader = DataLoader(dataset, batch_size=16, num_workers=workers)
    batches = list(loader)
    assert [name for batch in batches for name in batch.arch] == [g.arch for g in dataset]
    alone = [dataset[i] for i in range(16)]
    assert torch.equal(batches[0].primitive, torch.cat([g.primitive for g in alone]))
    firsts = batches[0].ptr.tolist()[:-1]
    pairs = torch.cat([g.virtual_edges + first for g, first in zip(alone, firsts, strict=True)], dim=1)
    assert torch.equal(batches[0].virtual_edge_index, pairs)
    assert torch.equal(batches[0].virtual_distance, torch.cat([g.distances for g in alone]))
    torch.testing.assert_close(ghn.embed(batches[0]), ghn.embed(alone))


def test_batches_within_a_budget_of_nodes(spec):
    dataset = DeepNets(spec)
    sampler = DynamicBatchSampler(dataset, max_num=400, shuffle=True)
    batches = [batch for batch in DataLoader(dataset, batch_sampler=sampler)]  # list() asks for the length: none here
    assert all(isinstance(batch, Batch) and batch.num_nodes <= 400 for batch in batches)
    assert sorted(name for batch in batches for name in batch.arch) == sorted(g.arch for g in dataset)


def test_parameters_of_stored_graphs_are_predicted(spec, ghn):
    """The lists of names and shapes, made when asked for, are those of the network."""
    graph = DeepNets(spec)[2]
    (architecture,) = archrep.architectures("deepnets-small:test:2")
    predicted, expected = ghn.predict(graph), ghn.predict(architecture.graph)
    assert predicted.keys() == expected.keys()
    assert all(torch.equal(predicted[name], expected[name]) for name in expected)
