"""The same results on a GPU as on the CPU: embeddings, predicted tensors, gradients."""

import pytest
import torch

from archrep import GHN

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
