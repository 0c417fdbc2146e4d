"""Processes that train together, as torchrun starts them: real ones, over gloo."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from archrep import GHN
from archrep.errors import ArchrepError
from archrep.train.group import Group
from archrep.train.run import continue_run, create, read_metrics
from tests.train.test_train import TINY, weights

# At usual learning rates, sums in another order give another run after few steps.
CONFIG = dataclasses.replace(TINY, meta_batch=3, steps=8, val_every=2, lr=1e-4, network_clip=1e9)


def torchrun(*arguments, restarts=0):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", str(restarts)]
    command += ["--standalone", "--monitor-interval", "0.2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, "-m", "archrep.cli", "train", *map(str, arguments)], env=environment)


@pytest.fixture(scope="module")
def alone(digits, tmp_path_factory):
    """A run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    create(CONFIG, "digits", digits, folder, threads=1)
    continue_run(folder, digits)
    return folder


def assert_same_run(folder, alone):
    """Sums of floating-point numbers in another order, nothing else."""
    for line, expected in zip(read_metrics(folder), read_metrics(alone), strict=True):
        assert line["loss"] == pytest.approx(expected["loss"], rel=1e-4)
        assert line["step"] == expected["step"]
        assert line["skipped"] == expected["skipped"] == 0
    ours, theirs = weights(folder / "last.safetensors"), weights(alone / "last.safetensors")
    start = GHN.untrained(CONFIG.ghn, CONFIG.seed).state_dict()
    for name, value in theirs.items():
        assert (ours[name] - value).norm() <= 0.05 * (value - start[name]).norm(), name


def test_two_processes_train_like_one(alone, digits, tmp_path):
    create(CONFIG, "digits", digits, tmp_path / "run", threads=1)
    assert torchrun("--resume", tmp_path / "run").wait(240) == 0
    assert_same_run(tmp_path / "run", alone)


def test_one_of_two_processes_killed(alone, tmp_path):
    """torchrun starts both anew, and they go on from the last save."""
    folder = tmp_path / "run"
    options = {"steps": 8, "meta-batch": 3, "images": 16, "warmup": 2, "val-every": 2, "save-every": 0, "lr": 1e-4}
    options |= {"network-clip": 1e9, "small-first": 0}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    process = torchrun("--data", "digits", "--out", folder, *arguments, restarts=1)
    deadline = time.time() + 200
    while not (folder / "state.pt").exists() and time.time() < deadline:
        time.sleep(0.02)
    victim = children(process.pid)[1]
    os.kill(victim, signal.SIGKILL)
    assert process.wait(240) == 0
    assert_same_run(folder, alone)


def test_a_restart_does_not_take_over_another_run(alone):
    """A new run is refused where there is one, also when torchrun tries again."""
    before = (alone / "config.json").read_bytes()
    assert torchrun("--data", "digits", "--out", alone, "--steps=9", restarts=1).wait(240) != 0
    assert (alone / "config.json").read_bytes() == before
    assert [line["step"] for line in read_metrics(alone)] == [2, 4, 6, 8]


def children(pid):
    """Processes that a process has started, in order."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@given(st.lists(st.floats(0.1, 100), max_size=12), st.integers(1, 4))
def test_shares_are_disjoint_complete_and_balanced(costs, size):
    shares = [Group(rank=rank, size=size).share(range(len(costs)), costs) for rank in range(size)]
    assert sorted(pair for share in shares for pair in share) == [(i, i) for i in range(len(costs))]
    loads = [sum(costs[i] for i, _ in share) for share in shares]
    assert max(loads) - min(loads) <= max(costs, default=0) + 1e-9


def test_variables_of_torchrun(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ArchrepError, match=r"WORLD_SIZE.* is not: start processes with torchrun"):
        Group.join(torch.device("cpu"))


def test_alone():
    group = Group.join(torch.device("cpu"))
    tensor = torch.ones(3)
    group.add_up([tensor])
    assert tensor.tolist() == [1, 1, 1]
    assert group.gather("x") == ["x"]
    assert group.leads
