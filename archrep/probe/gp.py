"""Gaussian-process probe: one optimisation of the marginal likelihood, out-of-fold predictions in closed form."""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

TUNED_ON = 400  # at most so many architectures tune the kernel: a Cholesky factor costs n³, and it has few parameters
STEPS = 40  # of L-BFGS


def start_kernel(d: int) -> Kernel:
    """The kernel with its starting values, for d standardised columns: signal + noise."""
    length = np.sqrt(d)
    signal = ConstantKernel(1.0, (1e-2, 1e3)) * Matern(length, (0.1 * length, 100 * length), nu=2.5)
    return signal + WhiteKernel(0.1, (1e-3, 2.0))


def tune(x: np.ndarray, t: np.ndarray, seed: int, kernel: Kernel | None = None) -> Kernel:
    """The kernel that maximises the marginal likelihood, from one start, on at most `TUNED_ON` architectures.

    Args:
        x: (n, d) standardised. t: (n,) about standardised.
    """
    if len(x) > TUNED_ON:
        chosen = np.random.default_rng(seed).permutation(len(x))[:TUNED_ON]
        x, t = x[chosen], t[chosen]
    kernel = kernel or start_kernel(x.shape[1])
    gp = GaussianProcessRegressor(kernel, optimizer=None).fit(x, t)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = gp.log_marginal_likelihood(theta, eval_gradient=True, clone_kernel=False)
        return -value, -gradient

    found = minimize(loss, kernel.theta, method="L-BFGS-B", jac=True, bounds=kernel.bounds, options={"maxiter": STEPS})
    return kernel.clone_with_theta(found.x)


def fit_gp(x: np.ndarray, t: np.ndarray, kernel: Kernel) -> GaussianProcessRegressor:
    """A Gaussian process with a fixed kernel."""
    return GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-8).fit(x, t)


def gp_out_of_fold(x: np.ndarray, t: np.ndarray, kernel: Kernel, folds: Sequence[np.ndarray]) -> np.ndarray:
    """(n,): what the process with a fixed kernel predicts for every fold from the other ones.

    With K the kernel matrix and F a fold, the residual is ([K⁻¹]_FF)⁻¹ [K⁻¹ t]_F (Rasmussen & Williams 2006, eq. 5.12,
    for blocks), so one factorisation serves all folds.
    """
    factor = cho_factor(kernel(x) + 1e-8 * np.eye(len(x)))
    inverse = cho_solve(factor, np.eye(len(x)))
    solved = inverse @ t
    predicted = np.empty(len(t))
    for fold in folds:
        predicted[fold] = t[fold] - np.linalg.solve(inverse[np.ix_(fold, fold)], solved[fold])
    return predicted
