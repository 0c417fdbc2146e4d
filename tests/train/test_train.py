"""Training: gradients, exact resume after SIGKILL, learning, evaluation."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from archrep import GHN, GHNConfig
from archrep.errors import ArchrepError
from archrep.train import PRESETS, TrainConfig
from archrep.train.functional import run, skeleton
from archrep.train.group import Group
from archrep.train.loop import StepResult, Trainer
from archrep.train.meta_batches import meta_batches
from archrep.train.run import BEST, PATIENCE, continue_run, create, is_run_of, read_metrics
from archrep.train.steps import Step, Steps

TINY = dataclasses.replace(
    PRESETS["ghn2-cifar10-small"],
    steps=6,
    meta_batch=2,
    images=16,
    warmup=2,
    network_clip=None,
    small_first=0.0,
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
    for name, value in [("schedule", "constant"), ("optimizer", "sgd"), ("amp", "int8"), ("clip", 0.0), ("lr", -1.0)]:
        with pytest.raises(ArchrepError, match=f"{name} must"):
            TrainConfig(**{name: value})
    with pytest.raises(ArchrepError, match="label_smoothing must be within"):
        TrainConfig(label_smoothing=1.5)


def test_presets():
    """GHN-2, GHN-1 and the MLP differ in nothing but the GHN; for ImageNet, in classes and largest shape."""
    assert len(PRESETS) == 9
    for data in ("cifar10", "imagenet", "cifar10-small"):
        ghns = [PRESETS[f"{kind}-{data}"] for kind in ("ghn2", "ghn1", "mlp")]
        assert len({dataclasses.replace(config, ghn=ghns[0].ghn) for config in ghns}) == 1
        assert [c.ghn.gnn for c in ghns] == ["gated", "gated", "mlp"]
        assert [c.ghn.virtual_edges and c.ghn.normalize and c.ghn.layer_norm for c in ghns] == [True, False, True]
    imagenet = PRESETS["ghn1-imagenet"]
    assert (imagenet.images, imagenet.label_smoothing, imagenet.ghn.num_classes) == (256, 0.1, 1000)


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

    trainer.optimizer.step = lambda: None  # the gradients stay
    result = trainer.advance(Step([*enumerate(architectures)], None, x, y))
    assert result.loss == pytest.approx(sum(loss.item() for loss in losses) / 2, rel=1e-5)
    for name, parameter in trainer.ghn.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-3, atol=1e-5)


def has_dropout(architecture):
    return any(isinstance(m, torch.nn.Dropout) for m in skeleton(architecture).modules())


def nan(network, parameters, x):
    return x.new_full((len(x), 10), float("nan"), requires_grad=True) * sum(p.sum() for p in parameters.values())


def test_non_finite_losses_are_skipped_and_counted(digits, monkeypatch):
    trainer = Trainer(TINY, digits.train)
    step = trainer.steps[0]
    monkeypatch.setattr("archrep.train.loop.run", nan)
    before = {n: p.clone() for n, p in trainer.ghn.named_parameters()}
    result = trainer.advance(step)
    assert result.skipped == 2
    assert result.loss != result.loss
    assert all(torch.equal(before[n], p) for n, p in trainer.ghn.named_parameters())
    assert trainer.step == 1


def test_one_network_without_a_finite_loss_does_not_stop_the_others(digits, monkeypatch):
    """The step is that of the others; the mean stays that over the whole meta-batch."""
    trainer = Trainer(TINY, digits.train)
    step = trainer.steps[0]
    results = []

    def first_is_nan(network, parameters, x):
        results.append(run(network, parameters, x))
        return results[-1] * (float("inf") if len(results) == 1 else 1.0)

    monkeypatch.setattr("archrep.train.loop.run", first_is_nan)
    before = {n: p.clone() for n, p in trainer.ghn.named_parameters()}
    result = trainer.advance(step)
    assert result.skipped == 1
    assert result.loss == pytest.approx(torch.nn.functional.cross_entropy(results[1], step.labels).item(), rel=1e-5)
    assert not all(torch.equal(before[n], p) for n, p in trainer.ghn.named_parameters())


def test_a_run_without_finite_losses_stops(digits, tmp_path, monkeypatch):
    create(dataclasses.replace(TINY, steps=1000, val_every=1000), "digits", digits, tmp_path / "run", threads=1)
    calls = []

    def nothing_finite(self, step):
        calls.append(self)
        self.step += 1
        return StepResult(float("nan"), float("nan"), 2)

    monkeypatch.setattr(Trainer, "advance", nothing_finite)
    monkeypatch.setattr(Steps, "__getitem__", lambda self, step: None)
    with pytest.raises(ArchrepError, match=f"no finite loss in {PATIENCE} steps in a row. Start a run with a lower"):
        continue_run(tmp_path / "run", digits)
    assert len(calls) == PATIENCE


@pytest.mark.parametrize(
    "changes", [{"optimizer": "adamw", "weight_decay": 0.1}, {"amp": "bf16"}, {"label_smoothing": 0.3}]
)
def test_options_change_what_is_learned(digits, changes):
    """Each from the same start: nothing is ignored."""
    states = []
    for config in (TINY, dataclasses.replace(TINY, **changes)):
        trainer = Trainer(config, digits.train)
        results = [trainer.advance(trainer.steps[step]) for step in range(2)]
        assert all(r.skipped == 0 and 0 < r.loss < 10 for r in results)
        states.append(trainer.ghn.state_dict())
    assert not same(*states)


def test_networks_gradients_are_clipped_one_by_one(digits):
    """In their parameters: no network moves the GHN more than its share."""
    clipped = []
    for limit in (None, 0.01):
        config = dataclasses.replace(TINY, network_clip=limit)
        trainer = Trainer(config, digits.train)
        step = trainer.steps[0]
        (_, architecture), *_ = step.architectures
        parameters = trainer.ghn.predict_many([architecture.graph])[0]
        torch.manual_seed(0)  # dropout
        clipped.append(trainer._train(architecture, parameters, step.images, step.labels))
    before, after = ([grad.norm() for grad in trained.grads] for trained in clipped)
    assert torch.stack(after).norm() == pytest.approx(0.01 / TINY.meta_batch, rel=1e-4)
    ratios = torch.stack(after) / torch.stack(before)
    torch.testing.assert_close(ratios, ratios[0].expand_as(ratios))
    assert torch.equal(clipped[0].figures, clipped[1].figures)


def test_fp16_counts_what_overflows(digits, monkeypatch):
    """A step that overflows is left out and counted, and the loss is scaled down."""
    trainer = Trainer(dataclasses.replace(TINY, amp="fp16", network_clip=1.0), digits.train)
    step, scale = trainer.steps[0], trainer.scaler.get_scale()
    assert trainer.advance(step).skipped == 0
    before = {n: p.clone() for n, p in trainer.ghn.named_parameters()}

    def overflows(network, parameters, x):
        logits = run(network, parameters, x)
        logits.register_hook(lambda grad: grad * float("inf"))
        return logits

    monkeypatch.setattr("archrep.train.loop.run", overflows)
    result = trainer.advance(step)
    assert result.skipped == 2
    assert result.loss != result.loss
    assert trainer.scaler.get_scale() == scale / 2
    assert all(torch.equal(before[n], p) for n, p in trainer.ghn.named_parameters())


@pytest.mark.parametrize("amp", ["off", "fp16"])
def test_a_process_without_architectures(digits, amp):
    """Of several processes, some may get none; they take part all the same."""
    trainer = Trainer(dataclasses.replace(TINY, amp=amp), digits.train)
    step = dataclasses.replace(trainer.steps[0], architectures=[])
    result = trainer.advance(step)
    assert result.skipped == 2
    trainer.scaler.unscale_(trainer.optimizer)  # as where others have a loss


def test_images_that_are_not_finite_are_skipped(digits):
    """In every kind of network, those with attention among them."""
    trainer = Trainer(TINY, digits.train)
    drawn = meta_batches(dataclasses.replace(TINY, steps=100))
    vit = next(a for s in range(100) for a in drawn[s] if "msa" in a.graph.primitives)
    other = next(a for s in range(100) for a in drawn[s] if "msa" not in a.graph.primitives)
    step = trainer.steps[0]
    broken = torch.full_like(step.images, float("nan"))
    result = trainer.advance(dataclasses.replace(step, architectures=[(0, vit), (1, other)], images=broken))
    assert result.skipped == 2


def test_errors_of_other_processes_are_one_line(digits):
    config = dataclasses.replace(TINY, workers=1, small_first=1.0, small_macs=10, archs="deepnets-small:search:4")
    with pytest.raises(ArchrepError, match=r"^1000 architectures in a row") as caught:
        next(Trainer(config, digits.train).run())
    assert "Traceback" not in str(caught.value)


def test_steps_ahead_of_time_are_the_same(digits):
    """Prepared by other processes, or by this one, also from the middle of a run."""
    config = dataclasses.replace(TINY, steps=4)
    here = Trainer(config, digits.train).steps
    ahead = Trainer(dataclasses.replace(config, workers=1), digits.train).steps
    for step, other in zip(range(2, 4), ahead.iterate(2), strict=True):
        assert torch.equal(here[step].images, other.images)
        assert torch.equal(here[step].labels, other.labels)
        assert [(i, a.id) for i, a in here[step].architectures] == [(i, a.id) for i, a in other.architectures]


def test_training_fits_one_architecture(digits):
    config = dataclasses.replace(TINY, steps=80, meta_batch=1, images=32, warmup=5)
    trainer = Trainer(config, digits.train)
    fixed = next(a for s in range(50) for a in trainer.steps.meta_batches[s] if len(a.graph.primitives) < 50)
    trainer.steps.meta_batches = [[fixed]] * 80
    results = list(trainer.run())
    assert len(results) == 80
    assert sum(r.accuracy for r in results[-10:]) / 10 > 25
    assert sum(r.loss for r in results[-10:]) < 0.95 * sum(r.loss for r in results[:10])


def test_a_time_limit_leaves_a_run_that_goes_on(digits, tmp_path):
    create(TINY, "digits", digits, tmp_path / "whole", threads=1)
    create(TINY, "digits", digits, tmp_path / "parts", threads=1)
    assert continue_run(tmp_path / "whole", digits)
    parts = 0
    while not continue_run(tmp_path / "parts", digits, time_limit=0.0):
        parts += 1
    assert parts == TINY.steps - 1
    assert same(weights(tmp_path / "parts" / BEST), weights(tmp_path / "whole" / BEST))
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")


def test_sigkill_and_resume_gives_the_same_result(digits, tmp_path):
    for name in ("unbroken", "killed"):
        create(TINY, "digits", digits, tmp_path / name, threads=1)
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
    return [{k: v for k, v in line.items() if k not in ("seconds", "peak_gb")} for line in read_metrics(folder)]


def test_nothing_is_left_of_a_run_that_cannot_start(digits, tmp_path):
    for changes, message in [
        ({"images": 10**6}, "Lower --images"),
        ({"archs": "nasbench201:all"}, "Unknown DeepNets space"),
        ({"small_first": 1.0, "small_macs": 1}, "Raise --small-macs"),
        ({"max_nodes": 20}, "Raise --max-nodes, or lower --meta-batch"),
        ({"ghn": GHNConfig(num_classes=7)}, "7 classes, digits has 10"),
    ]:
        with pytest.raises(ArchrepError, match=message):
            create(dataclasses.replace(TINY, **changes), "digits", digits, tmp_path / "run", threads=1)
    assert not (tmp_path / "run").exists()


def test_which_run_a_folder_holds(digits, tmp_path):
    create(TINY, "digits", digits, tmp_path / "run", threads=1)
    assert is_run_of(tmp_path / "run", TINY, "digits")
    assert not is_run_of(tmp_path / "run", dataclasses.replace(TINY, lr=0.5), "digits")
    assert not is_run_of(tmp_path / "run", TINY, "cifar10")
    assert not is_run_of(tmp_path, TINY, "digits")


def test_damaged_state_and_foreign_folder(digits, tmp_path):
    with pytest.raises(ArchrepError, match="not the folder of a training run"):
        continue_run(tmp_path, digits)
    create(TINY, "digits", digits, tmp_path / "run", threads=1)
    with pytest.raises(ArchrepError, match="--resume"):
        create(TINY, "digits", digits, tmp_path / "run")
    (tmp_path / "run" / "state.pt").write_bytes(b"nonsense")
    with pytest.raises(ArchrepError, match="damaged resume state"):
        continue_run(tmp_path / "run", digits)


def test_starts_from_a_checkpoint(digits, tmp_path):
    """Weights are the checkpoint's at step 0; a resumed run does not go back to them; another kind is refused."""
    create(TINY, "digits", digits, tmp_path / "first")
    continue_run(tmp_path / "first", digits)
    last = tmp_path / "first" / "last.safetensors"
    still = dataclasses.replace(TINY, lr=0.0, steps=3)
    create(still, "digits", digits, tmp_path / "still", init=last)
    continue_run(tmp_path / "still", digits)
    assert same(weights(tmp_path / "still" / "last.safetensors"), weights(last))

    create(TINY, "digits", digits, tmp_path / "second", init=last)
    last.unlink()  # the run has its own copy
    continue_run(tmp_path / "second", digits, time_limit=0.0)
    continue_run(tmp_path / "second", digits)
    second = tmp_path / "second" / "last.safetensors"
    assert not same(weights(second), weights(tmp_path / "still" / "last.safetensors"))
    assert GHN.load(second).provenance["init"] == "last.safetensors"

    other = dataclasses.replace(TINY, ghn=dataclasses.replace(TINY.ghn, virtual_edges=False))
    with pytest.raises(ArchrepError, match="a GHN with virtual_edges True instead of False"):
        create(other, "digits", digits, tmp_path / "third", init=second)
    assert not (tmp_path / "third").exists()


def test_augmentation_is_an_option(digits):
    plain, augmented = (Steps(dataclasses.replace(TINY, augment=a), digits.train, Group())[0] for a in (False, True))
    assert torch.equal(plain.labels, augmented.labels)
    assert not torch.equal(plain.images, augmented.images)
    index, _ = Steps(TINY, digits.train, Group())._positions(0)
    assert torch.equal(plain.images, digits.train.batch(index)[0])
