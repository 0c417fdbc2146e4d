"""Options of `archrep probe`, in this process: schemes, learning curves, tables of two sides, refusals."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from archrep.cli.main import app
from archrep.errors import ArchrepError
from archrep.probe import load_probe


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


def test_contradictions_are_refused(tables, tmp_path):
    cases = {
        "says how to split": ("--protocol", "nasbench_macro-30", "--train-size", 20),
        "give --test too": ("--shots", 3),
        "0 labels to test on and 60": ("--test", "deep"),
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
