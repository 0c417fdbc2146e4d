"""Functional classes: how many there are, what they join and what they keep apart."""

from itertools import product

import pytest

from archrep import architectures
from archrep.errors import ArchrepError
from archrep.probe.cells import has_graph
from archrep.probe.groups import functional_class, group_of


def class_of(spec):
    return functional_class(next(iter(architectures(spec))))


def cell201(ops):
    return "nasbench201:|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*ops)


def test_nasbench201_has_5390_classes():
    cells = list(architectures("nasbench201:all"))
    assert len(set(group_of(cells))) == 5390
    assert {functional_class(a) == "0" for a in cells if not has_graph(a)} == {True}
    assert not any(functional_class(a) == "0" for a in cells if has_graph(a))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # an edge from a node that receives nothing, and one into a node that feeds nothing
        (("none", "none", "none", "nor_conv_3x3", "none", "none"),) * 2,
        (
            ("none", "none", "none", "nor_conv_3x3", "none", "none"),
            ("none", "none", "avg_pool_3x3", "nor_conv_3x3", "nor_conv_1x1", "none"),
        ),
        (
            ("none", "none", "none", "nor_conv_3x3", "none", "none"),
            ("avg_pool_3x3", "nor_conv_1x1", "none", "nor_conv_3x3", "none", "none"),
        ),
        # skip is the identity; the path by node 1 or by node 2; shared or repeated
        (
            ("skip_connect", "none", "none", "none", "nor_conv_3x3", "none"),
            ("none", "none", "none", "nor_conv_3x3", "none", "none"),
        ),
        (
            ("nor_conv_1x1", "none", "none", "none", "nor_conv_3x3", "none"),
            ("none", "nor_conv_1x1", "none", "none", "none", "nor_conv_3x3"),
        ),
        (
            ("nor_conv_1x1", "none", "skip_connect", "none", "skip_connect", "skip_connect"),
            ("nor_conv_1x1", "nor_conv_1x1", "none", "none", "skip_connect", "skip_connect"),
        ),
    ],
)
def test_nasbench201_twins(one, other):
    assert class_of(cell201(one)) == class_of(cell201(other))


def test_a_live_operation_changes_the_class():
    ops = ["nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect", "nor_conv_1x1", "nor_conv_3x3"]
    for edge, other in product(range(6), ["none", "avg_pool_3x3", "skip_connect", "nor_conv_3x3"]):
        changed = [*ops[:edge], other, *ops[edge + 1 :]]
        assert (class_of(cell201(changed)) == class_of(cell201(ops))) == (changed == ops)


def test_nasbench101():
    assert class_of("nasbench101:110101:01") != class_of("nasbench101:110101:10")  # different operations in order
    # two parallel vertices in either order; the same convolution twice, or shared by two
    assert class_of("nasbench101:110011:01") == class_of("nasbench101:110011:10")
    shared, repeated = "nasbench101:1000110011:022", "nasbench101:110000100010011:0022"
    assert class_of(shared) == class_of(repeated) == "[2(0(x)),2(0(x))]"
    assert class_of("nasbench101:111011:01") == class_of("nasbench101:111011:10") == "[0(x),1(x)]+x"
    # a vertex that the output does not see is pruned with the spec
    assert class_of("nasbench101:110001:01") == class_of("nasbench101:101:1")


def test_nasbench_macro_has_3969_classes():
    specs = ["nasbench_macro:" + "".join(digits) for digits in product("012", repeat=8)]
    assert len({functional_class(a) for a in architectures(*specs)}) == 3969
    assert class_of("nasbench_macro:11101101") == class_of("nasbench_macro:11110110")
    assert class_of("nasbench_macro:11011101") != class_of("nasbench_macro:11101101")  # the first layer of a stage


def test_other_spaces_group_by_graph():
    wide = list(architectures("deepnets-small:test:0-1", "deepnets-small:wide:0-1"))
    groups = group_of(wide)
    assert groups[0] == groups[2] != groups[1] == groups[3]
    with pytest.raises(ArchrepError, match="nasbench201"):
        functional_class(wide[0])
