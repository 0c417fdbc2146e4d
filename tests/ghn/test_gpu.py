"""The same results on a GPU as on the CPU: embeddings, predicted tensors, gradients."""

import pytest
import torch
from torch_geometric.data import Batch

from archrep import GHN
from archrep.graph.batch import GraphBatch

pytestmark = pytest.mark.gpu


@pytest.fixture
def ghns():
    return GHN.untrained(seed=1), GHN.untrained(seed=1).to("cuda")


def test_embeddings_and_tensors(small, ghns):
    cpu, gpu = ghns
    graphs = [a.graph for a in small]
    assert (gpu.embed(graphs, batch_size=256) - cpu.embed(graphs)).abs().max() <= 1e-4
    assert (gpu.embed([g.clone().to("cuda") for g in graphs]) - cpu.embed(graphs)).abs().max() <= 1e-4
    for name, value in gpu.predict(graphs[0]).items():
        torch.testing.assert_close(value.cpu(), cpu.predict(graphs[0])[name], rtol=1e-4, atol=1e-5)


def test_gradients(small, ghns):
    for ghn in ghns:
        sum(v.square().mean() for values in ghn.predict_many([small[0].graph]) for v in values.values()).backward()
    cpu, gpu = (dict(ghn.named_parameters()) for ghn in ghns)
    for name, parameter in cpu.items():
        if parameter.grad is not None:
            gap = (gpu[name].grad.cpu() - parameter.grad).norm()
            assert gap <= 1e-3 * parameter.grad.norm() + 1e-7, name


def test_a_batch_collated_before_in_pinned_memory(small, ghns):
    graphs = [a.graph for a in small[:4]]
    batch = GraphBatch.from_graphs(graphs).pin_memory()
    assert batch.distance.is_pinned()
    expected = ghns[1].predict_many(graphs)
    for prepared in (batch, batch.to("cuda")):
        for values, others in zip(ghns[1].predict_many(graphs, prepared), expected, strict=True):
            for name, value in values.items():
                torch.testing.assert_close(value, others[name], rtol=1e-4, atol=1e-6)


def test_a_torch_geometric_batch(small, ghns):
    graphs = [a.graph for a in small]
    batch = Batch.from_data_list(graphs)
    expected = ghns[0].embed(graphs)
    for given in (batch, batch.to("cuda")):
        assert (ghns[1].embed(given) - expected).abs().max() <= 1e-4
    closeness = GraphBatch.from_graphs(batch.to("cuda")).to("cuda").closeness
    assert torch.equal(closeness.cpu(), GraphBatch.from_graphs(graphs).closeness)
