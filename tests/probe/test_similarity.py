"""Similarity of encodings: the known traps."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from archrep.errors import ArchrepError
from archrep.probe.similarity import cka, distance_correlation, neighbor_overlap, similarity_table

MEASURES = {
    "cka": cka,
    "cka_biased": lambda x, y: cka(x, y, unbiased=False),
    "distances": distance_correlation,
    "pearson": lambda x, y: distance_correlation(x, y, ranks=False),
    "neighbors": neighbor_overlap,
}


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(80, 6)) * np.arange(1, 7)


@pytest.mark.parametrize("name", MEASURES)
def test_itself_rotated_scaled_and_moved_is_the_same(name, x):
    rotation = ortho_group.rvs(6, random_state=1)
    assert MEASURES[name](x, x) == pytest.approx(1)
    assert MEASURES[name](x, 1e3 * x @ rotation + 7) == pytest.approx(1)
    assert MEASURES[name](x, 1e-6 * x) == pytest.approx(1)


@pytest.mark.parametrize("name", MEASURES)
def test_symmetric_and_without_order(name, x):
    y = x[:, 2:] + np.random.default_rng(1).normal(size=(80, 4))
    order = np.random.default_rng(2).permutation(80)
    value = MEASURES[name](x, y)
    assert 0.1 < value < 0.999
    assert MEASURES[name](y, x) == pytest.approx(value)
    assert MEASURES[name](x[order], y[order]) == pytest.approx(value)
    assert MEASURES[name](x, y[order]) < value - 0.1


def test_an_invertible_map_that_is_no_rotation_is_another_encoding(x):
    stretched = x * np.array([100, 1, 1, 1, 1, 1])
    assert cka(x, stretched) < 0.6
    assert distance_correlation(x, stretched) < 0.6


def test_wide_random_encodings_fool_the_biased_estimator_only():
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(50, 500)), rng.normal(size=(50, 500))) for _ in range(20)]
    assert np.mean([cka(*p, unbiased=False) for p in pairs]) > 0.85
    unbiased = [cka(*p) for p in pairs]
    assert abs(np.mean(unbiased)) < 4 * np.std(unbiased) / np.sqrt(20) + 1e-3
    assert min(unbiased) < 0


def test_unbiased_hsic_is_the_definition(x):
    """Song et al. 2012, eq. 4: the mean over distinct i, j, q, r, as sums over the kernels without diagonals."""
    y = np.random.default_rng(3).normal(size=(80, 4))

    def by_kernels(a, b):
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        k, l, n = a @ a.T, b @ b.T, len(a)  # noqa: E741
        np.fill_diagonal(k, 0)
        np.fill_diagonal(l, 0)
        one = np.ones(n)
        return np.trace(k @ l) + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 * (one @ k @ l @ one) / (n - 2)

    expected = by_kernels(x, y) / np.sqrt(by_kernels(x, x) * by_kernels(y, y))
    assert cka(x, y) == pytest.approx(expected)


def test_shared_neighbours_of_independent_encodings_are_chance():
    rng = np.random.default_rng(0)
    values = [neighbor_overlap(rng.normal(size=(200, 5)), rng.normal(size=(200, 5)), 10) for _ in range(10)]
    assert np.mean(values) == pytest.approx(10 / 199, abs=0.01)


def test_twins_do_not_break_identity():
    x = np.repeat(np.random.default_rng(0).normal(size=(20, 3)), 5, axis=0)
    assert neighbor_overlap(x, x @ ortho_group.rvs(3, random_state=1), 7) == 1
    assert distance_correlation(x, x) == pytest.approx(1)


def test_many_architectures(x):
    rng = np.random.default_rng(0)
    large = rng.normal(size=(3000, 4))
    noisy = large + 0.1 * rng.normal(size=(3000, 4))
    assert distance_correlation(large, noisy) > 0.95
    assert distance_correlation(large, noisy) == distance_correlation(large, noisy, seed=0)
    assert neighbor_overlap(large, large, 5) == 1


def test_table_of_encoders(small):
    from archrep.probe.encoders import Context, encode

    encodings = {spec: encode(spec, small, Context()) for spec in ("op-counts", "size", "graph-features")}
    table = similarity_table(encodings, k=3)
    assert len(table) == 3
    assert table["chance"].unique() == pytest.approx(3 / (len(small) - 1))
    assert table["neighbor_overlap"].between(0, 1).all()


def test_refusals(x):
    cases = {
        "the same 4 or more architectures": (x, x[:79]),
        "needed; got": (x[:3], x[:3]),
        "not finite": (x, np.full_like(x, np.nan)),
        "A constant encoding": (x, np.full((80, 2), 1e6)),
    }
    for message, arguments in cases.items():
        with pytest.raises(ArchrepError, match=message):
            cka(*arguments)
    for k in (0, 79):
        with pytest.raises(ArchrepError, match="k must be from 1 to 78"):
            neighbor_overlap(x, x, k)
