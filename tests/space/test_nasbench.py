"""NAS-Bench-201, -101 and -Macro: the benchmarks' parameter counts and wiring, canonical ids, dead branches, errors."""

from collections import Counter

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import archrep
from archrep.errors import ArchrepError, CaptureError
from archrep.space import nasbench101, nasbench201

CELL201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"
BROKEN201 = "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_3x3~1|nor_conv_3x3~2|"
CELL101 = "100110100001001010101:02001"


def one(spec):
    (architecture,) = archrep.architectures(spec)
    return architecture


def on_meta(architecture):
    with torch.device("meta"):
        return architecture.build().eval()


def params(architecture):
    return sum(p.numel() for p in on_meta(architecture).parameters())


@pytest.mark.parametrize(
    ("spec", "space", "count"),
    [
        (f"nasbench201:{CELL201}", "nasbench201", 587_386),
        (f"nasbench201-cell:{CELL201}", "nasbench201-cell", 2 * (9 * 256 + 32) + 256 + 32),
        (f"nasbench101:{CELL101}", "nasbench101", 8_555_530),
        ("nasbench101:1:", "nasbench101", 882_570),
        ("nasbench_macro:02012100", "nasbench_macro", 890_666),
    ],
)
def test_graph_is_that_of_the_network(spec, space, count):
    before = torch.get_rng_state()
    architecture = one(spec)
    graph = architecture.graph
    assert torch.equal(before, torch.get_rng_state())
    assert (architecture.id, architecture.space, architecture.split) == (spec, space, "")
    network = architecture.build()
    assert graph.hash() == archrep.capture(network, architecture.input_shape).hash()
    assert graph.num_params == count
    assert not graph.unused
    shape = (16, 32, 32) if space == "nasbench201-cell" else (3, 32, 32)
    assert architecture.input_shape == shape
    assert network(torch.randn(2, *shape)).shape == ((2, *shape) if space == "nasbench201-cell" else (2, 10))


def test_all_of_nasbench201():
    ids = [a.id for a in archrep.architectures("nasbench201:all")]
    assert len(set(ids)) == len(ids) == 5**6
    assert ids[0] == "nasbench201:|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    assert ids[1] == ids[0].replace("none~2", "skip_connect~2")
    assert ids[5**5] == ids[0].replace("|none~0|+", "|skip_connect~0|+", 1)
    assert ids[-1] == ids[0].replace("none", "avg_pool_3x3")
    assert one(ids[4711]).id == ids[4711]


@pytest.mark.shared
def test_parameters_of_nasbench201(shared):
    """The table counts in millions, with six digits."""
    table = pd.read_csv(shared / "data" / "nasbench201" / "zero_cost_proxies.csv.gz")
    rows = table[table.dataset == "cifar10"][::3]
    assert len(rows) == 218
    for arch, millions in zip(rows.arch_str, rows.params, strict=True):
        assert f"{params(one(f'nasbench201:{arch}')) / 1e6:.6g}" == f"{millions:.6g}", arch


@pytest.mark.shared
def test_parameters_of_nasbench101(shared):
    text = {"adj_upper": str, "ops": str}
    table = pd.read_csv(shared / "data" / "nasbench101" / "accuracy.csv.gz", dtype=text)
    rows = pd.concat([table[table.n_vertices < 5], table[::75]])
    assert len(rows) > 200
    for adjacency, ops, count in zip(rows.adj_upper, rows.ops, rows.trainable_parameters, strict=True):
        architecture = one(f"nasbench101:{adjacency}:{ops}")
        assert architecture.id == f"nasbench101:{adjacency}:{ops}"  # the benchmark's cells are pruned
        assert params(architecture) == count, architecture.id


@pytest.mark.shared
def test_parameters_and_flops_of_nasbench_macro(shared):
    table = pd.read_csv(shared / "data" / "nasbench_macro" / "accuracy.csv.gz", dtype={"arch": str})
    rows = table[::32]
    assert len(rows) > 200
    for number, (arch, count, flops) in enumerate(zip(rows.arch, rows.params, rows.flops, strict=True)):
        architecture = one(f"nasbench_macro:{arch}")
        assert params(architecture) == count, arch
        if number % 40 == 0:  # the table's FLOPs are multiply-adds
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                on_meta(architecture)(torch.empty(1, 3, 32, 32, device="meta"))
            assert counter.get_total_flops() == 2 * flops, arch


def test_structure_of_nasbench201():
    """Stem, two residual blocks and classifier; a cell of skips is none of the graph's business."""
    frame = Counter(input=1, conv=8, bn=6, avg_pool=2, sum=2, glob_avg=1, bias=1)
    skip = "|skip_connect~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    assert Counter(one(f"nasbench201:{skip}").graph.primitives) == frame
    two_ways = "|none~0|+|nor_conv_3x3~0|none~1|+|avg_pool_3x3~0|none~1|skip_connect~2|"
    cells = Counter({"conv": 15, "bn": 15, "avg_pool": 15, "sum": 15})
    assert Counter(one(f"nasbench201:{two_ways}").graph.primitives) == frame + cells


def test_cell201_computes_what_the_benchmark_does():
    """The benchmark multiplies `none` by zero and computes dead edges; at initialisation the results are equal."""
    generator = torch.Generator().manual_seed(0)
    names = list(nasbench201.OPERATIONS)
    images = torch.randn(2, 16, 8, 8)
    zeros = 0
    for _ in range(60):
        operations = [names[i] for i in torch.randint(5, (6,), generator=generator)]
        cell = nasbench201.Cell(operations, 16)
        modules = iter(cell.operations)
        states = [images]
        for target in (1, 2, 3):
            edges = [name for (_, t), name in zip(nasbench201.EDGES, operations, strict=True) if t == target]
            pairs = zip(states, edges, strict=True)
            states.append(sum(h * 0 if name == "none" else next(modules)(h) for h, name in pairs))
        zeros += bool((states[3] == 0).all())
        torch.testing.assert_close(cell(images), states[3])
    assert 0 < zeros < 30


def test_dead_branches_are_unused():
    names = ("nor_conv_3x3~0", "none~0", "nor_conv_1x1~1", "avg_pool_3x3~0", "skip_connect~1", "none~2")
    dead_end = one("nasbench201-cell:|{}|+|{}|{}|+|{}|{}|{}|".format(*names))  # node 2 does not reach the output
    assert dead_end.graph.unused == tuple(f"operations.1.{name}" for name in ("1.weight", "2.weight", "2.bias"))
    no_source = one(f"nasbench201:{BROKEN201.replace('|+|none~0|nor_conv', '|+|skip_connect~0|nor_conv', 1)}")
    assert len(no_source.graph.unused) == 15 * 2 * 3  # edges 1→2 and 1→3 of every cell
    assert no_source.graph.num_params == params(one(no_source.id.replace("nor_conv_3x3~1", "none~1")))


@pytest.mark.parametrize("space", ["nasbench201", "nasbench201-cell"])
def test_cell_without_a_path(space):
    architecture = one(f"{space}:{BROKEN201}")
    with pytest.raises(CaptureError, match="output does not depend on its input") as error:
        _ = architecture.graph
    assert architecture.id in str(error.value)
    images = torch.randn(2, *architecture.input_shape)
    output = architecture.build().eval()(images)
    assert torch.equal(output[0], output[1])  # the same whatever the input


def test_channels_of_nasbench101():
    # Vertices 1, 2, 3 feed the output (4): 128 = 43 + 43 + 42. Vertex 1 feeds 2 and 3.
    fan = nasbench101.Genotype(frozenset({(0, 1), (1, 2), (1, 3), (1, 4), (2, 4), (3, 4)}), "000")
    assert nasbench101.vertex_channels(fan, 64, 128) == [64, 43, 43, 42, 128]
    # Vertex 1 feeds 2 and 3 only: it gets the wider one's channels.
    split = nasbench101.Genotype(frozenset({(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)}), "000")
    assert nasbench101.vertex_channels(split, 64, 9) == [64, 5, 5, 4, 9]


def test_cell101_computes_the_papers_cell():
    """Sums into vertices, truncation, concatenation, projections at every edge from the input."""
    edges = {(0, 1), (0, 3), (0, 4), (1, 2), (1, 3), (2, 4), (3, 4)}
    cell = nasbench101.Cell(nasbench101.Genotype(frozenset(edges), "021"), 6, 9).eval()
    assert cell.channels == [6, 5, 5, 4, 9]
    x = torch.randn(2, 6, 8, 8)

    def conv(block, x, padding):
        convolution, norm, _ = block
        y = F.conv2d(x, convolution.weight, padding=padding)
        return F.relu(F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias))

    p1, p3, p4 = (conv(cell.projections[v], x, 0) for v in ("1", "3", "4"))
    h1 = conv(cell.vertices[0], p1, 1)
    h2 = F.max_pool2d(h1, 3, 1, 1)
    h3 = conv(cell.vertices[2], h1[:, :4] + p3, 0)
    torch.testing.assert_close(cell(x), torch.cat([h2, h3], 1) + p4)


def test_structure_of_nasbench_macro():
    frame = Counter(input=1, conv=6, bn=5, glob_avg=1, bias=1)
    assert Counter(one("nasbench_macro:00000000").graph.primitives) == frame
    mbconv = Counter(conv=2, sep_conv=1, bn=3)
    # Layer 0 changes the shape, so its MBConv has no residual and replaces a 1×1 convolution; layer 1 has one.
    found = Counter(one("nasbench_macro:10000000").graph.primitives)
    assert found == frame + mbconv - Counter(conv=1, bn=1)
    graph = one("nasbench_macro:02000000").graph
    assert Counter(graph.primitives) == frame + mbconv + Counter(sum=1)
    assert (384, 1, 5, 5) in graph.param_shapes.values()


def test_nasbench101_ids_are_pruned():
    assert one("nasbench101:111001:01").id == "nasbench101:111:1"  # vertex 1 leads nowhere
    assert one("nasbench101:010011:01").id == "nasbench101:101:1"  # nothing leads to vertex 1
    eleven = "11111" + "1110" + "110" + "01" + "0"  # too many edges, but vertex 4 leads nowhere
    assert one(f"nasbench101:{eleven}:0121").id == "nasbench101:1111110101:012"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nasbench201:", "not an architecture of NAS-Bench-201. Expected nasbench201:|OP~0|+"),
        ("nasbench201:al", "or nasbench201:all; OP is one of none, skip_connect"),
        (f"nasbench201:{CELL201[:-1]}", "not an architecture of NAS-Bench-201"),
        (f"nasbench201:{CELL201.replace('~2', '~1')}", "not an architecture of NAS-Bench-201"),
        (f"nasbench201:{CELL201.replace('1x1', '5x5')}", "Did you mean 'nor_conv_3x3'?"),
        (f"nasbench201-cell:{CELL201}|", "Expected nasbench201-cell:"),
        ("nasbench101:", "expected nasbench101:ADJ_UPPER:OPS"),
        ("nasbench101:1101:0", "got 4 and 1"),
        ("nasbench101:121:0", "expected nasbench101:ADJ_UPPER:OPS"),
        ("nasbench101:111:3", "expected nasbench101:ADJ_UPPER:OPS"),
        ("nasbench101:111:0:0", "expected nasbench101:ADJ_UPPER:OPS"),
        (f"nasbench101:{'1' * 28}:000000", "for n = 2 … 7 vertices"),
        ("nasbench101:0:", "no path from the cell's input to its output"),
        ("nasbench101:100:1", "no path from the cell's input to its output"),
        ("nasbench101:1111111111:000", "10 edges; NAS-Bench-101 has cells up to 9"),
        ("nasbench_macro:", "8 digits"),
        ("nasbench_macro:0123012", "8 digits"),
        ("nasbench_macro:01230123", "2 MBConv expansion 6 kernel 5"),
        ("nasbench_macro:٠١٢٠١٢٠١", "8 digits"),
    ],
)
def test_malformed_specs(spec, message):
    with pytest.raises(ArchrepError) as error:
        archrep.architectures(spec)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
