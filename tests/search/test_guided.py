"""The incremental Gaussian process against scikit-learn's."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from archrep.search.guided import Posterior, expected_improvement


@pytest.fixture
def fitted():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5))
    x[:, 4] = 3.0  # a constant column
    t = np.sin(x[:, 0]) + rng.normal(0, 0.1, 60)
    observed = rng.permutation(60)[:40].tolist()
    posterior = Posterior(x)
    for i in observed[:25]:
        posterior.observe(i)
    posterior.refit(t[observed[:25]], 0)
    for i in observed[25:]:
        posterior.observe(i)
    return posterior, x, t[observed], observed


def reference(posterior, x, t, observed):
    z = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    kernel = ConstantKernel(posterior.amplitude) * Matern(posterior.length, nu=1.5)
    full = GaussianProcessRegressor(kernel + WhiteKernel(posterior.noise), optimizer=None, alpha=0)
    return full.fit(z[observed], t).predict(z, return_std=True)


def test_one_row_at_a_time_is_the_exact_posterior(fitted):
    posterior, x, t, observed = fitted
    mean, sd = reference(posterior, x, t, observed)
    np.testing.assert_allclose(posterior.mean(t), mean, atol=1e-8)
    np.testing.assert_allclose(posterior.sd() ** 2 + posterior.noise, sd**2, atol=1e-8)


def test_samples_have_the_mean_and_spread_of_the_posterior(fitted):
    posterior, _, t, _ = fitted
    rng = np.random.default_rng(1)
    samples = []
    for _ in range(1500):
        posterior.features = None  # new frequencies for every sample
        samples.append(posterior.sample(t, rng))
    assert np.abs(np.mean(samples, axis=0) - posterior.mean(t)).max() < 0.12
    assert np.abs(np.std(samples, axis=0) / posterior.sd() - 1).max() < 0.15


def test_expected_improvement_prefers_better_and_less_certain():
    class Known:
        def __init__(self, mean, sd):
            self.mean, self.sd = lambda t: np.array(mean), lambda: np.array(sd)

    rng = np.random.default_rng(0)
    better = expected_improvement(Known([0.0, 1.0], [1.0, 1.0]), np.array([0.5]), rng)
    wider = expected_improvement(Known([0.0, 0.0], [1.0, 2.0]), np.array([0.5]), rng)
    assert better[1] > better[0] > 0
    assert wider[1] > wider[0] > 0
    samples = rng.normal(0, 1, 400_000)
    assert better[0] == pytest.approx(np.maximum(samples - 0.5, 0).mean(), abs=2e-3)
