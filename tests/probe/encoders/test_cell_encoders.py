"""One-hot, paths and Weisfeiler–Lehman: widths, values by hand, what changes them and what does not."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from archrep import architectures
from archrep.errors import ArchrepError
from archrep.probe.encoders import encode
from archrep.probe.encoders.paths import PATHS_201, _words
from archrep.space.nasbench201 import EDGES

SKIP, C1, C3, POOL = "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"
EXAMPLES = {
    "nasbench201": [
        "nasbench201:|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|",
        "nasbench201:|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    ],
    "nasbench101": ["nasbench101:110011:01", "nasbench101:101:0"],
    "nasbench_macro": ["nasbench_macro:01201201", "nasbench_macro:22222222"],
    "deepnets-small": ["deepnets-small:test:0-2", "deepnets-small:dense:0"],
}


def cell201(*ops):
    return "nasbench201:|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*ops)


def of(spec, *specs):
    return encode(spec, list(architectures(*specs)))


@pytest.mark.parametrize(
    ("spec", "space", "width"),
    [
        *[("one-hot", space, width) for space, width in zip(EXAMPLES, (30, 36, 24, 1115), strict=True)],
        *[("paths", space, width) for space, width in zip(EXAMPLES, (84, 364, 63, 1024), strict=True)],
        *[("wl", space, 400) for space in EXAMPLES],
    ],
)
def test_widths(spec, space, width):
    assert of(spec, *EXAMPLES[space]).shape[1] == width


def test_one_hot_by_hand():
    chain = of("one-hot", EXAMPLES["nasbench201"][0])[0].reshape(6, 5)
    assert chain.argmax(axis=1).tolist() == [3, 0, 0, 0, 1, 0]
    assert (chain.sum(axis=1) == 1).all()
    macro = of("one-hot", "nasbench_macro:01201201")[0].reshape(8, 3)
    assert "".join(map(str, macro.argmax(axis=1))) == "01201201"
    assert of("one-hot", "nasbench101:101:0")[0].sum() == 3  # two edges, one vertex


def test_paths_by_hand():
    for path in PATHS_201:
        ends = [EDGES[edge] for edge in path]
        assert (ends[0][0], ends[-1][1]) == (0, 3)
        assert all(one[1] == other[0] for one, other in pairwise(ends))
    everywhere = of("paths", cell201(*[C3] * 6))[0]
    assert everywhere.sum() == 3  # C3, C3 C3 and C3 C3 C3, twice the second
    assert of("paths", EXAMPLES["nasbench201"][1]).sum() == 0
    assert of("paths", "nasbench101:110011:01").sum() == 2
    assert of("paths", "nasbench101:111011:01").sum() == 3  # and the empty one
    assert of("paths", "nasbench_macro:01201201").sum() == 3
    edges = [("conv_3x3", 0), ("none", 1), ("msa", 2), ("skip_connect", 1)]
    assert sorted(_words(edges, (2, 3))) == ["0 conv_3x3", "0 conv_3x3 msa", "1 skip_connect"]


def test_dead_branches():
    live = cell201(C3, "none", "none", C1, SKIP, "none")
    dead = cell201(C3, POOL, POOL, C1, SKIP, "none")  # node 2 feeds nothing
    for spec in ("paths", "wl"):
        values = of(spec, live, dead, cell201(C1, "none", "none", C1, SKIP, "none"))
        np.testing.assert_array_equal(values[0], values[1])
        assert (values[0] != values[2]).any()
    assert (of("one-hot", live)[0] != of("one-hot", dead)[0]).any()  # as it is written


def test_wl_sees_structure_and_not_order():
    parallel, chain = "nasbench101:110011:01", "nasbench101:100101:01"
    values = of("wl", parallel, chain, "nasbench101:110011:10")
    np.testing.assert_array_equal(values[0], values[2])
    np.testing.assert_array_equal(values[0, :16], values[1, :16])  # the same operations
    assert (values[0, 16:] != values[1, 16:]).any()
    # Direction counts: two layers the other way round
    macro = of("wl", "nasbench_macro:12000000", "nasbench_macro:21000000")
    assert (macro[0] != macro[1]).any()


def test_wl_of_a_permuted_network(small):
    from dataclasses import replace

    from tests.probe.encoders.test_graph_features import permuted

    architecture = small[0]
    other = permuted(architecture.graph, 0)
    assert not torch.equal(other.primitive, architecture.graph.primitive)
    again = replace(architecture, make_graph=lambda _: other)
    np.testing.assert_array_equal(encode("wl", [again]), encode("wl", [architecture]))


def test_what_has_no_genotype():
    resnet = list(architectures("deepnets:predefined:0"))
    for spec in ("one-hot", "paths"):
        with pytest.raises(ArchrepError, match="predefined:0: has no genotype"):
            encode(spec, resnet)
    assert np.isfinite(encode("wl", resnet)).all()
    with pytest.raises(ArchrepError, match="differ between spaces"):
        of("one-hot", "nasbench_macro:01201201", "nasbench101:101:0")
    with pytest.raises(ArchrepError, match="differ between spaces"):
        of("one-hot", "nasbench_macro:01201201", "deepnets-small:test:0")
