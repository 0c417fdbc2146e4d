"""Kendall's τ-b from counts of pairs, for many weightings of the architectures at once (Kendall 1945; Knight 1966).

Predictions often come from cross-validation, where every fold has its own model. Pairs of architectures are compared
only within a test fold: pooling folds would reward or punish differences between the models' means.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau

from archrep.compiled import compiled

WEIGHTS = 2**23  # of a fold that are in memory at once


def kendall_tau(measured: np.ndarray, predicted: np.ndarray) -> float:
    """τ-b of two (n,) arrays; 0 if one of them is constant, since it orders nothing."""
    if np.ptp(measured) == 0 or np.ptp(predicted) == 0:
        return 0.0
    return float(kendalltau(measured, predicted).statistic)


def weighted_tau_b(
    measured: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]], weights: np.ndarray | None = None
) -> np.ndarray:
    """τ-b over all within-fold pairs; a pair counts with the product of its weights.

    Args:
        measured: (n,).
        folds: of all repetitions: positions (m,) of a fold's architectures, and their predictions (m,).
        weights: (r, n) non-negative weight of every architecture, for example bootstrap counts; default: one row of 1.

    Returns:
        (r,) τ-b; 0 where a weighting leaves nothing to order.
    """
    weights = np.ones((1, len(measured))) if weights is None else weights
    step = max(WEIGHTS // max((len(index) for index, _ in folds), default=1), 1)
    if len(weights) > step:
        parts = [weights[first : first + step] for first in range(0, len(weights), step)]
        return np.concatenate([weighted_tau_b(measured, folds, part) for part in parts])
    agreement, in_measured, in_predicted = (np.zeros(len(weights)) for _ in range(3))
    for index, predicted in folds:
        x, y = _ranks(measured[index]), _ranks(predicted)
        w = np.ascontiguousarray(weights[:, index].T, dtype=np.float64)  # (m, r)
        order = np.argsort(x, kind="stable")
        r = w.shape[1]
        _agreement(x[order], y[order], w[order], np.zeros((int(y.max()) + 2, r)), np.zeros(r), agreement)
        in_measured += _untied(x, w)
        in_predicted += _untied(y, w)
    scale = np.sqrt(in_measured * in_predicted)
    return np.divide(agreement, scale, out=np.zeros_like(agreement), where=scale > 0)


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


def _untied(ranks: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(r,): weight of the pairs that differ; ranks (m,), weights (m, r)."""
    order = np.argsort(ranks, kind="stable")
    starts = np.flatnonzero(np.diff(ranks[order], prepend=-1))
    of_ties = np.add.reduceat(weights[order], starts, axis=0)
    return (of_ties.sum(axis=0) ** 2 - (of_ties**2).sum(axis=0)) / 2


@compiled()
def _agreement(x, y, weights, tree, total, result):
    """Adds to `result` (r,) the weight of concordant minus discordant pairs, in m·log m steps of r operations.

    `x`, `y` (m,) are ranks, in increasing order of x; `weights` is (m, r). `tree` (ranks + 2, r) of zeros becomes a
    Fenwick tree over the ranks y, which sums over a range of ranks in logarithmically many rows; `total` (r,) of zeros
    the sum of all weights so far.
    """
    start = 0
    for end in range(1, len(x) + 1):
        if end < len(x) and x[end] == x[start]:
            continue
        for i in range(start, end):  # against everything that is smaller in x
            for r in range(len(result)):
                result[r] -= weights[i, r] * total[r]
            for j in (y[i], y[i] + 1):
                while j > 0:
                    for r in range(len(result)):
                        result[r] += weights[i, r] * tree[j, r]
                    j -= j & -j
        for i in range(start, end):
            for r in range(len(result)):
                total[r] += weights[i, r]
            j = y[i] + 1
            while j < len(tree):
                for r in range(len(result)):
                    tree[j, r] += weights[i, r]
                j += j & -j
        start = end


def bootstrap_weights(groups: np.ndarray, repetitions: int, seed: int) -> np.ndarray:
    """(repetitions, n) counts of a bootstrap over groups: architectures of a group come and go together."""
    rng = np.random.default_rng(seed)
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    weights = np.empty((repetitions, len(member)), np.uint16)
    for row in weights:
        row[:] = rng.multinomial(count, np.full(count, 1 / count))[member]
    return weights


def interval(samples: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
