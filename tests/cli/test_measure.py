"""`archrep measure` as users type it: resumed after SIGKILL, limited in time, several seeds, one-line errors."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

import archrep
from archrep.cli.measure import _bytes, _runs, _seconds, _seeds
from archrep.data import load_images
from archrep.data.labels import read_labels
from archrep.errors import ArchrepError
from archrep.measure import PROTOCOLS, Measuring
from tests.cli import here
from tests.measure.test_engines import NETS

SMOKE = ("--protocol", "smoke", "--data", "digits", "--device", "cpu")


def command(*args):
    return [sys.executable, "-m", "archrep.cli", "measure", *map(str, args), *SMOKE]


def run(*args, cwd):
    return here.archrep("measure", *args, *SMOKE, cwd=cwd)


def test_sigkill_loses_nothing_and_the_same_command_continues(tmp_path):
    spec, out = "deepnets-small:test:3-6", tmp_path / "labels.parquet"
    journal = out.with_suffix(".jsonl")
    args = ("--archs", spec, "--out", out)
    process = subprocess.Popen(command(*args), stdout=subprocess.DEVNULL)
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
    done = run(*args, "--workers", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Measured: 4 of 4 runs (0 diverged)" in done.stdout
    assert journal.read_text().splitlines()[: len(finished)] == finished
    rows = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert sorted(r["arch"] for r in rows) == [a.id for a in archrep.architectures(spec)]
    assert list(read_labels(out).table.index) == [a.id for a in archrep.architectures(spec)]
    last = next(row for row in rows if row["arch"].endswith(":6"))
    direct = Measuring(PROTOCOLS["smoke"], load_images("digits"))(
        next(archrep.architectures("deepnets-small:test:6")), 0
    )
    assert (last["accuracy"], last["curve"]) == (direct["accuracy"], direct["curve"])


HANGS = NETS.replace("time.sleep(600)", "Path('hangs').touch(); time.sleep(600)")


def test_an_interrupt_leaves_a_table_and_a_time_limit_too(tmp_path):
    (tmp_path / "nets.py").write_text(HANGS)
    args = ("--archs", "nets.py:Net", "--archs", "nets.py:Hangs", "--out", "l.parquet")
    process = subprocess.Popen(command(*args), stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    deadline = time.time() + 200
    while not (tmp_path / "hangs").exists() and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Measured: 1 of 2 runs" in out
    assert "Left: 1 runs; the same command continues." in out
    assert list(read_labels(tmp_path / "l.parquet").table.index) == ["nets.py:Net"]
    (tmp_path / "l.parquet").unlink()
    done = run(*args, "--time-limit", "1s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Left: 1 runs; the same command continues." in done.stdout
    assert list(read_labels(tmp_path / "l.parquet").table.index) == ["nets.py:Net"]


def test_seeds_failures_and_json(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    args = ("--archs", "nets.py:Net", "--archs", "nets.py:Raises", "--seed", 3, "--seeds", 2, "--out", "l.parquet")
    done = run(*args, "--workers", 2, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "failed: nets.py:Raises: ValueError: no such luck" in done.stderr
    told = json.loads(done.stdout)
    assert (told["measured"], len(told["failures"]), told["left"]) == (2, 2, 0)
    assert sorted(read_labels(tmp_path / "l.parquet").runs["seed"]) == [3, 4]


def test_all_that_fails_is_one_line(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    done = run("--archs", "nets.py:Raises", "--out", "l.parquet", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("archrep: All 1 runs failed; the first one, nets.py:Raises: ValueError: no such luck")


ERRORS = {
    ("--archs", "deepnets-small:test:0", "--engine", "dask"): "Unknown engine 'dask'",
    ("--archs", "deepnets-small:test:0", "--address", "auto"): "add --engine ray",
    ("--archs", "deepnets-small:test:0", "--time-limit", "soon"): "--time-limit 'soon' is no duration",
    ("--archs", "deepnets-small:test:0", "--memory-limit", "4"): "--memory-limit '4' is no size",
    ("--archs", "deepnets-small:test:0", "--seed", "1", "--seed", "1"): "--seed repeats a seed",
    ("--archs", "deepnets-small:test:0", "--out", "l.csv"): "ends in .parquet",
}


@pytest.mark.parametrize("args", list(ERRORS))
def test_expected_errors_are_one_line(args, tmp_path):
    done = here.archrep("measure", *args, *SMOKE, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert ERRORS[args] in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_durations_sizes_and_seeds():
    assert [_seconds(t, "") for t in ("90s", "10m", "2h", "1.5", None)] == [90, 600, 7200, 90, float("inf")]
    assert [_bytes(t) for t in ("500M", "4GB", None)] == [500 * 2**20, 4 * 2**30, None]
    assert _seeds([5], 3) == [5, 6, 7]
    assert _seeds([4, 9], 1) == [4, 9]
    with pytest.raises(ArchrepError, match="Give either"):
        _seeds([4, 9], 2)
    runs = _runs([f"a{i}" for i in range(10)], [0, 1], seeds_on=3)
    assert [r.arch for r in runs if r.seed == 1] == ["a0", "a3", "a6"]
    assert len(runs) == 13
    assert len(_runs(["a", "b"], [0, 1, 2], None)) == 6


def test_several_seeds_give_a_noise_ceiling(tmp_path):
    """The rows of a table with seeds are what the ceiling of a probe report is computed from."""
    done = run("--archs", "deepnets-small:test:6", "--seeds", 2, "--out", "l.parquet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = read_labels(tmp_path / "l.parquet").runs
    assert isinstance(runs, pd.DataFrame)
    assert runs.groupby("arch").size().tolist() == [2]
    assert {"seed", "accuracy", "robustness", "trainability", "latency_ms"} <= set(runs)
