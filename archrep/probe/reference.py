"""What to hold τ against: the noise of the labels themselves, and accuracies early in training."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from archrep.probe.pairs import kendall_tau

EARLY = re.compile(r"(.+)_(\d+)ep")
AT_LEAST = 10  # architectures with several seeds


@dataclass(frozen=True)
class Ceiling:
    """The τ that a perfect predictor would reach against labels with the noise of their seeds."""

    tau: float
    architectures: int
    seeds: float


def noise_ceiling(runs: pd.DataFrame, target: str) -> Ceiling | None:
    """From architectures that were measured with several seeds; None where there are fewer than ten.

    One-way analysis of variance gives the reliability of labels averaged over m seeds, v / (v + w/m) with variance v
    between architectures and w within; the truth correlates with such labels by its square root (Spearman 1904,
    correction for attenuation), and τ = 2/π·arcsin(r) (Greiner) makes it a τ. Values are first ranked, since
    accuracies have long tails.

    Args:
        runs: one row per run, with columns `arch` and the target.
    """
    ranked = runs[["arch", target]].dropna()
    counts = ranked.groupby("arch")[target].transform("size")
    ranked = ranked[counts > 1]
    by_arch = ranked.assign(rank=ranked[target].rank()).groupby("arch")["rank"]
    k = by_arch.ngroups
    if k < AT_LEAST:
        return None
    m = float(len(ranked) / k)
    within = float((by_arch.var(ddof=1) * (by_arch.size() - 1)).sum() / (len(ranked) - k))
    of_means = float(by_arch.mean().var(ddof=1))
    if of_means <= 0:
        return None
    reliability = float(np.clip(1 - within / m / of_means, 0, 1))
    return Ceiling(float(2 / np.pi * np.arcsin(np.sqrt(reliability))), k, m)


def early_epochs(
    table: pd.DataFrame, y: np.ndarray, higher_is_better: bool = True, target: str = ""
) -> list[tuple[int, str, float]]:
    """(epochs, column, τ with the labels) of the accuracies `…_Nep` with all values finite, in the order of epochs.

    τ is positive where a better early accuracy goes with a better label. Early is what comes before the target, if
    that is one of them, else before the largest N.

    Args:
        table: rows in the order of y (n,). higher_is_better: of y. target: the column that y is.
    """
    sign = 1.0 if higher_is_better else -1.0
    found = []
    for name in table.select_dtypes("number").columns:
        match = EARLY.fullmatch(str(name))
        values = table[name].to_numpy(dtype=float)
        if not match or not np.isfinite(values).all():
            continue
        found.append((int(match[2]), str(name), sign * kendall_tau(y, values)))
    own = EARLY.fullmatch(target)
    last = int(own[2]) if own else max((epochs for epochs, *_ in found), default=0)
    return sorted(f for f in found if f[0] < last)


def worth(tau: float, early: list[tuple[int, str, float]]) -> int:
    """The most epochs after which no accuracy ranks better than a predictor with this τ; 0 if all rank better."""
    better = {epochs for epochs, _, early_tau in early if early_tau > tau}
    return max((epochs for epochs, *_ in early if epochs < min(better, default=epochs + 1)), default=0)
