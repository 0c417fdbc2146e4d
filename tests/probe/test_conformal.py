"""Intervals cover planted data as often as they say."""

import numpy as np
import pytest

from archrep.probe.conformal import intervals, radius
from archrep.probe.models import fit_probe
from archrep.probe.splits import inner_folds
from archrep.probe.transform import standard


def test_radius_by_hand():
    residuals = np.array([1.0, -2.0, 3.0, 4.0])
    assert radius(residuals, np.arange(4), 0.6) == 3
    assert radius(residuals, np.arange(4), 0.8) == 4
    assert radius(residuals, np.arange(4), 0.9) == np.inf
    # Three members of one group count as one: weights 1/9, 1/9, 1/9, 1/3 and 1/3 for the new group.
    assert radius(residuals, np.array([0, 0, 0, 1]), 0.33) == 3


def test_infinite_radius_gives_infinite_intervals():
    low, high = intervals(np.zeros(2), np.inf, standard(np.arange(3.0)))
    assert np.isneginf(low).all()
    assert np.isposinf(high).all()


@pytest.mark.parametrize("probe", ["ridge", "gp"])
def test_coverage_on_planted_data(probe):
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(25):
        groups = np.repeat(np.arange(120), 2)
        of_group = rng.normal(size=(120, 4))
        x = of_group[groups] + 0.01 * rng.normal(size=(240, 4))
        y = 3 * x[:, 0] - x[:, 1] + rng.normal(size=120)[groups]  # noise that a group shares
        train, test = groups < 60, groups >= 60
        transform = standard(y[train])
        t = transform.forward(y[train])
        fitted = fit_probe(probe, x[train], t, inner_folds(groups[train], 0), 0)
        size = radius(t - fitted.out_of_fold, groups[train], 0.8)
        low, high = intervals(fitted.model.predict(x[test]), size, transform)
        inside.append(((low <= y[test]) & (y[test] <= high)).mean())
    assert np.mean(inside) == pytest.approx(0.8, abs=0.05)
