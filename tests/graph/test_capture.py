"""Capture: hand-written networks with known graphs, and DeepNets against their direct graphs."""

import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import archrep
from archrep.errors import CaptureError


class Block(nn.Module):
    """A residual block with squeeze-and-excitation."""

    def __init__(self, c):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = nn.Conv2d(c, c, 3, padding=1, groups=c, bias=False), nn.BatchNorm2d(c)
        self.squeeze, self.excite = nn.Conv2d(c, c // 4, 1), nn.Conv2d(c // 4, c, 1)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu_(self.bn1(self.conv1(x)))))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        y = y * gate
        y += x
        return F.relu(y, inplace=True)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(True), nn.MaxPool2d(2))
        self.block = Block(16)
        self.head = nn.Linear(16, 10)
        self.spare = nn.Linear(2, 2)

    def forward(self, x):
        return self.head(self.block(self.stem(x)).mean((2, 3)))


def vgg():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 16, 3, padding=2, dilation=2, groups=8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d((2, 2)),
        nn.Flatten(),
        nn.Linear(64, 32),
        nn.Dropout(),
        nn.Linear(32, 10),
    )


def test_resnet_graph():
    graph = archrep.capture(ResNet())
    assert graph.primitives == [
        *("input", "conv", "bias", "bn", "max_pool", "conv", "bn", "sep_conv", "bn"),
        *("conv", "bias", "conv", "bias", "cse", "sum", "glob_avg", "conv", "bias"),
    ]
    assert graph.parameters[3] == ("stem.1.weight", "stem.1.bias")
    assert graph.param_names[1:3] == ["stem.0.weight", "stem.0.bias"]
    assert set(graph.unused) == {"spare.weight", "spare.bias"}
    cse = graph.primitives.index("cse")
    into = graph.edge_index[0][graph.edge_index[1] == cse].tolist()
    assert into == [8, 12]  # the block's features, and its gate


def test_squeeze_excite_is_seen_at_any_resolution():
    network = ResNet()
    assert archrep.capture(network, (3, 2, 2)).primitives == archrep.capture(network, (3, 64, 64)).primitives


def test_vgg_graph():
    graph = archrep.capture(vgg())
    assert graph.primitives == [
        *("input", "conv", "bias", "avg_pool", "dil_conv", "bias", "glob_avg", "conv", "bias", "conv", "bias"),
    ]
    assert graph.unused == ()


@pytest.mark.parametrize("make", [ResNet, vgg])
def test_every_parameter_once_and_predictable(make, ghn):
    network = make()
    graph = archrep.capture(network)
    owned = [name for names in graph.parameters for name in names]
    assert len(owned) == len(set(owned))
    assert set(owned) | set(graph.unused) == {name for name, _ in network.named_parameters()}
    predicted = ghn.predict(graph)
    assert list(predicted) == list(graph.param_shapes)
    result = network.load_state_dict(predicted, strict=False)
    assert not result.unexpected_keys
    assert all(torch.isfinite(v).all() for v in predicted.values())


def test_capture_leaves_everything_as_it_was():
    network = ResNet().train()
    network.block.eval()
    before = copy.deepcopy(network.state_dict())
    modes = [m.training for m in network.modules()]
    torch_state, python_state, numpy_state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    archrep.capture(network)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert modes == [m.training for m in network.modules()]
    assert torch.equal(torch_state, torch.get_rng_state())
    assert python_state == random.getstate()
    assert np.array_equal(numpy_state, np.random.get_state()[1])


def test_mode_weights_and_device_do_not_matter():
    network = ResNet()
    first = archrep.capture(network.train())
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(3)
    assert archrep.capture(network.eval()).hash() == first.hash()
    with torch.device("meta"):
        assert archrep.capture(ResNet()).hash() == first.hash()


def test_module_used_twice_owns_its_parameter_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)

        def forward(self, x):
            return self.conv(self.conv(x))

    graph = archrep.capture(Twice())
    assert graph.primitives == ["input", "conv", "conv"]
    assert graph.parameters == [(), ("conv.weight",), ()]
    assert graph.shape[1].tolist() == graph.shape[2].tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda self, x: torch.zeros(2, 10), "does not depend"),
        (lambda self, x: self.layer(x), "cannot run on inputs"),
        (lambda self, x: "text", "returns no tensor"),
    ],
)
def test_refusals_say_why(forward, message):
    network = type("Odd", (nn.Module,), {"forward": forward})()
    network.layer = nn.Linear(7, 3)
    with pytest.raises(CaptureError, match=message):
        archrep.capture(network)


def test_captured_equals_direct_graph(small):
    for architecture in small:
        captured, direct = archrep.capture(architecture.build()), architecture.graph
        assert captured.primitives == direct.primitives, architecture.id
        assert captured.parameters == direct.parameters
        assert captured.param_shapes == direct.param_shapes
        assert torch.equal(captured.edge_index, direct.edge_index)
        assert torch.equal(captured.shape, direct.shape)
        assert set(captured.unused) == set(direct.unused)
