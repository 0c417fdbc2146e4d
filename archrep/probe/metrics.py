"""Rank agreement with intervals.

Predictions come from cross-validation, where every fold has its own model. Pairs of architectures are
compared only within a test fold: pooling folds would reward or punish differences between the models' means.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FoldPairs:
    """Signs of all pairs within one test fold.

    Attributes:
        index: (m,) positions of the fold's architectures.
        measured, predicted: (m, m) int8, sign of the difference between row and column.
    """

    index: np.ndarray
    measured: np.ndarray
    predicted: np.ndarray


def fold_pairs(measured: np.ndarray, predicted: np.ndarray, folds: Sequence[np.ndarray]) -> list[FoldPairs]:
    """Pair signs of every test fold; `measured` and `predicted` are (n,), `folds` hold positions."""
    return [FoldPairs(f, _signs(measured[f]), _signs(predicted[f])) for f in folds]


def _signs(values: np.ndarray) -> np.ndarray:
    return np.sign(values[:, None] - values[None, :]).astype(np.int8)


def kendall_tau(pairs: Sequence[FoldPairs], weights: np.ndarray) -> np.ndarray:
    """Kendall's τ-b over all within-fold pairs, for many weightings of the architectures at once.

    A constant prediction orders nothing: its τ is 0.

    Args:
        pairs: of all folds, of all repetitions.
        weights: (r, n) non-negative weight of every architecture, for example bootstrap counts.

    Returns:
        (r,) τ.
    """
    agreement = np.zeros(len(weights))
    untied_measured, untied_predicted = np.zeros(len(weights)), np.zeros(len(weights))
    for fold in pairs:
        w = weights[:, fold.index].astype(np.float32)  # (r, m)
        x, y = fold.measured.astype(np.float32), fold.predicted.astype(np.float32)
        agreement += ((w @ (x * y)) * w).sum(axis=1)
        untied_measured += ((w @ np.abs(x)) * w).sum(axis=1)
        untied_predicted += ((w @ np.abs(y)) * w).sum(axis=1)
    scale = np.sqrt(untied_measured * untied_predicted)
    return np.divide(agreement, scale, out=np.zeros_like(agreement), where=scale > 0)


def bootstrap_weights(groups: np.ndarray, repetitions: int, seed: int) -> np.ndarray:
    """(repetitions, n) counts of a bootstrap over groups: architectures of a group come and go together."""
    rng = np.random.default_rng(seed)
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    draws = rng.multinomial(count, np.full(count, 1 / count), size=repetitions)  # (r, groups)
    return draws[:, member]


def interval(samples: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
