"""Probes recover what was planted, and their closed forms equal refitting fold by fold."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.spatial.distance import cdist
from scipy.stats import kendalltau
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import Ridge

from archrep.errors import ArchrepError
from archrep.probe import gp, models
from archrep.probe.gp import fit_gp, gp_out_of_fold, tune
from archrep.probe.models import PROBES, fit_probe
from archrep.probe.select import choose, fit_candidates, probes_of, select
from archrep.probe.splits import inner_folds


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 6))
    t = x @ [1.0, -0.7, 0.3, 0, 0, 0] + 0.4 * np.sin(3 * x[:, 0])
    return x, (t - t.mean()) / t.std()


@pytest.mark.parametrize("probe", list(PROBES))
def test_a_planted_signal_is_recovered(planted, probe):
    x, t = planted
    folds = inner_folds(np.arange(100), 0)
    fitted = fit_probe(probe, x[:100], t[:100], folds, seed=0)
    assert kendalltau(fitted.out_of_fold, t[:100]).statistic > 0.45
    assert kendalltau(fitted.model.predict(x[100:]), t[100:]).statistic > 0.45
    if probe not in ("boosting", "forest"):  # which take seconds
        again = fit_probe(probe, x[:100], t[:100], folds, seed=0)
        assert (again.out_of_fold == fitted.out_of_fold).all()


def test_ridge_out_of_fold_is_refitting(planted):
    x, t = planted
    z = (x - x.mean(0)) / x.std(0)
    folds = inner_folds(np.arange(160), 0)
    fitted = fit_probe("ridge", x, t, folds, seed=0)
    for fold in folds:
        train = np.setdiff1d(np.arange(160), fold)
        # Centred on all data, as the closed form is: the intercept is one more, unpenalised column.
        refitted = Ridge(fitted.settings["alpha"]).fit(z[train], t[train])
        assert fitted.out_of_fold[fold] == pytest.approx(refitted.predict(z[fold]), abs=1e-6)


def test_gp_out_of_fold_is_refitting(planted):
    x, t = planted
    kernel, folds = tune(x, t, seed=0), inner_folds(np.arange(160), 0)
    predicted = gp_out_of_fold(fit_gp(x, t, kernel), t, folds)
    for fold in folds:
        train = np.setdiff1d(np.arange(160), fold)
        assert predicted[fold] == pytest.approx(fit_gp(x[train], t[train], kernel).predict(x[fold]), abs=1e-4)


def test_no_columns_give_the_mean_and_large_data_are_refused(planted, monkeypatch):
    _, t = planted
    assert (fit_probe("gp", np.empty((160, 0)), t, [], 0).out_of_fold == t.mean()).all()
    monkeypatch.setitem(models.LARGEST, "svr", 100)
    with pytest.raises(ArchrepError, match="at most 100 training architectures, got 160"):
        fit_probe("svr", planted[0], t, [], 0)
    assert "svr" not in probes_of("auto", 160)
    with pytest.raises(ArchrepError, match=r"Unknown probe 'rigde'\. Did you mean 'ridge'"):
        probes_of("rigde", 10)


def test_a_gp_learns_from_a_part_of_large_data(planted, monkeypatch):
    x, t = planted
    monkeypatch.setitem(models.LARGEST, "gp", 80)
    fitted = fit_probe("gp", x, t, inner_folds(np.arange(160), 0), seed=0)
    assert fitted.model[-1].X_train_.shape == (80, 6)
    assert kendalltau(fitted.out_of_fold, t).statistic > 0.6


def test_the_encoder_that_knows_is_chosen(planted):
    x, t = planted
    noise = np.random.default_rng(1).normal(size=x.shape)
    encodings = {"noise": noise, "signal": x, "nothing": np.empty((160, 0))}
    members = select(encodings, t, np.arange(160), seed=0)
    assert {m.encoder for m in members} == {"signal"}
    assert len(select(encodings, t, np.arange(160), choice="ensemble")) == 3
    alone = select(encodings, t, np.arange(160), choice="ridge")
    assert [(m.encoder, m.probe) for m in alone] == [("signal", "ridge")]


def test_an_average_is_taken_only_where_it_helps(planted):
    x, t = planted
    folds = inner_folds(np.arange(160), 0)
    halves = [c for k in (0, 1) for c in fit_candidates(f"half {k}", x[:, k : k + 1], t, folds, ["ridge"], 0)]
    assert len(choose(halves, t)) == 2
    with pytest.raises(ArchrepError, match="No encoder is left"):
        choose([], t)


@pytest.mark.parametrize("probe", ["ridge", "gp"])
def test_shuffled_labels_give_no_rank_agreement(planted, probe):
    x, t = planted
    taus = []
    for seed in range(8):
        shuffled = np.random.default_rng(seed).permutation(t)
        fitted = fit_probe(probe, x[:100], shuffled[:100], inner_folds(np.arange(100), 0), seed=0)
        taus.append(kendalltau(fitted.model.predict(x[100:]), shuffled[100:]).statistic)
    assert abs(np.nanmean(np.nan_to_num(taus))) < 0.12


def test_the_kernel_has_the_largest_marginal_likelihood_and_its_gradient_is_right(planted):
    x, t = planted
    scaled = gp.ROOT3 * cdist(x, x) / np.sqrt(6)
    theta = np.log([0.7, 2.0, 0.2])
    _, gradient = gp._loss(theta, scaled, t)
    assert gradient == pytest.approx(approx_fprime(theta, lambda p: gp._loss(p, scaled, t)[0], 1e-6), rel=1e-3)
    reference = GaussianProcessRegressor(tune(x, t, seed=0), optimizer=None).fit(x, t)
    best = reference.log_marginal_likelihood(reference.kernel_.theta)
    for step in (0.2, -0.2):
        for i in range(3):
            moved = reference.kernel_.theta + step * np.eye(3)[i]
            assert reference.log_marginal_likelihood(moved) < best + 1e-3
