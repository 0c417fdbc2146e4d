"""Transforms of targets: strictly increasing, invertible, linear beyond the ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrep.errors import ArchrepError
from archrep.probe.transform import TRANSFORMS, normal_scores, standard


@given(
    st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 3)), min_size=2, max_size=40).filter(lambda v: len(set(v)) > 1)
)
def test_there_and_back(values):
    y = np.array(values)
    for make in TRANSFORMS.values():
        transform = make(y)
        wide = np.concatenate([y, [y.min() - 5, y.max() + 5]])
        assert transform.inverse(transform.forward(wide)) == pytest.approx(wide, abs=1e-6, rel=1e-6)
        ordered = np.unique(wide)
        assert (np.diff(transform.forward(ordered)) > 0).all()


def test_known_values():
    y = np.array([3.0, 1.0, 2.0])
    assert standard(y).forward(y) == pytest.approx((y - 2) / y.std())
    scores = normal_scores(np.concatenate([np.arange(99.0), [1e6]])).forward(np.arange(99.0))
    assert scores[49] == pytest.approx(0, abs=0.03)
    assert scores.min() == pytest.approx(-2.5, abs=0.1)
    with pytest.raises(ArchrepError, match="All 3 labels are 1"):
        normal_scores(np.ones(3))
