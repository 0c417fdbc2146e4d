"""Monotone transforms of a target, so that probes see a well-behaved one; ranks stay, and everything maps back."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from archrep.errors import ArchrepError


@dataclass(frozen=True)
class Transform:
    """A strictly increasing piecewise linear function through knots, continued linearly beyond them.

    Attributes:
        raw, transformed: (k,) increasing, k ≥ 2.
    """

    raw: np.ndarray
    transformed: np.ndarray

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Target → what the probe learns; (n,) → (n,)."""
        return _through(np.asarray(y, dtype=float), self.raw, self.transformed)

    def inverse(self, t: np.ndarray) -> np.ndarray:
        """What the probe predicts → target; (n,) → (n,)."""
        return _through(np.asarray(t, dtype=float), self.transformed, self.raw)


def standard(y: np.ndarray) -> Transform:
    """Mean 0 and standard deviation 1.

    Raises:
        ArchrepError: for a constant target.
    """
    _refuse_constant(y)
    ends = np.array([y.mean() - y.std(), y.mean() + y.std()])
    return Transform(ends, np.array([-1.0, 1.0]))


def normal_scores(y: np.ndarray) -> Transform:
    """Ranks to normal quantiles (Blom 1958), ties to their mean rank; linear beyond the ends.

    Accuracies crowd at the top and have a long tail of architectures that hardly train: in ranks both ends count alike.
    The slope beyond each end is that of its outer tenth.

    Raises:
        ArchrepError: for a constant target.
    """
    _refuse_constant(y)
    ranks = rankdata(y)
    raw, first = np.unique(y, return_index=True)
    scores = norm.ppf((ranks[first] - 0.375) / (len(y) + 0.25))
    tenth = max(1, len(raw) // 10)
    below, above = ((raw[b] - raw[a], scores[b] - scores[a]) for a, b in ((0, tenth), (-1 - tenth, -1)))
    return Transform(
        np.concatenate([[raw[0] - below[0]], raw, [raw[-1] + above[0]]]),
        np.concatenate([[scores[0] - below[1]], scores, [scores[-1] + above[1]]]),
    )


def _through(x: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Piecewise linear, continued with the slope of the outermost pieces."""
    low = values[0] + (x - at[0]) * (values[1] - values[0]) / (at[1] - at[0])
    high = values[-1] + (x - at[-1]) * (values[-1] - values[-2]) / (at[-1] - at[-2])
    return np.where(x < at[0], low, np.where(x > at[-1], high, np.interp(x, at, values)))


def _refuse_constant(y: np.ndarray) -> None:
    if np.ptp(y) == 0:
        raise ArchrepError(f"All {len(y)} labels are {y[0]:g}; there is nothing to rank.")


TRANSFORMS = {"normal-scores": normal_scores, "standard": standard}
