"""Metrics against scipy, scikit-learn and values worked out by hand; the direction of the target."""

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr, weightedtau
from sklearn.metrics import ndcg_score, r2_score

from archrep.errors import ArchrepError
from archrep.probe.metrics import default_k, evaluate, ndcg, precision, regret, top_tau
from archrep.probe.pairs import bootstrap_weights, interval, kendall_tau, weighted_tau_b


@pytest.fixture
def tied():
    rng = np.random.default_rng(0)
    return rng.integers(0, 8, 40).astype(float), rng.integers(0, 6, 40).astype(float)


def test_tau_equals_scipy_with_ties_and_weights(tied):
    x, y = tied
    everything = np.arange(40)
    assert kendall_tau(x, y) == pytest.approx(kendalltau(x, y).statistic)
    assert weighted_tau_b(x, [(everything, y)])[0] == pytest.approx(kendalltau(x, y).statistic)
    counts = np.random.default_rng(1).integers(0, 4, (5, 40))
    expected = [kendalltau(np.repeat(x, c), np.repeat(y, c)).statistic for c in counts]
    assert weighted_tau_b(x, [(everything, y)], counts) == pytest.approx(expected)
    assert kendall_tau(x, np.zeros(40)) == 0
    assert weighted_tau_b(x, [(everything, np.zeros(40))])[0] == 0


def test_pairs_are_compared_within_folds_only():
    measured = np.array([1.0, 2.0, 3.0, 4.0])
    folds = [(np.array([0, 1]), np.array([5.0, 6.0])), (np.array([2, 3]), np.array([1.0, 2.0]))]
    assert weighted_tau_b(measured, folds)[0] == 1


def test_bootstrap_keeps_groups_together():
    weights = bootstrap_weights(np.array(["a", "a", "b", "c", "c"]), 200, seed=0)
    assert weights.shape == (200, 5)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert interval(np.arange(1001.0)) == pytest.approx((25.0, 975.0))


def test_all_metrics_equal_their_references(tied):
    measured = np.random.default_rng(2).normal(size=40)
    predicted = measured + np.random.default_rng(3).normal(size=40)
    values = evaluate(measured, predicted, higher_is_better=True, k=5)
    assert values["tau"] == pytest.approx(kendalltau(measured, predicted).statistic)
    assert values["spearman"] == pytest.approx(spearmanr(measured, predicted).statistic)
    assert values["weighted_tau"] == pytest.approx(weightedtau(measured, predicted).statistic)
    gain = (measured - measured.min()) / np.ptp(measured)
    assert values["ndcg_at_k"] == pytest.approx(ndcg_score(gain[None], predicted[None], k=5))
    assert values["r2"] == pytest.approx(r2_score(measured, predicted))
    top = np.argsort(-measured)[:4]
    assert values["top_decile_tau"] == pytest.approx(kendalltau(measured[top], predicted[top]).statistic)
    best, found = set(np.argsort(-measured)[:5]), np.argsort(-predicted)[:5]
    assert values["precision_at_k"] == len(best & set(found)) / 5
    assert values["regret_at_k"] == pytest.approx(measured.max() - measured[found].max())


def test_lower_is_better_mirrors_higher_is_better(tied):
    x, y = tied
    assert evaluate(-x, -y, False, k=3) == pytest.approx(evaluate(x, y, True, k=3))
    assert evaluate(x, x, False, k=3)["regret_at_k"] == 0
    low_first = evaluate(np.arange(20.0), np.arange(20.0) ** 2, False, k=2)
    assert (low_first["precision_at_k"], low_first["regret_at_k"], low_first["ndcg_at_k"]) == (1, 0, 1)


def test_a_constant_predictor_gets_what_drawing_at_random_gets():
    measured, constant = np.arange(10.0), np.zeros(10)
    assert precision(measured, constant, 3) == pytest.approx(0.3)
    # The best of 3 out of 0 … 9 is j with probability C(j, 2) / C(10, 3).
    expected = sum(j * j * (j - 1) / 2 for j in range(10)) / 120
    assert regret(measured, constant, 3) == pytest.approx(9 - expected)
    assert regret(measured, np.array([0.0] * 8 + [1.0, 1.0]), 3) == 0
    assert ndcg(constant, measured, 3) == 1
    assert evaluate(constant, measured, True)["tau"] == 0
    assert top_tau(measured, constant) == 0


def test_bad_arguments_are_refused():
    with pytest.raises(ArchrepError, match="from 1 to the 4"):
        evaluate(np.arange(4.0), np.arange(4.0), True, k=5)
    with pytest.raises(ArchrepError, match="finite"):
        evaluate(np.arange(4.0), np.array([0, 1, np.nan, 2]), True)
    assert [default_k(n) for n in (3, 24, 500)] == [1, 2, 10]
