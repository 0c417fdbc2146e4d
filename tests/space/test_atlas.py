"""Architectures of several spaces for one map."""

from collections import Counter

import pytest

from archrep.errors import ArchrepError
from archrep.space.atlas import atlas


def test_every_space_has_as_many_and_a_seed_draws_the_same():
    found = atlas(3, seed=1)
    assert Counter(a.space for a in found) == dict.fromkeys(
        ("deepnets-small", "deepnets", "nasbench201", "nasbench_macro"), 3
    )
    names = [a.id for a in found]
    assert len(set(names)) == len(names)
    assert [a.id for a in atlas(3, seed=1)] == names != [a.id for a in atlas(3, seed=2)]
    assert all(len(a.graph.primitive) > 1 for a in found)


@pytest.mark.parametrize("size", [0, 501])
def test_sizes_that_no_split_has(size):
    with pytest.raises(ArchrepError, match="from 1 to 500"):
        atlas(size)
