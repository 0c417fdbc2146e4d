"""Learning curves rise with the labels, resume from their journal and come out the same from several processes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archrep.data.labels import Labels
from archrep.data.targets import TARGETS
from archrep.errors import ArchrepError
from archrep.journal import Journal
from archrep.probe.curves import curve_sizes, learning_curve, summarize_curve
from archrep.probe.protocols import protocol
from archrep.probe.task import Task
from archrep.space import architectures


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8))
    y = x @ rng.normal(size=8) + rng.normal(size=200)
    encodings = {"signal": x, "noise": rng.normal(size=(200, 8))}
    chosen = list(architectures("nasbench_macro:00000000")) * 200
    labels = Labels(pd.DataFrame(), {}, {}, Path("l.csv"))
    return Task(TARGETS["accuracy"], chosen, y, np.arange(200), encodings, {}, "nothing", labels)


def test_more_labels_rank_better_and_noise_does_not(task, tmp_path):
    rows = learning_curve(task, Journal(tmp_path / "j.jsonl", {"a": 1}, "another"), resamplings=5)
    assert len(rows) == 2 * 2 * 5 * 5  # encoders, probes, sizes 20 … 156, resamplings
    summary = summarize_curve(rows).set_index(["encoder", "probe", "n"])
    assert summary.loc[("signal", "ridge", 156), "mean"] > summary.loc[("signal", "ridge", 20), "mean"] + 0.02
    assert abs(summary.loc[("noise", "ridge", 156), "mean"]) < 0.15
    assert (summary["low"] <= summary["mean"]).all()
    assert (summary["resamplings"] == 5).all()


def test_a_curve_resumes_and_grows(task, tmp_path):
    path = tmp_path / "j.jsonl"
    first = learning_curve(task, Journal(path, {"a": 1}, "another"), probes=("ridge",), resamplings=1)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:4]) + "\n" + lines[4][:10])  # killed while writing the fourth row
    again = learning_curve(task, Journal(path, {"a": 1}, "another"), probes=("ridge",), resamplings=1)
    assert again.equals(first)
    fits = []
    more = learning_curve(
        task,
        Journal(path, {"a": 1}, "another"),
        probes=("ridge",),
        resamplings=2,
        progress=lambda total: fits.append(total) or (lambda: None),
    )
    assert len(more) == 2 * len(first)
    assert fits == [len(first)]


@pytest.mark.slow
def test_two_processes_give_the_rows_of_one(task, tmp_path):
    one, two = (
        learning_curve(task, Journal(tmp_path / f"{w}", {}, ""), probes=("ridge",), resamplings=1, workers=w)
        for w in (1, 2)
    )
    assert one.drop(columns="r2").equals(two.drop(columns="r2"))
    assert one["r2"].to_numpy() == pytest.approx(two["r2"].to_numpy())


def test_too_few_labels_are_refused():
    assert curve_sizes(1000)[-1] == 781
    with pytest.raises(ArchrepError, match="at least 25"):
        curve_sizes(24)


def test_protocols(task):
    chosen = protocol("nasbench_macro-50")
    left, scheme = chosen.apply(task, resamplings=3)
    assert [(len(s.train), len(s.test)) for s in scheme.splits] == [(50, 150)] * 3
    assert left is task
    with pytest.raises(ArchrepError, match="takes labels of nasbench201; these are of nasbench_macro"):
        protocol("nasbench201-100").apply(task)
    with pytest.raises(ArchrepError, match="there are 0 and 0"):
        protocol("ppuda").apply(task)
    with pytest.raises(ArchrepError, match="Unknown protocol 'pudda'"):
        protocol("pudda")
    assert protocol("ppuda").probe == "svr-wide"
    assert protocol("nasbench101-class-10").one_per_class
