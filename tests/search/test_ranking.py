"""Rankings: order and ties, both directions, the Pareto front against the definition, pools that do not fit."""

import numpy as np
import pandas as pd
import pytest

from archrep import architectures
from archrep.data.embeddings import Embeddings
from archrep.data.labels import read_labels
from archrep.data.targets import TARGETS
from archrep.errors import ArchrepError
from archrep.probe.encoders import Context
from archrep.search.ranking import Ranking, fit_targets, pareto, rank_pool, rank_table


def ranking(values, target="accuracy", **more):
    names = np.array([f"a:{i}" for i in range(len(values))], object)
    columns = {target: np.repeat(np.asarray(values, float)[:, None], 3, axis=1), **more}
    return Ranking([TARGETS[name] for name in columns], names, columns)


def test_ties_share_a_rank_and_come_by_name():
    table = ranking([1.0, 3.0, 2.0, 3.0, 3.0]).table()
    assert table["arch"].tolist() == ["a:1", "a:3", "a:4", "a:2", "a:0"]
    assert table["rank"].tolist() == [1, 1, 1, 4, 5]
    assert list(table) == ["arch", "rank", "predicted", "low", "high"]
    assert ranking([1.0, 3.0, 2.0, 3.0, 3.0]).table(top=2)["arch"].tolist() == ["a:1", "a:3"]
    assert len(ranking([1.0, 2.0]).table(top=10)) == 2


def test_less_is_better_for_latency():
    assert ranking([3.0, 1.0, 2.0], "latency_ms").table()["arch"].tolist() == ["a:1", "a:2", "a:0"]


def test_equal_but_for_the_last_digit_is_tied():
    assert ranking([0.1 + 0.2, 0.3, 0.1]).table()["rank"].tolist() == [1, 1, 3]


@pytest.mark.parametrize("targets", [2, 3])
def test_front_is_what_nothing_dominates(targets):
    values = np.random.default_rng(0).integers(0, 12, (300, targets)).astype(float)
    expected = [not ((values >= row).all(axis=1) & (values > row).any(axis=1)).any() for row in values]
    assert pareto(values).tolist() == expected
    assert pareto(np.zeros((4, targets))).all()


def test_front_knows_directions():
    more = {"params": np.repeat(np.array([[5.0], [1.0], [9.0], [1.0]]), 3, axis=1)}
    table = ranking([90.0, 80.0, 85.0, 70.0], **more).table()
    assert table[table["pareto"]]["arch"].tolist() == ["a:0", "a:1"]
    assert list(table)[-4:] == ["params", "params_low", "params_high", "pareto"]


@pytest.fixture(scope="module")
def macro(planted):
    return read_labels(planted)


def few(labels, count):
    from dataclasses import replace

    table = labels.table.iloc[:count]
    return replace(labels, table=table, runs=labels.runs[labels.runs["arch"].isin(table.index)])


def ranked(labels, names, pool, **more):
    context = Context(labels.table)
    probes, notes = fit_targets(labels, names, {"nasbench_macro"}, (), context, **more)
    return rank_pool(architectures(*pool), probes, context), probes, notes


def test_a_planted_order_is_found_from_few_labels(macro):
    pool = macro.table.index[60:]
    found, _, notes = ranked(few(macro, 60), ["accuracy"], pool)
    truth = macro.table.loc[found.names, "accuracy"].to_numpy()
    predicted, low, high = found.values["accuracy"].T
    assert pd.Series(truth).corr(pd.Series(predicted), method="kendall") > 0.8
    assert 0.75 < ((low <= truth) & (truth <= high)).mean() <= 1
    assert notes == []


def test_parameters_are_counted_where_labels_lack_them(macro):
    from dataclasses import replace

    bare = replace(macro, table=macro.table.drop(columns="params"))
    pool = list(architectures(*macro.table.index[:20]))
    found, probes, _ = ranked(bare, ["accuracy", "params"], [a.id for a in pool])
    assert probes["params"] is None
    assert found.values["params"][:, 0].tolist() == [a.graph.num_params for a in pool]


def test_too_few_labels(macro):
    with pytest.raises(
        ArchrepError, match="3 usable labels of accuracy, of 3 different architectures; a ranking needs"
    ):
        ranked(few(macro, 3), ["accuracy"], macro.table.index[:20])
    found, _, _ = ranked(few(macro, 5), ["accuracy"], macro.table.index[:20])
    assert np.isinf(found.values["accuracy"][:, 1:]).all()  # no finite interval at 90 % from five labels


def test_labels_of_other_spaces_teach_nothing(macro):
    with pytest.raises(ArchrepError, match="graph-features:network"):
        fit_targets(macro, ["accuracy"], {"nasbench201"}, (), Context())
    with pytest.raises(ArchrepError, match="Unknown target"):
        fit_targets(macro, ["speed"], {"nasbench_macro"}, (), Context())


def test_a_table_of_embeddings_is_ranked_as_it_is():
    rng = np.random.default_rng(0)
    names = [f"deepnets:train:{i}" for i in range(25_000)]
    values = rng.normal(size=(25_000, 6)).astype(np.float32)
    table = pd.DataFrame({"space": "deepnets", "split": "train"}, index=pd.Index(names, name="arch"))
    embeddings = Embeddings(table, values, {})
    from archrep.probe.evaluation import Work
    from archrep.probe.saved import fit_final

    x, y = values[:80].astype(float), values[:80, 0].astype(float)
    work = Work({"ghn": x}, y, np.arange(80), "ridge", "standard", 0)
    probe = fit_final(work, ["ghn"], TARGETS["accuracy"], {})
    found = rank_table(embeddings, {"accuracy": probe})
    np.testing.assert_allclose(found.values["accuracy"][:, 0], values[:, 0], atol=0.05)
    assert found.table(1)["arch"][0] == names[int(values[:, 0].argmax())]
    other = fit_final(Work({"size": x}, y, np.arange(80), "ridge", "standard", 0), ["size"], TARGETS["accuracy"], {})
    with pytest.raises(ArchrepError, match="needs the encoder 'size'"):
        rank_table(embeddings, {"accuracy": other})
