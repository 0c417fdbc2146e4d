"""Graphs in a few columns."""

from torch import nn

from archrep import capture
from archrep.graph.summary import COLUMNS, summarise


def test_a_small_network():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, groups=8, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10, bias=False),
    )
    summary = summarise(capture(network, input_shape=(3, 8, 8)))
    assert tuple(summary) == COLUMNS
    assert summary["ops"] == "conv 2, sep_conv 1"
    assert summary["op_mix"] == "sep_conv"
    assert summary["params"] == 3 * 8 * 9 + 16 + 72 + 80
    assert (summary["nodes"], summary["depth"]) == (6, 5)


def test_nothing_but_convolutions():
    assert summarise(capture(nn.Conv2d(3, 8, 3), input_shape=(3, 8, 8)))["op_mix"] == "conv"
