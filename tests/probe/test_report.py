"""The report on planted labels of real architectures: signal, noise, controls, exclusions, the saved probe."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from archrep import architectures
from archrep.data.labels import read_labels
from archrep.errors import ArchrepError
from archrep.probe import load_probe, make_task, run_probe, save_probe
from archrep.probe.encoders import Context, encode
from archrep.probe.predict import predict_rows
from archrep.probe.reference import early_epochs, noise_ceiling, worth
from archrep.probe.render import as_json, as_markdown
from archrep.probe.splits import grouped
from archrep.probe.task import family_of

SPECS = ("op-counts", "size")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """60 real architectures; accuracy depends on the share of convolutions, `latency_ms` on nothing."""
    folder = tmp_path_factory.mktemp("tables")
    chosen = list(architectures("deepnets-small:train:0-59"))
    rng = np.random.default_rng(0)
    planted = np.array([a.graph.primitives.count("conv") / len(a.graph.primitives) for a in chosen])
    accuracy = 50 + 100 * planted + rng.normal(0, 0.5, 60)
    pd.DataFrame(
        {
            "arch": [a.id for a in chosen],
            "accuracy": accuracy,
            "latency_ms": rng.normal(size=60),
            "params": [a.graph.num_params for a in chosen],
            "flops": rng.uniform(1e6, 2e6, 60),
            "accuracy_4ep": accuracy + rng.normal(0, 20, 60),
            "accuracy_12ep": accuracy + rng.normal(0, 1e-3, 60),
            "accuracy_50ep": accuracy,
        }
    ).to_csv(folder / "l.csv", index=False)
    return folder


def task_of(path, target="accuracy", specs=SPECS, **more):
    labels = read_labels(path)
    return make_task(labels, target, specs, Context(labels.table), **more)


@pytest.fixture(scope="module")
def report(tables):
    task = task_of(tables / "l.csv")
    return run_probe(task, grouped(task.groups, repeats=2), probe="gp")


def test_a_planted_signal_is_recovered(report):
    scores = {s.encoder: s for s in report.scores}
    assert list(scores) == ["op-counts", "size", "size+op-counts", "mean predictor", "selected"]
    assert scores["op-counts"].tau_low > 0.5
    assert (scores["mean predictor"].tau, scores["mean predictor"].tau_high) == (0, 0)
    assert all(s.tau_low <= s.tau <= s.tau_high for s in report.scores)
    assert scores["size"].delta_high < 0
    assert scores["size"].p_holm < 0.05
    assert scores["selected"].tau > 0.5
    assert report.increments["size"].delta > 0.2
    assert {c["level"]: c["coverage"] for c in report.calibration}[0.9] == pytest.approx(0.9, abs=0.1)


def test_the_control_task_has_no_signal(report):
    assert report.control["low"] < 0 < report.control["high"]
    assert report.control["selectivity"] > 0.4


def test_worth_is_between_the_early_accuracies(report):
    assert [epochs for epochs, *_ in report.early] == [4, 12]  # not the last one
    assert {s.encoder: s.epochs for s in report.scores}["op-counts"] == 4
    early = [(4, "a", 0.3), (12, "b", 0.6), (36, "c", 0.5)]
    assert [worth(tau, early) for tau in (0.2, 0.4, 0.55, 0.7)] == [0, 4, 4, 36]
    assert early_epochs(pd.DataFrame({"x_4ep": [1.0, 2]}), np.array([1.0, 2])) == []


def test_early_accuracies_before_the_target_and_its_direction():
    table = pd.DataFrame({"a_4ep": [1.0, 2, 3, 4], "a_12ep": [1.0, 2, 4, 3], "a_50ep": [4.0, 3, 2, 1]})
    y = np.arange(4.0)
    assert early_epochs(table, y) == [(4, "a_4ep", 1.0), (12, "a_12ep", pytest.approx(2 / 3))]
    assert early_epochs(table, y, target="a_12ep") == [(4, "a_4ep", 1.0)]
    times = [(4, "a_4ep", -1.0), (12, "a_12ep", pytest.approx(-2 / 3))]  # the better early, the longer it takes
    assert early_epochs(table, y, higher_is_better=False) == times


def test_json_and_markdown_hold_everything(report):
    values = json.loads(json.dumps(as_json(report), allow_nan=False))
    assert values["n"] == 60
    assert values["leaked"] == 0
    assert values["scores"][0]["delta"] is None
    assert values["control"]["permutations"] == 8
    assert "| op-counts |" in as_markdown(report, "archrep probe")


def test_noise_gives_no_agreement_and_the_same_seed_the_same(tables):
    task = task_of(tables / "l.csv", "latency_ms", ("op-counts",))
    assert not task.target.higher_is_better
    first, second = (
        run_probe(task, grouped(task.groups, 1), probe="ridge", seed=4, control=False, fit=False) for _ in range(2)
    )
    assert first.scores[0].tau_low < 0.05
    assert [s.tau for s in first.scores] == [s.tau for s in second.scores]
    assert first.probe is None


def test_a_saved_probe_predicts_the_same(report, tables, tmp_path):
    save_probe(report.probe, tmp_path)
    loaded = load_probe(tmp_path)
    new = list(architectures("deepnets-small:train:60-69"))
    encodings = {spec: encode(spec, new) for spec in loaded.encoders}
    assert (loaded.predict(encodings) == report.probe.predict(encodings)).all()
    rows, refused = predict_rows(loaded, new, Context(), 0.9, graphs=True)
    assert refused == []
    assert [set(row) for row in rows] == [{"arch", "accuracy", "low", "high"}] * 10
    assert all(row["low"] < row["accuracy"] < row["high"] for row in rows)
    wider = loaded.predict(encodings, level=0.95)
    assert (wider[:, 2] - wider[:, 1] > loaded.predict(encodings, level=0.5)[:, 2] - wider[:, 0]).all()
    wrong = {spec: x[:, :1] for spec, x in encodings.items()}
    with pytest.raises(ArchrepError, match="was trained on"):
        loaded.predict(wrong)


def test_damaged_probes_are_refused(report, tmp_path):
    with pytest.raises(ArchrepError, match=r"no probe\.json"):
        load_probe(tmp_path)
    (tmp_path / "probe.skops").write_bytes(b"no zip")
    (tmp_path / "probe.json").write_text("no JSON")
    with pytest.raises(ArchrepError, match="not a readable probe"):
        load_probe(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts["residuals"].__setitem__(0, 0.0),
        lambda facts: facts["members"].__setitem__(0, ["size", "gp"]),
        lambda facts: facts["target"].__setitem__("higher_is_better", False),
        lambda facts: facts.pop("digest"),
    ],
)
def test_changed_probes_are_refused(report, tmp_path, change):
    save_probe(report.probe, tmp_path)
    load_probe(tmp_path)
    facts = json.loads((tmp_path / "probe.json").read_text())
    change(facts)
    (tmp_path / "probe.json").write_text(json.dumps(facts))
    with pytest.raises(ArchrepError, match="fit the probe again"):
        load_probe(tmp_path)


class Greeting:
    """No estimator of scikit-learn."""


def test_foreign_types_are_never_loaded(report, tmp_path):
    """Even where all digests are right."""
    save_probe(replace(report.probe, models=[Greeting()]), tmp_path)
    with pytest.raises(ArchrepError, match="Greeting, which no probe of archrep has"):
        load_probe(tmp_path)


def test_exclusions_are_counted(tables, tmp_path):
    table = pd.read_csv(tables / "l.csv")
    table.loc[:4, "accuracy"] = np.nan
    table = pd.concat([table, table.tail(1), table.iloc[[10]].assign(accuracy=1.0)])  # again, and contradicting
    table = pd.concat([table, table.tail(1).assign(arch="nasbench201:odd")])
    table.to_csv(tmp_path / "l.csv", index=False)
    task = task_of(tmp_path / "l.csv")
    assert len(task.y) == 54
    assert task.excluded == {
        "labels that are not finite": 5,
        "architectures labelled twice with different values and no seed to tell them apart": 1,
        "labels of architectures that cannot be made": 1,
    }


def test_mismatches_are_refused(tables, tmp_path):
    table = pd.read_csv(tables / "l.csv")
    cases = {
        "constant": table.assign(accuracy=1.0),
        "missing": table.assign(accuracy=np.nan),
        "can be encoded": table.assign(arch=[f"nasbench201:odd{i}" for i in range(60)]),
        "canonical": table.assign(arch=["deepnets-small:train:0-1", *table["arch"][1:]]),
        "at least 20": table.head(12),
    }
    for message, wrong in cases.items():
        wrong.to_csv(tmp_path / "w.csv", index=False)
        with pytest.raises(ArchrepError, match=message):
            run_probe(task_of(tmp_path / "w.csv"), probe="ridge")
    with pytest.raises(ArchrepError, match="no column 'kin'"):
        task_of(tables / "l.csv", group_by="kin")


def test_cells_without_a_graph_are_left_out_only_where_graphs_are_needed(tmp_path):
    connected = "nasbench201:|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    dead = "nasbench201:|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    pd.DataFrame(
        {"arch": [connected, dead, connected.replace("skip_connect", "nor_conv_1x1")], "accuracy": [3.0, 1, 2]}
    ).to_csv(tmp_path / "l.csv", index=False)
    with_graphs = task_of(tmp_path / "l.csv", specs=("op-counts",))
    assert with_graphs.excluded == {"architectures whose output does not depend on their input": 1}
    assert len(task_of(tmp_path / "l.csv", specs=()).y) == 3


def test_noise_ceiling_of_planted_noise():
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.normal(size=400), 3)
    runs = pd.DataFrame({"arch": np.repeat(np.arange(400), 3), "accuracy": truth + rng.normal(0, 0.7, 1200)})
    ceiling = noise_ceiling(runs, "accuracy")
    from scipy.stats import kendalltau

    reached = kendalltau(truth[::3], runs.groupby("arch")["accuracy"].mean()).statistic
    assert ceiling.tau == pytest.approx(reached, abs=0.03)
    assert (ceiling.architectures, ceiling.seeds) == (400, 3)
    assert noise_ceiling(runs.iloc[::3], "accuracy") is None


def test_families_of_models():
    names = {"timm:resnet50d": "timm:resnet", "timm:vit_base_patch16_224": "timm:vit"}

    class Named:
        def __init__(self, name):
            self.id = name

    assert {family_of(Named(name)) for name in names} == set(names.values())


def test_twins_in_training_are_remembered_and_nothing_else():
    """The control task where two thirds of the test architectures have a twin in training."""
    from pathlib import Path

    from archrep.data.labels import Labels
    from archrep.data.targets import TARGETS
    from archrep.probe.splits import subsets
    from archrep.probe.task import Task

    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 2)
    x = rng.normal(size=(60, 6))[groups]
    chosen = list(architectures("nasbench_macro:00000000")) * 120
    labels = Labels(pd.DataFrame(index=[chosen[0].id]), {}, {}, Path("l.csv"))
    task = Task(TARGETS["accuracy"], chosen, x[:, 0], groups, {"one-hot": x}, {}, "numbers", labels)
    report = run_probe(task, subsets(groups, 60, 8, keep_groups=False), probe="knn", fit=False)
    assert report.control["low"] < 0 < report.control["high"]
    assert report.control["with_twins"] > 0.15
    score = report.scores[0]
    assert report.control["selectivity"] == pytest.approx(score.tau - report.control["with_twins"])
