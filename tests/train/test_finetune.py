"""Fine-tuning from predicted and from random parameters: same budget, same images, repeatable, resumable."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

import archrep
from archrep import GHN, GHNConfig
from archrep.data import load_images
from archrep.data.images import PixelImages
from archrep.errors import ArchrepError
from archrep.shipped import CHECKPOINT, shipped
from archrep.train import finetune as module
from archrep.train.finetune import Finetuning, Recipe, few_shots, fill, summarize_inits
from archrep.train.jobs import Job, run_jobs

BRIEF = Recipe(shots=4, epochs=2, batch=16)


def jobs_of(architectures, inits=("ghn", "random"), seeds=(0,)):
    return [
        Job({"arch": a.id, "space": a.space, "split": a.split, "init": init, "seed": seed}, a)
        for a in architectures
        for seed in seeds
        for init in inits
    ]


def work_of(ghn, digits, recipe=BRIEF):
    return Finetuning(ghn, few_shots(digits.train, recipe.shots, 10), digits.test.subset(100), 10, recipe)


def test_few_shots_are_the_first_of_every_class(digits):
    few = few_shots(digits.train, 5, 10)
    assert torch.bincount(few.labels).tolist() == [5] * 10
    first = torch.nonzero(digits.train.labels == 7)[:5, 0]
    assert torch.equal(few.pixels[few.labels == 7], digits.train.pixels[first])
    with pytest.raises(ArchrepError, match="500 images of every class are not there: class"):
        few_shots(digits.train, 500, 10)


def test_recipe():
    recipe = Recipe()
    assert (recipe.shots, recipe.epochs, recipe.batch, recipe.lr, recipe.weight_decay) == (100, 50, 96, 0.025, 1e-3)
    assert recipe.lr_at(0) == 0.025
    assert recipe.lr_at(25) == pytest.approx(0.0125)
    with pytest.raises(ArchrepError, match="epochs must be at least 1"):
        Recipe(epochs=0)
    with pytest.raises(ArchrepError, match="optimizer must be 'sgd' or 'adam'"):
        Recipe(optimizer="lion")
    with pytest.raises(ArchrepError, match="lr must be a finite number"):
        Recipe(lr=float("inf"))


def test_runs_are_repeatable_and_leave_random_state_alone(digits, ghn, small):
    work, jobs = work_of(ghn, digits), jobs_of(small[:1], seeds=(0, 1))
    before = torch.get_rng_state()
    rows = run_jobs(work, jobs)
    assert torch.equal(before, torch.get_rng_state())
    assert run_jobs(work, jobs[::-1]) == rows[::-1]
    assert len({tuple(row.items()) for row in rows}) == 4


def test_both_inits_see_the_same_images(digits, ghn, small, monkeypatch):
    """The random one is the network's own initialisation, the other has the predicted parameters; nothing else."""
    starts, batches = [], []
    train, batch = module._train, PixelImages.batch

    def recorded_train(network, *arguments):
        starts.append({n: p.detach().clone() for n, p in network.named_parameters()})
        assert all(float(m.running_mean.abs().sum()) == 0 for m in network.modules() if isinstance(m, nn.BatchNorm2d))
        batches.append([])
        return train(network, *arguments)

    def recorded_batch(images, index, augment=None):
        if augment is not None:  # in training; the dropout of the step follows from the global state
            batches[-1].append((index.tolist(), augment.get_state().tolist(), torch.get_rng_state().tolist()))
        return batch(images, index, augment)

    monkeypatch.setattr(module, "_train", recorded_train)
    monkeypatch.setattr(PixelImages, "batch", recorded_batch)
    run_jobs(work_of(ghn, digits), jobs_of(small[:1]))
    assert batches[0] == batches[1]
    assert len(batches[0]) > 1
    filled, random = starts
    predicted = ghn.predict(small[0].graph)
    assert all(torch.equal(filled[name], value) for name, value in predicted.items())
    assert all(not torch.equal(filled[n], random[n]) for n in predicted if predicted[n].dim() == 4)


def test_training_learns_and_tracks_running_statistics(digits, ghn, small):
    recipe = Recipe(shots=20, epochs=10, batch=20, optimizer="adam", lr=3e-3)
    (row,) = run_jobs(work_of(ghn, digits, recipe), jobs_of(small[:1], inits=["random"]))
    assert row["accuracy"] > 35  # in eval mode: with running statistics
    assert row["train_accuracy"] > 35
    assert not row["diverged"]


def test_divergence_and_failures_are_recorded(digits, ghn, small):
    wrong = dataclasses.replace(small[1], make_network=lambda: nn.Linear(3, 4))
    recipe = dataclasses.replace(BRIEF, lr=1e30)
    rows = run_jobs(work_of(ghn, digits, recipe), jobs_of([small[0], wrong]))
    assert [row.get("diverged") for row in rows] == [True, True, None, None]
    ghn_row, random_row, difference = summarize_inits(rows)
    assert (ghn_row["n"], ghn_row["failed"], ghn_row["diverged"]) == (1, 1, 1)
    assert random_row["failed"] == 1
    assert difference["n"] == 1


def test_a_ghn_of_another_data_set_leaves_the_classifier_alone(small):
    ghn = GHN.untrained(GHNConfig(num_classes=100))
    network = small[0].build()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    fill(network, ghn, small[0].graph, 10)
    changed = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    classifier = [name for name in before if name.startswith("classifier")][-2:]
    assert changed == set(small[0].graph.param_shapes) - set(classifier)


def row(init, arch, seed, accuracy):
    return {"init": init, "arch": arch, "seed": seed, "accuracy": accuracy, "diverged": False}


def test_summary_is_paired_and_over_architectures():
    rows = [row("random", f"a{i}", s, 10.0 * i + s) for i in range(5) for s in range(2)]
    rows += [row("ghn", f"a{i}", s, 10.0 * i + s + 7) for i in range(5) for s in range(2)]
    random, ghn, difference = summarize_inits(rows)
    assert (random["n"], random["runs"], random["mean"], random["max"]) == (5, 10, 20.5, 41.0)
    assert ghn["mean"] == 27.5
    assert random["ci_high"] - random["ci_low"] > 15
    assert (difference["mean"], difference["ci_low"], difference["ci_high"]) == (7.0, 7.0, 7.0)
    (alone,) = summarize_inits([row("ghn", "a", s, float(s)) for s in range(6)])
    assert (alone["n"], alone["runs"], alone["mean"]) == (1, 6, 2.5)
    assert alone["ci_low"] < 2.5 < alone["ci_high"]  # over seeds


def test_a_killed_run_resumes(tmp_path):
    out, journal = tmp_path / "f.csv", tmp_path / "f.jsonl"
    options = (
        "--archs deepnets-small:test:0-1 --data digits --shots 4 --epochs 15 --images 100 --threads 1 --json --out"
    )
    command = [sys.executable, "-m", "archrep.cli", "finetune", *options.split(), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.time() + 200
    while not (journal.exists() and "\n" in journal.read_text()) and time.time() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = [line for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert 1 <= len(finished) < 5
    assert not out.exists()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = journal.read_text().splitlines(keepends=True)
    assert lines[: len(finished)] == finished
    assert len(lines) == 5
    assert [r["init"] for r in json.loads(done.stdout)["results"]] == ["ghn", "random", "ghn - random"]
    assert out.read_text().count("\n") == 5


@pytest.mark.shared
def test_predicted_parameters_are_worth_something_on_real_images(cifar10_folder):
    images = load_images(str(cifar10_folder))
    recipe = Recipe(shots=20, epochs=3, batch=50)
    work = Finetuning(
        GHN.load(shipped(CHECKPOINT)), few_shots(images.train, 20, 10), images.test.subset(300), 10, recipe
    )
    rows = run_jobs(work, jobs_of(list(archrep.architectures("deepnets-small:test:0-1"))))
    ghn, random, _ = summarize_inits(rows)
    assert ghn["mean"] > random["mean"] + 3
    assert ghn["mean"] > 20
