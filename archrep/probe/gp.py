"""Gaussian-process probe: one optimisation of the marginal likelihood, out-of-fold predictions in closed form.

The kernel is amplitude · Matérn-3/2 with one length scale for all standardised columns, plus white noise
(Rasmussen & Williams 2006, eq. 4.17 and § 5.4.1). Rougher than the usual Matérn-5/2 and much better than a linear
kernel on architectures: a replaced operation changes the accuracy abruptly.
"""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_solve, lapack
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

TUNED_ON = 400  # at most so many architectures tune the kernel: a factorisation costs n³, and there are three numbers
STEPS = 40  # of L-BFGS
START = np.log([1.0, 1.5, 0.1])  # amplitude, length scale in √d, noise
BOUNDS = np.log([(1e-3, 1e3), (0.13, 55.0), (1e-3, 3.0)])
ROOT3 = np.sqrt(3.0)


def tune(x: np.ndarray, t: np.ndarray, seed: int) -> Kernel:
    """The kernel that maximises the marginal likelihood, from one start, on at most `TUNED_ON` architectures.

    Args:
        x: (n, d) standardised; constant columns are 0. t: (n,) with mean about 0 and variance about 1.
    """
    if len(x) > TUNED_ON:
        chosen = np.random.default_rng(seed).permutation(len(x))[:TUNED_ON]
        x, t = x[chosen], t[chosen]
    d = max(1, int((x.std(axis=0) > 1e-9).sum()))
    scaled = ROOT3 * cdist(x, x) / np.sqrt(d)
    found = minimize(_loss, START, (scaled, t), method="L-BFGS-B", jac=True, bounds=BOUNDS, options={"maxiter": STEPS})
    amplitude, length, noise = np.exp(found.x)
    return ConstantKernel(amplitude) * Matern(length * np.sqrt(d), nu=1.5) + WhiteKernel(noise)


def _loss(theta: np.ndarray, scaled: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
    """Negative log marginal likelihood, up to a constant, and its gradient in log parameters (eq. 5.8 and 5.9).

    Args:
        scaled: (n, n): √3 times the distance, at length scale 1.
    """
    amplitude, length, noise = np.exp(theta)
    r = scaled / length
    decay = amplitude * np.exp(-r)
    signal = (1 + r) * decay
    k = signal.copy()
    k.flat[:: len(t) + 1] += noise + 1e-8
    factor, failed = lapack.dpotrf(k, lower=1)
    if failed:
        return np.inf, np.zeros(3)
    alpha = cho_solve((factor, True), t)
    inverse, _ = lapack.dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    value = t @ alpha / 2 + np.log(np.diag(factor)).sum()
    slope = np.outer(alpha, alpha) - inverse
    by_length = r * r * decay
    gradient = [(slope * signal).sum(), (slope * by_length).sum(), noise * np.trace(slope)]
    return float(value), -np.array(gradient) / 2


def fit_gp(x: np.ndarray, t: np.ndarray, kernel: Kernel) -> GaussianProcessRegressor:
    """A Gaussian process with a fixed kernel."""
    return GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-8).fit(x, t)


def gp_out_of_fold(process: GaussianProcessRegressor, t: np.ndarray, folds: Sequence[np.ndarray]) -> np.ndarray:
    """(n,): what the process with a fixed kernel would predict for every fold from the other ones.

    With K the kernel matrix and F a fold, the residual is ([K⁻¹]_FF)⁻¹ [K⁻¹ t]_F (Rasmussen & Williams 2006, eq. 5.12,
    for blocks), so the factorisation that the process has serves all folds.

    Args:
        process: fitted on the targets t (n,).
    """
    lower, failed = lapack.dpotri(process.L_, lower=1)
    if failed:
        raise np.linalg.LinAlgError("The kernel matrix is singular.")
    inverse = np.tril(lower) + np.tril(lower, -1).T
    predicted = np.empty(len(t))
    for fold in folds:
        residual = np.linalg.solve(inverse[np.ix_(fold, fold)], process.alpha_.ravel()[fold])
        predicted[fold] = t[fold] - residual
    return predicted
