"""SIGKILL at random moments: what is there is whole, the same command goes on, and the end is the undisturbed one's."""

import random
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from archrep.data import load_images
from archrep.errors import ArchrepError
from archrep.measure import HereCrew
from archrep.train import PRESETS
from tests.cli import here
from tests.faults.child import Child
from tests.faults.jobs import JOBS
from tests.faults.size import cases

# Kills: 40 in the quick set, 200 in the full one.
KILLS = {
    "train": cases(1, 8, 40),
    "measure": cases(0, 8, 40),
    "sample": cases(2, 8, 40),
    "embed": cases(1, 6, 30),
    "probe": cases(0, 6, 30),
    "map": cases(0, 4, 20),
}
PRESET = "ghn2-cifar10-small"
SHORT = {"val_archs": 2, "val_images": 32, "network_clip": None}  # validations of a training
PROCESSES = {"measure": cases(0, 2, 10), "embed": cases(0, 2, 10), "train": cases(0, 2, 10)}


def archrep(command):
    """Runs it in this process."""
    done = here.archrep(*command.split())
    if done.returncode:
        raise ArchrepError(done.stderr)


@pytest.mark.timeout(cases(300, 1800, 9000))
@pytest.mark.parametrize("name", [name for name in JOBS if KILLS[name]])
def test_killed_again_and_again(name, tmp_path, monkeypatch, record_property):
    """Forks of this process: no kill falls into the import of torch."""
    record_property("fault", f"SIGKILL of archrep {name}")
    record_property("cases", KILLS[name])
    monkeypatch.setattr("archrep.space.deepnets.shard.ROWS", 7)
    monkeypatch.setattr("archrep.space.deepnets.store.ROWS", 7)
    monkeypatch.setattr("archrep.cli.measure._engine", lambda *options: HereCrew)
    monkeypatch.setitem(PRESETS, PRESET, replace(PRESETS[PRESET], **SHORT))
    load_images("digits")
    job, chance = JOBS[name], random.Random(name)
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    if name in ("probe", "map"):  # their libraries compile at first use
        monkeypatch.setattr("numba.config.THREADING_LAYER", "workqueue")  # GNU's OpenMP does not survive a fork
        warm = tmp_path / "warm"
        warm.mkdir()
        archrep(job.command(warm))
    began = time.monotonic()
    command = job.command(undisturbed)
    assert Child(lambda: archrep(command)).result() == ""
    longest = time.monotonic() - began
    expected = job.result(undisturbed)

    killed, chain, folder = 0, 0, None
    while killed < KILLS[name]:
        if folder is None:
            chain += 1
            folder = tmp_path / str(chain)
            folder.mkdir()
        command = job.command(folder)
        child = Child(lambda c=command: archrep(c))
        child.kill_after(chance.uniform(0, longest))
        message = child.result()
        assert message in (None, ""), message
        job.check(folder)
        if message is None:
            killed += 1
        else:
            assert job.result(folder) == expected
            folder = None
    if folder is not None:
        command = job.command(folder)
        assert Child(lambda: archrep(command)).result() == ""
        assert job.result(folder) == expected
        assert not list(folder.rglob(".*-part-*"))


@pytest.mark.timeout(cases(300, 1800, 9000))
@pytest.mark.parametrize("name", [name for name in PROCESSES if PROCESSES[name]])
def test_killed_processes(name, tmp_path, record_property):
    """The same of commands as one types them; measuring has worker processes."""
    record_property("fault", f"SIGKILL of archrep {name}, a process of its own")
    record_property("cases", PROCESSES[name])
    job, chance = JOBS[name], random.Random(name)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    killed.mkdir()
    began = time.monotonic()
    assert start(job.command(undisturbed)).wait() == 0
    longest = time.monotonic() - began
    for _ in range(PROCESSES[name]):
        process = start(job.command(killed))
        time.sleep(chance.uniform(0.3, 1) * longest)
        process.kill()
        process.wait()
        job.check(killed)
    assert start(job.command(killed)).wait() == 0
    assert job.result(killed) == job.result(undisturbed)


def start(command):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "archrep.cli", *command.split()], **quiet)
