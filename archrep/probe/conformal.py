"""Prediction intervals from out-of-fold residuals (cross-conformal prediction).

The radius is a quantile of the absolute residuals of predictions that came from models without the architecture's
group (Vovk 2015, cross-conformal predictors; Barber et al. 2021, jackknife+ and CV+, whose intervals around the fold
models are replaced by one around the model of all data). A new architecture is a member of a new group, so every group
counts once, whatever its size (Dunn, Wasserman & Ramdas 2023, two-layer hierarchical models). Residuals are those of
the transformed target; mapped back, intervals are wider where the target is spread out. Coverage is approximate:
exchangeable groups and a model that one fold more hardly changes; the report measures it on test architectures.
"""

import numpy as np

from archrep.probe.transform import Transform

LEVELS = (0.5, 0.8, 0.9, 0.95)


def radius(residuals: np.ndarray, groups: np.ndarray, level: float) -> float:
    """The absolute residual that a new group's member stays below with probability `level`.

    Args:
        residuals: (n,) out-of-fold. groups: (n,).

    Returns:
        Infinite where there are too few groups for that level.
    """
    _, member, size = np.unique(groups, return_inverse=True, return_counts=True)
    weight = 1 / size[member] / (len(size) + 1)  # one more group, with the weight of its infinite residual
    order = np.argsort(np.abs(residuals), kind="stable")
    reached = np.cumsum(weight[order]) >= level - 1e-12
    return float(np.abs(residuals)[order][reached.argmax()]) if reached.any() else float("inf")


def intervals(predicted: np.ndarray, size: float, transform: Transform) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (n,) in the target's unit, around predictions (n,) of the transformed target."""
    if not np.isfinite(size):
        return np.full(len(predicted), -np.inf), np.full(len(predicted), np.inf)
    return transform.inverse(predicted - size), transform.inverse(predicted + size)
