"""Graphs emitted from genotypes are those that capture sees in the networks: nodes, edges, names and leftovers."""

import contextlib
import time

import pandas as pd
import pytest
import torch

import archrep
from archrep.errors import CaptureError
from archrep.graph.capture import capture
from archrep.graph.cost import count_flops

LISTS = ("primitives", "kinds", "param_names", "parameters", "parameter_shapes")


def captured(architecture, vocabulary):
    with torch.device("meta"):
        network = architecture.build()
    return capture(network, architecture.input_shape, vocabulary=vocabulary)


def assert_same(architecture, vocabulary="released"):
    emitted, wanted = architecture.graph_in(vocabulary), captured(architecture, vocabulary)
    assert torch.equal(emitted.edge_index, wanted.edge_index), architecture.id
    assert torch.equal(emitted.shape, wanted.shape), architecture.id
    for name in LISTS:
        assert getattr(emitted, name) == getattr(wanted, name), (architecture.id, name)
    assert emitted.unused == wanted.unused
    assert emitted.tied == wanted.tied
    assert emitted.hash() == wanted.hash()
    with torch.device("meta"):
        assert architecture.flops == count_flops(architecture.build(), architecture.input_shape)


@pytest.mark.parametrize("space", ["nasbench201", "nasbench201-cell"])
@pytest.mark.parametrize("vocabulary", ["released", "extended"])
def test_nasbench201(space, vocabulary):
    every = list(archrep.architectures(f"{space}:all"))
    refused = 0
    for i in torch.randperm(len(every), generator=torch.Generator().manual_seed(3))[:25].tolist():
        try:
            assert_same(every[i], vocabulary)
        except CaptureError:
            refused += 1
            with pytest.raises(CaptureError, match="does not depend on its input"):
                captured(every[i], vocabulary)
    assert refused < 4


@pytest.mark.parametrize(
    "cell",
    [
        "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
        "|none~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|nor_conv_3x3~1|skip_connect~2|",  # nothing reaches 1
        "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|nor_conv_1x1~0|none~1|none~2|",  # nothing leaves 2
    ],
)
def test_identities_and_dead_branches_of_nasbench201(cell):
    for space in ("nasbench201", "nasbench201-cell"):
        (architecture,) = archrep.architectures(f"{space}:{cell}")
        assert_same(architecture)


@pytest.mark.parametrize("digits", ["00000000", "22222222", "01210210", "10021102"])
def test_nasbench_macro(digits):
    (architecture,) = archrep.architectures(f"nasbench_macro:{digits}")
    assert_same(architecture)


@pytest.mark.parametrize("cell", ["1:", "111:2", "100110100001001010101:02001", "110011:01"])
def test_nasbench101(cell):
    (architecture,) = archrep.architectures(f"nasbench101:{cell}")
    assert_same(architecture, "extended")


@pytest.mark.shared
def test_nasbench101_of_the_table(shared):
    table = pd.read_csv(shared / "data/nasbench101/accuracy.csv.gz", dtype={"adj_upper": str, "ops": str})
    for adjacency, ops in table[["adj_upper", "ops"]].sample(15, random_state=0).itertuples(index=False):
        (architecture,) = archrep.architectures(f"nasbench101:{adjacency}:{ops}")
        assert_same(architecture)


def test_a_graph_takes_milliseconds():
    cells = list(archrep.architectures("nasbench201:all"))[-400:]
    start = time.perf_counter()
    for cell in cells:
        with contextlib.suppress(CaptureError):
            _ = cell.graph
    assert (time.perf_counter() - start) / len(cells) < 0.02  # capture takes 0.1 s and more
