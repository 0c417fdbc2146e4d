"""Measuring: repeatable, resumable after SIGKILL, failures recorded."""

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
from archrep.data.labels import read_labels
from archrep.errors import ArchrepError
from archrep.measure import PROTOCOLS, measure_all
from archrep.measure.network import measure

SMOKE = PROTOCOLS["smoke"]
TIMES = ("latency_ms", "seconds")


def without_times(row):
    return {name: value for name, value in row.items() if name not in TIMES}


def test_a_label_is_repeatable_and_leaves_random_state_alone(small, digits):
    before = torch.get_rng_state()
    row = measure(small[0], SMOKE, digits, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert without_times(row) == without_times(measure(small[0], SMOKE, digits, seed=1))
    assert without_times(row) != without_times(measure(small[0], SMOKE, digits, seed=2))
    assert row["latency_ms"] > 0
    assert row["params"] == sum(p.numel() for p in small[0].build().parameters())


def test_training_reaches_a_stated_accuracy(small, digits):
    protocol = dataclasses.replace(SMOKE, steps=60, window=10, reach=25.0)
    row = measure(small[0], protocol, digits, seed=0)
    assert row["trainability_reached"]
    assert 0 < row["trainability"] < 1
    assert row["accuracy"] > 15
    never = measure(small[0], dataclasses.replace(SMOKE, reach=101.0), digits, seed=0)
    assert (never["trainability"], never["trainability_reached"]) == (1.0, False)


def test_divergence_is_recorded(small, digits):
    row = measure(small[0], dataclasses.replace(SMOKE, lr=1e30, warmup=0.0), digits, seed=0)
    assert row["diverged"]
    assert 0 <= row["accuracy"] <= 100


def test_failures_are_recorded_and_the_rest_goes_on(small, digits, tmp_path):
    broken = dataclasses.replace(small[1], make_network=lambda: nn.Linear(3, 4))
    failures = measure_all([broken, small[0]], SMOKE, digits, tmp_path / "l.parquet")
    assert [f["arch"] for f in failures] == [small[1].id]
    assert "RuntimeError" in failures[0]["error"]
    assert list(read_labels(tmp_path / "l.parquet").table.index) == [small[0].id]


def test_sigkill_loses_nothing(digits, tmp_path):
    spec, out = "deepnets-small:test:0-3", tmp_path / "labels.parquet"
    journal = out.with_suffix(".jsonl")
    command = [sys.executable, "-m", "archrep.cli", "measure", "--archs", spec, "--protocol", "smoke"]
    command += ["--data", "digits", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.time() + 200
    while (not journal.exists() or journal.read_text().count("\n") < 3) and time.time() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = journal.read_text().splitlines()
    assert 3 <= len(finished) < 5
    assert not out.exists()
    with journal.open("a") as file:
        file.write('{"arch": "deepnets-small:te')  # as if killed within a write
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert journal.read_text().splitlines()[: len(finished)] == finished
    rows = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert [r["arch"] for r in rows] == [a.id for a in archrep.architectures(spec)]
    assert len(read_labels(out).table) == 4

    torch.set_num_threads(1)
    direct = measure(next(archrep.architectures("deepnets-small:test:3")), SMOKE, digits, seed=0)
    assert rows[3]["accuracy"] == direct["accuracy"]


def test_failures_are_tried_again(small, digits, tmp_path):
    def without_memory():
        raise MemoryError

    out = tmp_path / "l.parquet"
    broken = dataclasses.replace(small[0], make_network=without_memory)
    failures = measure_all([broken, small[1]], SMOKE, digits, out)
    assert failures[0]["error"] == "MemoryError"
    assert measure_all(small[:2], SMOKE, digits, out) == []
    assert len(read_labels(out).table) == 2


def test_journals_are_not_mixed(small, digits, tmp_path):
    measure_all(small[:1], SMOKE, digits, tmp_path / "l.parquet")
    with pytest.raises(ArchrepError, match="another protocol"):
        measure_all(small[:1], dataclasses.replace(SMOKE, steps=11), digits, tmp_path / "l.parquet")
    (tmp_path / "l.jsonl").write_text("{nonsense}\n")
    with pytest.raises(ArchrepError, match="damaged journal"):
        measure_all(small[:1], SMOKE, digits, tmp_path / "l.parquet")
