"""Probes: τ against scipy, planted signals, shuffled labels, groups."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from archrep import GHN, architectures
from archrep.data.embeddings import read_embeddings, write_embeddings
from archrep.data.labels import read_labels
from archrep.errors import ArchrepError
from archrep.probe import run_probe
from archrep.probe.metrics import bootstrap_weights, fold_pairs, interval, kendall_tau
from archrep.probe.probe import cross_validate, fit, make_folds


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """60 real architectures; accuracy depends on the number of convolutions, `noise` on nothing."""
    folder = tmp_path_factory.mktemp("tables")
    chosen = list(architectures("deepnets-small:train:0-59"))
    graphs = [a.graph for a in chosen]
    ghn = GHN.untrained()
    columns = {"arch": [a.id for a in chosen], "space": [a.space for a in chosen], "split": [a.split for a in chosen]}
    write_embeddings(folder / "e.parquet", columns, ghn.embed(graphs).numpy(), {}, force=False)
    rng = np.random.default_rng(0)
    planted = np.array([g.primitives.count("conv") / len(g.primitives) for g in graphs])
    labels = pd.DataFrame(
        {
            "arch": columns["arch"],
            "accuracy": 50 + 100 * planted + rng.normal(0, 0.5, 60),
            "latency_ms": rng.normal(size=60),
            "params": [g.num_params for g in graphs],
            "flops": rng.uniform(1e6, 2e6, 60),
        }
    )
    labels.to_csv(folder / "l.csv", index=False)
    return folder


def test_tau_equals_scipy_and_handles_ties():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 8, 40).astype(float), rng.normal(size=40)
    one_fold = fold_pairs(x, y, [np.arange(40)])
    assert kendall_tau(one_fold, np.ones((1, 40)))[0] == pytest.approx(kendalltau(x, y).statistic)
    assert kendall_tau(fold_pairs(x, np.zeros(40), [np.arange(40)]), np.ones((1, 40)))[0] == 0
    repeated = np.array([[2] * 20 + [0] * 20])
    expected = kendalltau(np.repeat(x[:20], 2), np.repeat(y[:20], 2)).statistic
    assert kendall_tau(one_fold, repeated)[0] == pytest.approx(expected)


def test_pairs_are_compared_within_folds_only():
    measured = np.array([1.0, 2.0, 3.0, 4.0])
    predicted = np.array([5.0, 6.0, 1.0, 2.0])  # right within each fold, wrong across
    folds = [np.array([0, 1]), np.array([2, 3])]
    assert kendall_tau(fold_pairs(measured, predicted, folds), np.ones((1, 4)))[0] == 1


def test_bootstrap_keeps_groups_together():
    groups = np.array(["a", "a", "b", "c", "c"])
    weights = bootstrap_weights(groups, 200, seed=0)
    assert weights.shape == (200, 5)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert interval(np.arange(1001.0)) == pytest.approx((25.0, 975.0))


def test_groups_are_never_divided_and_all_are_tested_once():
    groups = np.repeat(np.arange(30), 2)
    for folds in make_folds(groups, repeats=3, seed=0):
        assert sorted(np.concatenate(folds).tolist()) == list(range(60))
        for test in folds:
            train = np.setdiff1d(np.arange(60), test)
            assert not set(groups[test]) & set(groups[train])
    with pytest.raises(ArchrepError, match="at least 20"):
        make_folds(np.arange(19), 1, 0)


def test_twins_do_not_leak():
    """Pure noise, every row twice: ungrouped folds would memorise it, grouped ones cannot."""
    rng = np.random.default_rng(0)
    x, y, groups = (np.repeat(v, 2, axis=0) for v in (rng.normal(size=(60, 5)), rng.normal(size=60), np.arange(60)))
    folds = make_folds(groups, repeats=2, seed=0)
    predictions = cross_validate(x, y, groups, folds, seed=0)
    pairs = [p for v, f in zip(predictions.values, folds, strict=True) for p in fold_pairs(y, v, f)]
    assert abs(kendall_tau(pairs, np.ones((1, 120)))[0]) < 0.25


def test_planted_signal_is_recovered_and_noise_is_not(tables):
    embeddings, labels = read_embeddings(tables / "e.parquet"), read_labels(tables / "l.csv")
    report = run_probe(embeddings, labels, "accuracy", repeats=2)
    scores = {s.encoder: s for s in report.scores}
    assert list(scores) == ["GHN embedding", "untrained GHN", "op counts", "params + FLOPs", "mean predictor"]
    assert scores["GHN embedding"].tau_low > 0.3
    assert scores["op counts"].tau > 0.5
    assert (scores["mean predictor"].tau, scores["mean predictor"].tau_high) == (0, 0)
    assert all(s.tau_low <= s.tau <= s.tau_high for s in report.scores)
    # The embeddings in this table come from the same untrained GHN as the control.
    assert scores["untrained GHN"].delta == pytest.approx(0, abs=1e-9)

    noise = run_probe(embeddings, labels, "latency_ms", repeats=2)
    assert not noise.target.higher_is_better
    ghn = noise.scores[0]
    assert ghn.tau_low < 0.1
    assert noise.facts == run_probe(embeddings, labels, "latency_ms", repeats=2).facts


def test_same_seed_same_report(tables):
    embeddings, labels = read_embeddings(tables / "e.parquet"), read_labels(tables / "l.csv")
    first, second = (run_probe(embeddings, labels, "accuracy", seed=4, repeats=1) for _ in range(2))
    assert first.scores == second.scores


def test_exclusions_are_counted_and_mismatches_refused(tables, tmp_path):
    embeddings = read_embeddings(tables / "e.parquet")
    table = pd.read_csv(tables / "l.csv")
    table.loc[:4, "accuracy"] = np.nan
    table.loc[60] = ["deepnets-small:train:99", 1.0, 1.0, 1, 1]
    table.to_csv(tmp_path / "l.csv", index=False)
    report = run_probe(embeddings, read_labels(tmp_path / "l.csv"), "accuracy", repeats=1)
    assert report.facts["n"] == 55
    assert report.excluded["labels that are not finite"] == 5
    assert report.excluded["labels without embedding"] == 1

    table.assign(arch=[f"deepnets:test:{i}" for i in range(61)]).to_csv(tmp_path / "o.csv", index=False)
    with pytest.raises(ArchrepError, match="none of its 61 architectures has an embedding"):
        run_probe(embeddings, read_labels(tmp_path / "o.csv"), "accuracy")
    table.assign(accuracy=1.0).to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(ArchrepError, match="constant"):
        run_probe(embeddings, read_labels(tmp_path / "c.csv"), "accuracy")


def test_probe_chooses_inside_the_given_data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    model = fit(x, x @ [3.0, -2.0, 0.0], np.arange(80), seed=0)
    new = rng.normal(size=(20, 3))
    assert kendalltau(model.predict(new), new @ [3.0, -2.0, 0.0]).statistic > 0.8
