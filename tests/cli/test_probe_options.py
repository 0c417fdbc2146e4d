"""Options of `archrep probe`, in this process: schemes, learning curves, tables of two sides, refusals."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from archrep.cli.main import app
from archrep.errors import ArchrepError
from archrep.probe import load_probe
from archrep.space import architectures
from tests.conftest import PROJECT


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """90 NAS-Bench-Macro architectures in two tables; `clue` says half of the accuracy."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    names = [f"nasbench_macro:{np.base_repr(7 * i, 3).zfill(8)}" for i in range(90)]
    clue = rng.normal(size=90)
    table = pd.DataFrame(
        {"arch": names, "accuracy": 90 + clue + rng.normal(size=90), "clue": clue, "noise": clue[::-1]}
    )
    table.iloc[:60].to_csv(folder / "a.csv", index=False)
    table.iloc[55:].to_csv(folder / "b.csv", index=False)
    return folder


@pytest.fixture
def _no_figures(monkeypatch):
    """Drawing takes longer than all the rest; `test_cli.py` looks at the figures."""
    monkeypatch.setattr("archrep.plot.style.save_figure", lambda figure, points, prefix: None)


def probe(tables, out, *more):
    fixed = ("probe", "--labels", tables / "a.csv", "--encoders", "columns:clue,columns:noise", "--probe", "ridge")
    result = CliRunner().invoke(app, [*map(str, (*fixed, "--out", out, *more))])
    if result.exception:
        raise result.exception
    return json.loads((out / "report.json").read_text())


@pytest.mark.usefixtures("_no_figures")
@pytest.mark.parametrize(
    ("options", "split", "leaks"),
    [
        ((), "5×5-fold cross-validation, grouped", False),
        (("--split", "random"), "5×5-fold cross-validation, random", True),
        (("--train-size", 30, "--resamplings", 3), "3 training sets of 30, grouped", False),
        (("--protocol", "nasbench_macro-30", "--resamplings", 3), "3 training sets of 30, random", True),
        (("--split", "one-per-group", "--train-size", 20, "--resamplings", 3), "3 training sets of 20, random", False),
    ],
)
def test_schemes(tables, tmp_path, options, split, leaks):
    report = probe(tables, tmp_path / "p", *options)
    assert report["split"] == split
    assert (report["leaked"] > 0) == leaks
    assert report["scores"][0]["tau"] > 0.3
    assert report["scores"][0]["tau"] > report["scores"][1]["tau"]


@pytest.mark.usefixtures("_no_figures")
def test_one_table_for_training_and_one_for_testing(tables, tmp_path):
    zero = probe(tables, tmp_path / "zero", "--test", tables / "b.csv")
    assert (zero["split"], zero["train_size"], zero["test_size"]) == ("zero-shot", 55, 35)
    assert zero["excluded"] == {"training labels of architectures that are tested on": 5}
    few = probe(tables, tmp_path / "few", "--test", tables / "b.csv", "--shots", 5, "--resamplings", 4)
    assert (few["split"], few["train_size"]) == ("5-shot, 4 draws", 60)


def test_a_learning_curve_is_drawn_and_continued(tables, tmp_path):
    out = tmp_path / "p"
    first = probe(tables, out, "--learning-curve", "--resamplings", 2)
    assert {row["n"] for row in first["learning_curve"]} == {20}
    assert (out / "curve.png").stat().st_size > 1000
    rows = (tmp_path / "p.jsonl").read_text().count("\n")
    again = probe(tables, out, "--learning-curve", "--resamplings", 2, "--force")
    assert again["learning_curve"] == first["learning_curve"]
    assert (tmp_path / "p.jsonl").read_text().count("\n") == rows
    assert load_probe(out).encoders == ["columns:clue"]
    shutil.rmtree(out)
    with pytest.raises(ArchrepError, match="was of another learning curve"):
        probe(tables, out, "--learning-curve", "--resamplings", 2, "--limit", 50)


def test_contradictions_are_refused(tables, tmp_path):
    cases = {
        "says how to split": ("--protocol", "nasbench_macro-30", "--train-size", 20),
        "--shots out": ("--protocol", "nasbench_macro-30", "--shots", 3),
        "give --test too": ("--shots", 3),
        "0 labels to test on and 60": ("--test", "deep"),
        "--split without it": ("--test", "deep", "--split", "random"),
        "draws its own training sets": ("--test", "deep", "--learning-curve"),
        "one training set only": ("--test", "deep", "--resamplings", 3),
        "60 labels are cross-validated": ("--resamplings", 3),
        "leave --probe out": ("--protocol", "ppuda"),
        "name ghn in --encoders": ("--embeddings", PROJECT / "checkpoints/ghn2-cifar10-small.embeddings.parquet"),
        "'accuracy', higher is better": ("--direction", "lower"),
        "Unknown direction": ("--direction", "up"),
        "leave --encoders out": ("--known-devices", "all"),
        "is the target 'accuracy' itself": ("--encoders", "one-hot+columns:accuracy"),
        "Unknown split": ("--split", "odd"),
        "is not possible": ("--train-size", 55),
        "Unknown target 'latency'": ("--target", "latency"),
        "has no known direction": ("--target", "clue"),
        "No encoder is given": ("--encoders", ","),
        "Unknown encoder 'sise'": ("--encoders", "sise"),
    }
    for message, options in cases.items():
        with pytest.raises(ArchrepError, match=message):
            probe(tables, tmp_path / "p", *options)
    assert not (tmp_path / "p").exists()


@pytest.mark.usefixtures("_no_figures")
def test_commas_inside_of_an_encoder(tables, tmp_path):
    """The last --encoders counts; `columns:clue,noise` is one encoder of two columns."""
    report = probe(tables, tmp_path / "p", "--encoders", "columns:clue,noise,one-hot+columns:noise,clue,paths")
    named = [score["encoder"] for score in report["scores"]]
    assert named[:3] == ["columns:clue,noise", "one-hot+columns:noise,clue", "paths"]
    assert [score["dimensions"] for score in report["scores"]][:2] == [2, 26]


@pytest.mark.usefixtures("_no_figures")
def test_a_direction_makes_any_column_a_target(tables, tmp_path):
    """The same predictions; only what is best changes."""
    options = ("--target", "clue", "--encoders", "columns:accuracy")
    high = probe(tables, tmp_path / "high", *options, "--direction", "higher")
    low = probe(tables, tmp_path / "low", *options, "--direction", "lower")
    assert (high["target"]["higher_is_better"], low["target"]["higher_is_better"]) == (True, False)
    assert high["scores"][0]["tau"] == low["scores"][0]["tau"] > 0.3
    assert high["scores"][0]["regret_at_k"] != low["scores"][0]["regret_at_k"]


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    """40 cells on six devices with a common factor; one cell is missing on one of them."""
    rng = np.random.default_rng(0)
    names = [f"nasbench_macro:{np.base_repr(11 * i, 3).zfill(8)}" for i in range(40)]
    factor = rng.normal(size=40)
    values = {f"gpu{i}": np.exp((i + 1) * factor / 3 + 0.05 * rng.normal(size=40)) for i in range(6)}
    table = pd.DataFrame({"arch": names, **values, "kind": "cell"})
    table.loc[4, "gpu2"] = np.nan
    path = tmp_path_factory.mktemp("devices") / "latency.csv"
    table.to_csv(path, index=False)
    return path


def on_devices(devices, out, *more):
    result = CliRunner().invoke(app, [*map(str, ("probe", "--labels", devices, "--out", out, *more))])
    if result.exception:
        raise result.exception
    return result.stdout


def test_latency_on_new_devices(devices, tmp_path):
    gpus = ("--known-devices", ",".join(f"gpu{i}" for i in range(6)))
    printed = on_devices(devices, tmp_path / "all", *gpus, "--target", "all", "--resamplings", 4)
    report = json.loads((tmp_path / "all" / "report.json").read_text())
    assert [row["device"] for row in report["devices"]] == [f"gpu{i}" for i in range(6)]
    assert report["mean"]["spearman"] > 0.9
    assert report["mean"]["low"] < report["mean"]["spearman"] < report["mean"]["high"]
    assert (report["n"], report["train_size"]) == (39, 10)
    assert report["excluded"] == {"architectures without a label on every device": 1}
    assert "mean" in printed
    assert "0.9" in printed
    assert len(pd.read_csv(tmp_path / "all" / "predictions.csv")) == 24
    assert "| gpu3 |" in (tmp_path / "all" / "report.md").read_text()
    assert (tmp_path / "all" / "devices.png").stat().st_size > 1000
    one = json.loads(on_devices(devices, tmp_path / "one", *gpus, "--target", "gpu0", "--train-size", 5, "--json"))
    assert [row["device"] for row in one["devices"]] == ["gpu0"]
    assert (one["train_size"], one["resamplings"]) == (5, 20)


def test_devices_that_cannot_be(devices, tmp_path):
    cases = {
        "no column is a latency": ("--known-devices", "all", "--target", "gpu0"),
        "Unknown target 'gpu9'": ("--known-devices", "gpu1,gpu2,gpu9", "--target", "gpu0"),
        "column 'kind' is not numeric": ("--known-devices", "gpu1,gpu2,gpu3", "--target", "kind"),
        "at least 3 known devices": ("--known-devices", "gpu0,gpu1", "--target", "gpu0"),
        "more than 60 architectures": ("--known-devices", "gpu1,gpu2,gpu3", "--target", "gpu0", "--train-size", 60),
    }
    for message, options in cases.items():
        with pytest.raises(ArchrepError, match=message):
            on_devices(devices, tmp_path / "p", *options)
    assert not (tmp_path / "p").exists()


@pytest.mark.usefixtures("_no_figures")
def test_the_protocol_of_the_paper(tmp_path):
    """Support vector regression learns from the split val and ranks the split test; other splits take no part."""
    chosen = list(architectures("deepnets-small:val:0-29", "deepnets-small:test:0-24", "deepnets-small:wide:0-4"))
    share = [a.graph.primitives.count("conv") / len(a.graph.primitives) for a in chosen]
    table = pd.DataFrame({"arch": [a.id for a in chosen], "accuracy": share, "clue": np.sqrt(share)})
    table.to_csv(tmp_path / "a.csv", index=False)
    encoders = ("--encoders", "columns:clue,op-counts")
    command = ("probe", "--labels", tmp_path / "a.csv", *encoders, "--protocol", "ppuda", "--out", tmp_path / "p")
    result = CliRunner().invoke(app, [*map(str, command)])
    assert result.exception is None, result.exception
    report = json.loads((tmp_path / "p" / "report.json").read_text())
    assert report["split"] == "ppuda: trained on val, tested on test"
    assert (report["train_size"], report["test_size"], report["splits"]) == (30, 25, 1)
    assert (report["probe"], report["transform"]) == ("svr-wide", "standard")
    assert report["scores"][0]["chosen"] == "columns:clue · svr-wide"
    assert report["scores"][0]["tau"] > 0.8
    assert report["excluded"] == {"architectures outside of the splits val and test": 5}
    table.iloc[:40].to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ArchrepError, match="there are 30 and 10, and 20 of each are needed"):
        raise CliRunner().invoke(app, [*map(str, (*command, "--force"))]).exception
