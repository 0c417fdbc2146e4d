"""Measuring one architecture: repeatable, complete, honest about training that fails."""

import dataclasses
import os

import pytest
import torch
from torch import nn

import archrep
from archrep.errors import ArchrepError
from archrep.measure import PROTOCOLS, Measuring
from archrep.measure.latency import device_name, latency_ms
from archrep.measure.memory import activation_memory
from archrep.measure.network import accuracy
from archrep.measure.training import Training, train

SMOKE = PROTOCOLS["smoke"]
CPU = torch.device("cpu")
TIMES = ("latency_ms", "seconds", "cpu_seconds")


@pytest.fixture(scope="module")
def tiny():
    (architecture,) = archrep.architectures("deepnets-small:test:13")
    return architecture


def without_times(row):
    return {name: value for name, value in row.items() if name not in TIMES}


def test_a_label_is_repeatable_and_leaves_random_state_alone(tiny, digits):
    work = Measuring(SMOKE, digits)
    before = torch.get_rng_state()
    row = work(tiny, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert without_times(row) == without_times(work(tiny, seed=1))
    assert without_times(row) != without_times(work(tiny, seed=2))
    assert row["latency_ms"] > 0
    assert row["params"] == sum(p.numel() for p in tiny.build().parameters())
    assert row["flops"] == tiny.flops
    assert row["device"] == device_name() == "cpu-x86_64-1t".replace("x86_64", row["device"].split("-")[1])
    for name in ("accuracy", "accuracy_val", "robustness", "train_accuracy_mean"):
        assert 0 <= row[name] <= 100
    assert len(row["curve"]) == SMOKE.steps // SMOKE.window


def test_training_reaches_a_stated_accuracy_and_noise_costs_accuracy(tiny, digits):
    protocol = dataclasses.replace(SMOKE, steps=60, window=10, reach=25.0, test_images=0, noise_images=0, noise=0.5)
    row = Measuring(protocol, digits)(tiny, seed=0)
    assert row["trainability_reached"]
    assert 0 < row["trainability"] < 1
    assert row["accuracy"] > 30
    assert row["robustness"] < row["accuracy"] - 5


def test_trainability_is_when_the_moving_average_first_reaches_the_stated_accuracy():
    protocol = dataclasses.replace(SMOKE, window=2, reach=30.0)
    row = Training(8, [0.0, 20.0, 40.0, 30.0, 0.0, 50.0], diverged=True).row(protocol)
    assert (row["trainability"], row["trainability_reached"]) == (3 / 8, True)
    assert row["train_accuracy_mean"] == 140 / 8
    assert row["curve"] == [10.0, 35.0, 25.0]
    never = Training(8, [29.0] * 8, diverged=False).row(protocol)
    assert (never["trainability"], never["trainability_reached"]) == (1.0, False)


def test_divergence_is_recorded(tiny, digits):
    row = Measuring(dataclasses.replace(SMOKE, lr=1e30, warmup=0.0), digits)(tiny, seed=0)
    assert row["diverged"]
    assert 0 <= row["accuracy"] <= 100
    assert len(row["curve"]) < SMOKE.steps // SMOKE.window


def test_logits_that_are_not_finite_are_wrong(digits):
    class Broken(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 10), float("nan"))

    assert accuracy(Broken(), digits.test, CPU) == 0


def test_noise_is_the_same_for_all_networks(digits):
    class Sees(nn.Module):
        seen: torch.Tensor

        def forward(self, x):
            self.seen = x
            return x.mean(dim=(2, 3)).repeat(1, 4)[:, :10]

    first, second, clean = Sees(), Sees(), Sees()
    test = digits.test.subset(100)
    accuracy(first, test, CPU, noise=0.1)
    accuracy(second, test, CPU, noise=0.1)
    accuracy(clean, test, CPU)
    assert torch.equal(first.seen, second.seen)
    pixels = [
        x.seen * torch.tensor(test.std)[:, None, None] + torch.tensor(test.mean)[:, None, None] for x in (first, clean)
    ]
    inside = (pixels[1] > 0.4) & (pixels[1] < 0.6)  # hardly ever clipped
    assert (pixels[0] - pixels[1])[inside].std() == pytest.approx(0.1, rel=0.03)
    assert pixels[0].min() > -1e-5
    assert pixels[0].max() < 1 + 1e-5


def test_activation_memory_of_a_known_network():
    """A chain holds the input and one tensor more at a time; a skip connection one more."""

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            y = torch.relu(self.conv(x))
            return y + self.norm(y)

    one = 4 * 3 * 32 * 32
    assert activation_memory(nn.Conv2d(3, 8, 3, padding=1)) == one + 4 * 8 * 32 * 32
    assert activation_memory(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.ReLU())) == 3 * one
    assert activation_memory(Skip()) == 4 * one
    assert activation_memory(nn.Sequential(nn.Flatten(), nn.Identity())) == one  # a view takes nothing


def test_activation_memory_leaves_the_network_alone(tiny):
    network = tiny.build()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert activation_memory(network) == activation_memory(network) > 4 * 3 * 32 * 32
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_protocol_has_one_budget():
    assert PROTOCOLS["paper"].steps_on(45_000) == 50 * 468
    assert PROTOCOLS["quick"].name != "quick"
    assert PROTOCOLS["quick-8x"].steps == 8 * PROTOCOLS["quick"].steps
    with pytest.raises(ArchrepError, match="in steps or in epochs"):
        dataclasses.replace(SMOKE, epochs=1)


def test_sgd_trains(tiny, digits):
    protocol = dataclasses.replace(SMOKE, steps=0, epochs=1, optimizer="sgd", lr=0.05, window=10)
    network = tiny.build()
    trained = train(network, protocol, digits.train, 0, CPU)
    assert trained.steps == len(trained.accuracies) == len(digits.train) // SMOKE.batch
    assert sum(trained.accuracies[-10:]) > sum(trained.accuracies[:10]) + 50


def test_architectures_that_cannot_take_the_images_are_refused(digits):
    (large,) = archrep.architectures("timm:resnet10t")
    with pytest.raises(ArchrepError, match=r"takes 3×\d+×\d+, the images are 3×32×32"):
        Measuring(SMOKE, digits)(large, seed=0)


@pytest.mark.slow
def test_latency_is_steady_on_an_idle_machine(tiny, digits):
    if os.getloadavg()[0] > 0.5:
        pytest.skip("the machine is busy")
    network = tiny.build().to(memory_format=torch.channels_last)
    protocol = dataclasses.replace(SMOKE, latency_repeats=50)
    first, second = (latency_ms(network, protocol, digits.test, CPU) for _ in range(2))
    assert second == pytest.approx(first, rel=0.1)
