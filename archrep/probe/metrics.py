"""Metrics of one set of predictions. Those of a best set know the direction: its architectures are the better ones.

All take measured and predicted (n,) values; ties in the predictions count with their expectation over random orders,
so that a constant predictor gets what drawing at random gets.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import spearmanr, weightedtau

from archrep.errors import ArchrepError
from archrep.probe.pairs import kendall_tau

TOP = 0.1  # share of the architectures that counts as top


def evaluate(measured: np.ndarray, predicted: np.ndarray, higher_is_better: bool, k: int | None = None) -> dict:
    """All metrics by name.

    Args:
        k: size of the best set of precision, NDCG and regret; default: a tenth of the architectures, 10 at most.

    Raises:
        ArchrepError: for fewer than two architectures, values that are not finite, or a k outside 1 … n.
    """
    measured, predicted = np.asarray(measured, dtype=float), np.asarray(predicted, dtype=float)
    n = len(measured)
    if n < 2 or not np.isfinite(measured).all() or not np.isfinite(predicted).all():
        raise ArchrepError(f"Metrics need two or more finite values; got {n}, {np.isfinite(predicted).sum()} finite.")
    k = default_k(n) if k is None else k
    if not 1 <= k <= n:
        raise ArchrepError(f"k of the top-k metrics must be from 1 to the {n} test architectures; got {k}.")
    sign = 1.0 if higher_is_better else -1.0
    values = {name: metric(sign * measured, sign * predicted, k) for name, metric in METRICS.items()}
    return {**values, "k": k}


def default_k(n: int) -> int:
    """A tenth of n, from 1 to 10."""
    return int(np.clip(round(TOP * n), 1, 10))


def spearman(measured: np.ndarray, predicted: np.ndarray) -> float:
    """Spearman's rank correlation; 0 if one side is constant."""
    if np.ptp(measured) == 0 or np.ptp(predicted) == 0:
        return 0.0
    return float(spearmanr(measured, predicted).statistic)


def weighted_tau(measured: np.ndarray, predicted: np.ndarray) -> float:
    """Kendall's τ with hyperbolic weights that favour the large values (Vigna 2015); 0 if one side is constant."""
    if np.ptp(measured) == 0 or np.ptp(predicted) == 0:
        return 0.0
    return float(weightedtau(measured, predicted).statistic)


def top_tau(measured: np.ndarray, predicted: np.ndarray, share: float = TOP) -> float:
    """τ-b among the architectures with the largest measured values: `share` of them, at least two."""
    count = max(2, round(share * len(measured)))
    top = np.argsort(-measured, kind="stable")[:count]
    return kendall_tau(measured[top], predicted[top])


def precision(measured: np.ndarray, predicted: np.ndarray, k: int) -> float:
    """Share of the k largest measured values among the k largest predicted ones."""
    return float((_chance_of_top(measured, k) * _chance_of_top(predicted, k)).sum() / k)


def _chance_of_top(values: np.ndarray, k: int) -> np.ndarray:
    """(n,): probability of being among the k largest when ties are broken at random."""
    threshold = np.sort(values)[-k]
    above, tied = values > threshold, values == threshold
    return above + tied * (k - above.sum()) / tied.sum()


def ndcg(measured: np.ndarray, predicted: np.ndarray, k: int) -> float:
    """Normalised discounted cumulative gain of the k largest predicted (Järvelin & Kekäläinen 2002).

    The gain is the measured value, moved and scaled to 0 … 1; the discount is log₂(1 + rank).
    """
    from sklearn.metrics import ndcg_score

    spread = np.ptp(measured)
    if spread == 0:
        return 1.0
    gain = (measured - measured.min()) / spread
    return float(ndcg_score(gain[None], predicted[None], k=k))


def regret(measured: np.ndarray, predicted: np.ndarray, k: int) -> float:
    """How far the best of the k largest predicted stays behind the best measured, in the target's unit; ≥ 0."""
    threshold = np.sort(predicted)[-k]
    certain = measured[predicted > threshold]
    tied = np.sort(measured[predicted == threshold])[::-1]
    draws = k - len(certain)
    floor = certain.max() if len(certain) else -np.inf
    # The best of `draws` out of the t tied is the one at position j, if it is drawn and the j before it are not.
    t = len(tied)
    none_before, expected = 1.0, 0.0
    for j in range(t - draws + 1):
        here = draws / (t - j)
        expected += none_before * here * max(tied[j], floor)
        none_before *= 1 - here
    return float(measured.max() - expected)


def r2(measured: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the variance of the measured values that the predictions explain; NaN if there is none."""
    variance = ((measured - measured.mean()) ** 2).sum()
    return float(1 - ((measured - predicted) ** 2).sum() / variance) if variance > 0 else float("nan")


# Name → metric of (measured, predicted, k), both with larger values better.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray, int], float]] = {
    "tau": lambda m, p, k: kendall_tau(m, p),
    "spearman": lambda m, p, k: spearman(m, p),
    "weighted_tau": lambda m, p, k: weighted_tau(m, p),
    "top_decile_tau": lambda m, p, k: top_tau(m, p),
    "precision_at_k": precision,
    "ndcg_at_k": ndcg,
    "regret_at_k": regret,
    "r2": lambda m, p, k: r2(m, p),
}
