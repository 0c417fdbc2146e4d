"""Paired differences: Holm by hand, intervals that cover, nothing found where nothing is."""

import numpy as np
import pytest
from scipy import stats

from archrep.probe.comparison import compare, holm, mean_interval, paired_bootstrap, paired_t


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert compare([]) == []


def test_student_interval_and_test_equal_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.2, 1, 20), rng.normal(size=20)
    delta, low, high, p = paired_t(a, b)
    reference = stats.ttest_rel(a, b)
    assert (delta, p) == pytest.approx(((a - b).mean(), reference.pvalue))
    assert (low, high) == pytest.approx(tuple(reference.confidence_interval()))
    assert paired_t(a, a)[3] == 1
    assert np.isnan(mean_interval(np.array([1.0]))[0])


def test_bootstrap_differences():
    rng = np.random.default_rng(1)
    base = rng.normal(0.5, 0.05, 2001)
    same = paired_bootstrap(base, base)
    assert same == (0, 0, 0, 1)
    better = paired_bootstrap(base + 0.3 + rng.normal(0, 0.01, 2001), base)
    assert better[1] > 0.2
    assert better[3] < 0.002
    corrected = compare([same, better])
    assert corrected[1].p_holm == pytest.approx(2 * better[3])
