"""Parameters and FLOPs."""

import torch
from torch import nn

from archrep.graph.cost import count_flops, count_params
from archrep.space.deepnets import Emitter, make_plan, sample


def test_known_counts():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(8 * 1024, 10)).train()
    assert count_params(network) == 216 + 81920 + 10
    assert count_flops(network) == 2 * (216 * 1024 + 81920)
    assert network.training


def test_direct_macs_equal_counted_flops(small):
    for architecture in small:
        split, index = architecture.split, int(architecture.id.split(":")[2])
        emitter = Emitter(make_plan(sample("deepnets-small", split, index)))
        with torch.device("meta"):
            network = architecture.build()
        assert 2 * emitter.macs == count_flops(network) == architecture.flops, architecture.id
        assert emitter.num_params == count_params(network)
