"""How similar two encodings of the same architectures are: linear CKA, correlation of distances, shared neighbours.

All take x (n, d) and y (n, e), row i of both being architecture i, and none depends on the order of architectures, on
rotations of either encoding or on its isotropic scale.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist
from scipy.stats import rankdata

from archrep.errors import ArchrepError

PAIRED = 2000  # architectures of which all distances are taken; more are sampled


def cka(x: np.ndarray, y: np.ndarray, unbiased: bool = True) -> float:
    """Linear centred kernel alignment: 1 for the same encoding up to rotation and scale.

    Args:
        unbiased: with the unbiased estimator of HSIC (Song et al., JMLR 2012, eq. 5; Nguyen et al., ICLR 2021, eq. 3),
            whose mean is 0 for independent encodings of any width, so it may be negative. Otherwise the plain one
            (Kornblith et al., ICML 2019, eq. 3), which grows with the widths: two random encodings with d ≥ n get
            nearly 1.

    Raises:
        ArchrepError: for different numbers of architectures, too few of them, values that are not finite, or a
            constant encoding.
    """
    x, y = _checked(x, y, 4 if unbiased else 2)
    hsic = _hsic_unbiased if unbiased else _hsic_biased
    own = hsic(x, x) * hsic(y, y)
    if own <= 0:
        raise ArchrepError("CKA of these encodings is undefined: one hardly varies over these few architectures.")
    return float(hsic(x, y) / np.sqrt(own))


def _hsic_biased(x: np.ndarray, y: np.ndarray) -> float:
    """‖Xᵀ Y‖² of centred x and y, which is tr(K H L H)."""
    return float(((x.T @ y) ** 2).sum())


def _hsic_unbiased(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al., eq. 5, for linear kernels K = X Xᵀ and L = Y Yᵀ without their diagonals, in O(n d e).

    With k and l the diagonals: tr(K̃ L̃) = ‖Xᵀ Y‖² - Σ k l, and the row sums are K̃ 1 = X Xᵀ 1 - k.
    """
    n = len(x)
    k, l = (x**2).sum(axis=1), (y**2).sum(axis=1)  # noqa: E741 - the paper's name
    rows_k, rows_l = x @ x.sum(axis=0) - k, y @ y.sum(axis=0) - l
    both = ((x.T @ y) ** 2).sum() - k @ l
    value = both + rows_k.sum() * rows_l.sum() / ((n - 1) * (n - 2)) - 2 * (rows_k @ rows_l) / (n - 2)
    return float(value / (n * (n - 3)))


def distance_correlation(x: np.ndarray, y: np.ndarray, ranks: bool = True, seed: int = 0) -> float:
    """Correlation of the pairwise Euclidean distances in x with those in y (Kriegeskorte et al. 2008).

    Args:
        ranks: Spearman's correlation, which no monotone distortion changes; else Pearson's.
        seed: of the sample of `PAIRED` architectures if there are more.

    Raises:
        ArchrepError: as `cka`.
    """
    x, y = _checked(x, y, 3)
    if len(x) > PAIRED:
        chosen = np.random.default_rng(seed).permutation(len(x))[:PAIRED]
        x, y = x[chosen], y[chosen]
    a, b = pdist(x), pdist(y)
    if ranks:
        a, b = rankdata(_rounded(a)), rankdata(_rounded(b))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def neighbor_overlap(x: np.ndarray, y: np.ndarray, k: int = 10) -> float:
    """Mean share of an architecture's k nearest neighbours in x that are among its k nearest in y.

    Independent encodings share k / (n - 1). Equal distances (twins of one functional class) come in the order of the
    architectures, in both encodings.

    Raises:
        ArchrepError: as `cka`, and for a k outside 1 … n - 2.
    """
    x, y = _checked(x, y, 3)
    if not 1 <= k <= len(x) - 2:
        raise ArchrepError(f"k must be from 1 to {len(x) - 2} for {len(x)} architectures; got {k}.")
    shared = 0
    for first in range(0, len(x), 512):
        a, b = (_neighbors(z, first, min(first + 512, len(z)), k) for z in (x, y))
        shared += (a[:, :, None] == b[:, None, :]).sum()
    return float(shared / (len(x) * k))


def _neighbors(z: np.ndarray, first: int, last: int, k: int) -> np.ndarray:
    """(last - first, k) positions of the nearest of some rows."""
    squares = (z**2).sum(axis=1)
    squared = squares[first:last, None] + squares - 2 * z[first:last] @ z.T
    squared = np.round(squared / squares.mean(), 9)  # so that what is equal but for rounding is tied
    squared[np.arange(last - first), np.arange(first, last)] = np.inf
    return np.argsort(squared, axis=1, kind="stable")[:, :k]


def _rounded(distances: np.ndarray) -> np.ndarray:
    return np.round(distances / (distances.mean() or 1.0), 9)


def similarity_table(encodings: Mapping[str, np.ndarray], k: int = 10, seed: int = 0) -> pd.DataFrame:
    """All pairs of encoders by every measure.

    Returns:
        Columns `first`, `second`, `cka`, `cka_biased`, `distance_correlation`, `neighbor_overlap` and `chance`, the
        overlap of independent encodings.
    """
    names, rows = list(encodings), []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            x, y = encodings[first], encodings[second]
            rows.append(
                {
                    "first": first,
                    "second": second,
                    "cka": cka(x, y),
                    "cka_biased": cka(x, y, unbiased=False),
                    "distance_correlation": distance_correlation(x, y, seed=seed),
                    "neighbor_overlap": neighbor_overlap(x, y, k),
                    "chance": k / (len(x) - 1),
                }
            )
    return pd.DataFrame(rows)


def _checked(x: np.ndarray, y: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Both as centred float64 with a mean square of 1 per architecture."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < least:
        raise ArchrepError(
            f"Two encodings (n, d) of the same {least} or more architectures are needed; got {x.shape} and {y.shape}."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ArchrepError("Encodings with values that are not finite cannot be compared.")
    scaled = []
    for raw in (x, y):
        z = raw - raw.mean(axis=0)
        size = np.sqrt((z**2).sum() / len(z))
        if size <= 1e-12 * np.abs(raw).max():
            raise ArchrepError("A constant encoding is similar to nothing; leave it out.")
        scaled.append(z / size)
    return scaled[0], scaled[1]
