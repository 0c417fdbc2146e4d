"""Evaluation of predicted parameters: noise, failures, ImageNet forms, workers, and resuming after SIGKILL."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import archrep
from archrep import GHN, GHNConfig
from archrep.data import load_images
from archrep.data.tables import read_table
from archrep.errors import ArchrepError
from archrep.graph.capture import capture
from archrep.shipped import CHECKPOINT, shipped
from archrep.space.deepnets import fitted
from archrep.train.evaluate import Batches, Evaluation, Predicted, evaluate, mean_interval, summarize
from archrep.train.functional import use_batch_statistics
from archrep.train.jobs import Job, Output, run_jobs
from archrep.train.published import published
from tests.data.test_image_files import write_folder

CPU = torch.device("cpu")
MODULE = import_module("archrep.train.evaluate")  # its function of the same name hides it


def jobs_of(architectures):
    return [Job({"ghn": "checkpoint", "arch": a.id, "space": a.space, "split": a.split}, a) for a in architectures]


def test_accuracy_is_that_of_a_filled_network(digits, ghn, small):
    """Assigning the parameters to a real network and counting by hand gives the same."""
    images = digits.test.subset(130)
    network = use_batch_statistics(small[0].build()).eval()
    archrep.predict_parameters(network, ghn, graph=small[0].graph)
    correct = 0
    for x, y in Batches(images, CPU):
        assert 64 <= len(y) < 128
        with torch.no_grad():
            correct += int((network(x).argmax(dim=1) == y).sum())
    (result,) = evaluate(ghn, small[:1], images)
    assert result.accuracy == pytest.approx(100 * correct / 130)
    assert (result.non_finite, result.accuracy_top5) == (0, None)


def test_noise_is_the_same_for_every_architecture_and_lies_on_pixels(digits):
    images = digits.test.subset(200)
    noisy, again = Batches(images, CPU, noise=0.08, seed=1), Batches(images, CPU, noise=0.08, seed=1)
    clean, other = Batches(images, CPU), Batches(images, CPU, noise=0.08, seed=2)
    std, mean = (torch.tensor(v)[:, None, None] for v in (images.std, images.mean))
    differences = []
    for (a, _), (b, _), (c, _), (d, _) in zip(noisy, again, clean, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, d)
        pixels, before = a * std + mean, c * std + mean
        assert pixels.min() > -1e-5
        assert pixels.max() < 1 + 1e-5
        inside = (before > 0.3) & (before < 0.7)  # where nothing is clipped
        differences.append((pixels - before)[inside])
    assert float(torch.cat(differences).std()) == pytest.approx(0.08, rel=0.03)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(noisy, noisy, strict=True))


def test_noise_that_is_streamed_is_the_noise_that_is_kept(digits, monkeypatch):
    images = digits.test.subset(200)
    kept = Batches(images, CPU, noise=0.1)
    monkeypatch.setattr(MODULE, "KEPT_BYTES", 0)
    streamed = Batches(images, CPU, noise=0.1)
    for _ in range(2):
        assert all(torch.equal(a, b) for (a, _), (b, _) in zip(kept, streamed, strict=True))


def test_logits_that_are_not_finite_count_as_wrong(digits, ghn, small, monkeypatch):
    images = digits.test.subset(128)

    def run(network, parameters, x):
        logits = torch.zeros(len(x), 10)
        logits[:, 3] = 1
        logits[::2, 3] = float("nan")  # argmax alone would call these right
        return logits

    monkeypatch.setattr(MODULE, "run", run)
    (result,) = evaluate(ghn, small[:1], images)
    right = sum(int((y[1::2] == 3).sum()) for _, y in Batches(images, CPU))
    assert result.non_finite == 64
    assert result.accuracy == 100 * right / 128
    (row,) = summarize([result])
    assert (row["n"], row["non_finite"], row["failed"]) == (1, 1, 0)


def test_failures_are_counted_and_the_rest_goes_on(digits, ghn, small):
    wrong = dataclasses.replace(small[1], make_network=lambda: nn.Linear(3, 4))
    images = digits.test.subset(64)
    (imagenet,) = archrep.architectures(f"{__file__}:ForImageNet")
    rows = run_jobs(Evaluation({"checkpoint": ghn}, images), jobs_of([wrong, small[0], imagenet]))
    assert ["error" in row for row in rows] == [True, False, True]
    assert rows[2]["error"].startswith("takes 3×224×224, the images are 3×32×32")
    first, second = summarize(rows)
    assert (first["space"], first["split"], first["n"], first["failed"]) == ("deepnets-small", "test", 1, 1)
    assert (second["space"], second["n"], second["mean"], second["failed"]) == ("own", 0, None, 1)
    with pytest.raises(ArchrepError, match="All 1 runs failed"):
        run_jobs(Evaluation({"checkpoint": ghn}, images), jobs_of([wrong]))


class ForImageNet(nn.Module):
    input_shape = (3, 224, 224)

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 10)

    def forward(self, x):
        return self.head(x.mean(dim=(2, 3)))


class WithBuffer(nn.Module):
    """A buffer with values, as attention keeps index tables."""

    def __init__(self):
        super().__init__()
        self.register_buffer("order", torch.tensor([2, 0, 1]))
        self.head = nn.Linear(3, 10)

    def forward(self, x):
        return self.head(x.mean(dim=(2, 3))[:, self.order])


def test_networks_with_buffers_are_evaluated(digits, ghn):
    (architecture,) = archrep.architectures(f"{__file__}:WithBuffer")
    (result,) = evaluate(ghn, [architecture], digits.test.subset(64))
    assert result.non_finite == 0


def test_workers_give_what_one_process_gives_in_order(digits, ghn, small):
    images = digits.test.subset(64)
    work = Evaluation({"checkpoint": ghn}, images, noise=0.05)
    alone = run_jobs(work, jobs_of(small[:5]))
    seen = []
    assert run_jobs(work, jobs_of(small[:5]), workers=2, progress=seen.append) == alone
    assert sorted(row["arch"] for row in seen) == sorted(row["arch"] for row in alone)


def test_summary_is_closed_form(digits):
    results = [Predicted(f"a:{i}", "a", "test", float(v), None, 0) for i, v in enumerate([10, 20, 60])]
    results.append(Predicted("b:0", "b", "test", 5.0, 50.0, 0))
    a, b = summarize(results)
    assert (a["space"], a["n"], a["mean"], a["max"]) == ("a", 3, 30.0, 60.0)
    assert 10 <= a["ci_low"] < 30 < a["ci_high"] <= 60
    assert "mean_top5" not in a
    assert b["mean_top5"] == 50.0
    values = np.random.default_rng(0).normal(50, 5, 400)
    low, high = mean_interval(values)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)  # normal theory


def test_published_figures_stand_beside_paper_size_splits_only():
    assert published("deepnets", "test", ["deepnets:test:0"]) == (66.9, 51.4, 42.2)
    assert published("deepnets-small", "test", ["deepnets-small:test:0"]) is None
    assert published("deepnets", "predefined", ["deepnets:predefined:0"]) == (58.6, 19.2, 17.7)
    assert published("deepnets", "predefined", ["deepnets:predefined:0", "deepnets:predefined:1"]) is None


def test_fitted_networks_run_and_have_the_captured_graph():
    specs = ("deepnets-small:test:0", "deepnets:predefined:1", "deepnets-small:bnfree:0")
    for architecture in archrep.architectures(*specs):
        form = fitted(architecture, 7, 224)
        network = form.build().eval()
        assert network(torch.zeros(2, 3, 224, 224)).shape == (2, 7)
        assert capture(network, (3, 224, 224)).hash() == form.graph.hash()
        assert (form.id, form.input_shape, form.config.n_cells) == (architecture.id, (3, 224, 224), form.config.n_cells)
        assert fitted(architecture, 10, 32) is architecture
        assert fitted(architecture, 100, 32).graph.num_params > architecture.graph.num_params
    (wide, test) = archrep.architectures("deepnets:wide:0", "deepnets:test:0")
    assert fitted(wide, 1000, 224).config.channels == 2 * fitted(test, 1000, 224).config.channels


def test_architectures_that_do_not_fit_are_named():
    (small,) = archrep.architectures("deepnets-small:test:0")
    with pytest.raises(ArchrepError, match="32 or 224 pixels; these have 64"):
        fitted(small, 10, 64)
    (cell,) = archrep.architectures("nasbench_macro:00000000")
    assert fitted(cell, 10, 32) is cell
    with pytest.raises(ArchrepError, match=r"gives \(2, 10\) for 2 images; expected logits \(2, 100\)"):
        fitted(cell, 100, 32)
    with pytest.raises(ArchrepError, match="the images are 3×224×224"):
        fitted(cell, 10, 224)


def test_an_imagenet_ghn_on_a_folder_of_images(tmp_path):
    images = load_images(str(write_folder(tmp_path, train=2, val=3)))
    ghn = GHN.untrained(GHNConfig(num_classes=3))
    results = list(evaluate(ghn, archrep.architectures("deepnets-small:test:0-1"), images.test, noise=0.18))
    assert all(0 <= r.accuracy <= 100 and r.non_finite == 0 for r in results)


def test_top5_from_100_classes_on(digits):
    ghn = GHN.untrained(GHNConfig(num_classes=100))
    results = list(evaluate(ghn, archrep.architectures("deepnets-small:test:0-1"), digits.test.subset(128)))
    assert all(r.accuracy <= r.accuracy_top5 <= 100 for r in results)
    assert summarize(results)[0]["mean_top5"] == np.mean([r.accuracy_top5 for r in results])


def command(out):
    arguments = ("evaluate", "--archs", "deepnets-small:test:0-5", "--data", "digits", "--images", 64)
    return [sys.executable, "-m", "archrep.cli", *map(str, (*arguments, "--threads", 1, "--json", "--out", out))]


def test_a_killed_evaluation_resumes(digits, tmp_path):
    out, journal = tmp_path / "e.parquet", tmp_path / "e.jsonl"
    process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL)
    deadline = time.time() + 200
    while (not journal.exists() or journal.read_text().count("\n") < 3) and time.time() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = journal.read_text()
    finished = finished[: finished.rfind("\n") + 1].splitlines()
    assert 3 <= len(finished) < 7
    assert not out.exists()
    done = subprocess.run(command(out), check=True, capture_output=True, text=True)
    assert journal.read_text().splitlines()[: len(finished)] == finished
    assert len(journal.read_text().splitlines()) == 7
    table, header = read_table(out, "results", ("ghn", "arch", "split", "accuracy", "non_finite"))
    assert table["arch"].to_pylist() == [f"deepnets-small:test:{i}" for i in range(6)]
    assert header["provenance"]["evaluate"] == {"noise": 0.0, "seed": 0}
    checkpoint = shipped(CHECKPOINT)
    images = digits.test.subset(64)
    whole = list(evaluate(GHN.load(checkpoint), archrep.architectures("deepnets-small:test:0-5"), images))
    assert table["accuracy"].to_pylist() == [r.accuracy for r in whole]
    assert json.loads(done.stdout)["results"][0]["mean"] == pytest.approx(summarize(whole)[0]["mean"])
    with pytest.raises(ArchrepError, match=r"with other options\. Choose another --out"):
        Output.of(out, {"evaluate": {"noise": 0.1, "seed": 0}}, checkpoint, "digits", [images], False)


def test_a_table_has_the_jobs_in_order_and_what_else_the_journal_has(digits, small, tmp_path):
    GHN.untrained(seed=1).save(tmp_path / "g.safetensors")
    output = Output.of(tmp_path / "t.csv", {}, tmp_path / "g.safetensors", "digits", [digits.test], False)
    jobs = jobs_of(small[:3])
    older = jobs_of(small[3:4])[0].key | {"accuracy": 1.0}
    for row in (older, jobs[2].key | {"accuracy": 2.0}, jobs[0].key | {"accuracy": 3.0}, jobs[1].key | {"error": "x"}):
        output.journal.append(row)
    output.write(jobs, [jobs[0].key | {"accuracy": 3.0}, jobs[1].key | {"error": "x"}, jobs[2].key | {"accuracy": 2.0}])
    assert list(pd.read_csv(tmp_path / "t.csv")["arch"]) == [small[0].id, small[2].id, small[3].id]
    with pytest.raises(ArchrepError, match=r"a name in \.parquet or \.csv"):
        Output.of(tmp_path / "t.txt", {}, tmp_path / "g.safetensors", "digits", [digits.test], False)


@pytest.mark.shared
def test_real_images(cifar10_folder):
    images = load_images(str(cifar10_folder)).test.subset(200)
    ghn = GHN.load(shipped(CHECKPOINT))
    architectures = list(archrep.architectures("deepnets-small:test:0-5"))
    (clean,) = summarize(list(evaluate(ghn, architectures, images)))
    (noisy,) = summarize(list(evaluate(ghn, architectures, images, noise=0.5)))
    assert clean["mean"] > 20
    assert noisy["mean"] < clean["mean"] - 3
