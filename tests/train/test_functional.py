"""Networks run with given parameters: skeletons compute what built networks do."""

import torch

from archrep.space import architectures
from archrep.train.functional import run, skeleton, use_batch_statistics

SPECS = ("deepnets-small:train:0-9", "deepnets-small:bnfree:0", "deepnets:predefined")


def test_a_skeleton_is_the_network():
    """Also where its blocks come from the skeletons of other networks, and no parameter stays behind."""
    x = torch.randn(2, 3, 32, 32)
    for architecture in 2 * list(architectures(*SPECS)):
        network = use_batch_statistics(architecture.build()).train()
        parameters = {name: p.detach() for name, p in network.named_parameters()}
        ours = skeleton(architecture).train()
        assert {name: p.shape for name, p in ours.named_parameters()} == {n: p.shape for n, p in parameters.items()}
        with torch.random.fork_rng():
            torch.manual_seed(0)  # dropout
            expected = network(x)
            torch.manual_seed(0)
            torch.testing.assert_close(run(ours, parameters, x), expected, rtol=1e-3, atol=1e-4)
        assert all(p.is_meta for p in ours.parameters())


def test_no_block_is_twice_in_a_skeleton():
    network = skeleton(next(iter(architectures("deepnets-small:deep:0"))))
    modules = [id(m) for _, m in network.named_modules(remove_duplicate=False)]
    assert len(modules) == len(set(modules))
