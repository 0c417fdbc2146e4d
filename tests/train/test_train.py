"""Training: gradients, exact resume after SIGKILL, learning, evaluation."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from archrep import GHN
from archrep.errors import ArchrepError
from archrep.train import PRESETS, TrainConfig, evaluate
from archrep.train.evaluate import summarize
from archrep.train.functional import run, skeleton
from archrep.train.loop import Trainer, meta_batches
from archrep.train.run import continue_run, create

TINY = dataclasses.replace(
    PRESETS["ghn2-cifar10-small"],
    steps=6,
    meta_batch=2,
    images=16,
    warmup=2,
    val_archs=2,
    val_images=32,
    val_every=3,
    save_every=0.0,
)


def weights(path):
    return GHN.load(path).state_dict()


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_paper_preset():
    paper = PRESETS["ghn2-cifar10"]
    assert (paper.space, paper.meta_batch, paper.images, paper.lr, paper.weight_decay) == (
        "deepnets",
        8,
        64,
        1e-3,
        1e-5,
    )
    third = paper.steps // 3
    rates = [paper.lr_at(s) for s in (0, 2 * third - 1, 2 * third, paper.steps * 5 // 6, paper.steps - 1)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5, 1e-5])


def test_bad_configuration():
    with pytest.raises(ArchrepError, match="steps must be at least 1"):
        TrainConfig(steps=0)
    with pytest.raises(ArchrepError, match="schedule"):
        TrainConfig(schedule="constant")


def test_gradient_is_that_of_the_mean_loss(digits):
    """Backward per architecture, then once through the GHN, equals backward of Eq. 2 in one piece."""
    config = dataclasses.replace(TINY, clip=1e9, seed=1)
    trainer = Trainer(config, digits.train)
    drawn = meta_batches(dataclasses.replace(config, steps=20))
    architectures = [a for step in range(20) for a in drawn[step] if not has_dropout(a)][:2]
    x, y = digits.train.batch(torch.arange(16))
    predicted = trainer.ghn.predict_many([a.graph for a in architectures])
    losses = [
        torch.nn.functional.cross_entropy(run(skeleton(a).train(), p, x), y)
        for a, p in zip(architectures, predicted, strict=True)
    ]
    torch.stack(losses).mean().backward()
    expected = {n: p.grad.clone() for n, p in trainer.ghn.named_parameters()}

    from archrep.train import loop

    trainer.ghn.zero_grad()
    predicted = trainer.ghn.predict_many([a.graph for a in architectures])
    leaves = [loop._forward_backward(a, p, x, y, 2)[0] for a, p in zip(architectures, predicted, strict=True)]
    trainer.optimizer.step = lambda: None
    trainer._update(predicted, leaves)
    for name, parameter in trainer.ghn.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-3, atol=1e-5)


def has_dropout(architecture):
    return any(isinstance(m, torch.nn.Dropout) for m in skeleton(architecture).modules())


def test_non_finite_losses_are_skipped_and_counted(digits, monkeypatch):
    trainer = Trainer(TINY, digits.train)
    monkeypatch.setattr("archrep.train.loop.run", lambda network, parameters, x: x.new_full((len(x), 10), float("nan")))
    before = {n: p.clone() for n, p in trainer.ghn.named_parameters()}
    result = trainer.advance()
    assert result.skipped == 2
    assert all(torch.equal(before[n], p) for n, p in trainer.ghn.named_parameters())
    assert trainer.step == 1


def test_training_fits_one_architecture(digits):
    config = dataclasses.replace(TINY, steps=80, meta_batch=1, images=32, warmup=5)
    trainer = Trainer(config, digits.train)
    fixed = next(a for s in range(50) for a in trainer.meta_batches[s] if len(a.graph.primitives) < 50)
    trainer.meta_batches = [[fixed]] * 80
    results = [trainer.advance() for _ in range(80)]
    assert sum(r.accuracy for r in results[-10:]) / 10 > 25
    assert sum(r.loss for r in results[-10:]) < 0.95 * sum(r.loss for r in results[:10])


def test_sigkill_and_resume_gives_the_same_result(digits, tmp_path):
    for name in ("unbroken", "killed"):
        create(TINY, "digits", tmp_path / name, threads=1)
    continue_run(tmp_path / "unbroken", digits)

    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "archrep.cli", "train", "--resume", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.time() + 200
    while not (folder / "state.pt").exists() and time.time() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < torch.load(folder / "state.pt", weights_only=True)["step"] < TINY.steps
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    assert same(weights(folder / "last.safetensors"), weights(tmp_path / "unbroken" / "last.safetensors"))
    assert same(weights(folder / "best.safetensors"), weights(tmp_path / "unbroken" / "best.safetensors"))
    assert metrics(folder) == metrics(tmp_path / "unbroken")


def metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_damaged_state_and_foreign_folder(digits, tmp_path):
    with pytest.raises(ArchrepError, match="not the folder of a training run"):
        continue_run(tmp_path, digits)
    create(TINY, "digits", tmp_path / "run", threads=1)
    with pytest.raises(ArchrepError, match="--resume"):
        create(TINY, "digits", tmp_path / "run")
    (tmp_path / "run" / "state.pt").write_bytes(b"nonsense")
    with pytest.raises(ArchrepError, match="damaged resume state"):
        continue_run(tmp_path / "run", digits)


def test_evaluation_is_deterministic_and_summarised(digits, ghn, small):
    images = digits.test.subset(130)
    first = list(evaluate(ghn, small[:3], images))
    assert first == list(evaluate(ghn, small[:3], images))
    assert all(0 <= p.accuracy <= 100 for p in first)
    (row,) = summarize(first)
    assert row["n"] == 3
    assert row["ci_low"] <= row["mean"] <= row["ci_high"] <= row["max"]
