"""Intervals of differences between encoders on the same splits, and p-values that know how many were compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from archrep.probe.pairs import interval


@dataclass(frozen=True)
class Difference:
    """A paired difference with its 95 % interval and two-sided p-value, before and after Holm's correction."""

    delta: float
    low: float
    high: float
    p: float
    p_holm: float


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction (Holm 1979): p-values that keep the family-wise error."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    steps = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def mean_interval(samples: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Student interval of a mean over independent resamplings; (NaN, NaN) for fewer than two."""
    n = len(samples)
    if n < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf((1 + level) / 2, n - 1) * np.std(samples, ddof=1) / np.sqrt(n)
    return float(np.mean(samples) - half), float(np.mean(samples) + half)


def paired_t(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float, float]:
    """Mean of first - second over resamplings that both went through: difference, low, high, p.

    For training sets that are small against what they are drawn from, so that resamplings hardly overlap.
    """
    d = np.asarray(first) - np.asarray(second)
    low, high = mean_interval(d)
    if len(d) < 2 or np.ptp(d) == 0:
        return float(d.mean()), low, high, 1.0 if len(d) < 2 or d[0] == 0 else 0.0
    return float(d.mean()), low, high, float(stats.ttest_1samp(d, 0).pvalue)


def paired_bootstrap(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float, float]:
    """Difference of two statistics over the same bootstrap: entry 0 is the data's own, the others the bootstrap's.

    The p-value is twice the share of the bootstrap on the other side of 0 (Efron & Tibshirani 1993, § 15.4 and 16).
    """
    d = np.asarray(first) - np.asarray(second)
    sampled = d[1:]
    if np.ptp(sampled) == 0:
        return float(d[0]), float(d[0]), float(d[0]), 1.0 if d[0] == 0 else 0.0
    tail = min((sampled <= 0).sum(), (sampled >= 0).sum())
    return float(d[0]), *interval(sampled), float(min(1.0, 2 * (tail + 1) / (len(sampled) + 1)))


def compare(raw: Sequence[tuple[float, float, float, float]]) -> list[Difference]:
    """Differences (delta, low, high, p) of one family, with Holm's correction over all of them."""
    corrected = holm([p for *_, p in raw]) if raw else np.empty(0)
    return [Difference(*values, float(p)) for values, p in zip(raw, corrected, strict=True)]
