"""Engines: every run measured once with the same values, whatever happens to the workers."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archrep.errors import ArchrepError
from archrep.measure import PROTOCOLS, Limits, LocalCrew, Measuring, Run
from archrep.measure.crew import measure_runs
from tests.measure.test_network import without_times

SMOKE = PROTOCOLS["smoke"]
ARCHS = [f"deepnets-small:test:{i}" for i in (6, 5, 13)]
NETS = '''
"""Networks with faults. They do what they do on real images only, not when they are looked at on the meta device."""
import os, signal, time
from pathlib import Path
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 10)

    def forward(self, x):
        if not x.is_meta:
            self.fault(x)
        return self.layer(x.mean(dim=(2, 3)))

    def fault(self, x):
        pass


class Raises(Net):
    def fault(self, x):
        raise ValueError("no such luck")


class Dies(Net):
    def fault(self, x):
        with open("deaths", "a") as deaths:
            deaths.write(".")
        os.kill(os.getpid(), signal.SIGKILL)


class DiesOnce(Net):
    def fault(self, x):
        if not Path("died").exists():
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Hangs(Net):
    def fault(self, x):
        time.sleep(600)


class Large(Net):
    def fault(self, x):
        torch.zeros(2**31)


class Diverges(Net):
    def fault(self, x):
        if self.training:
            self.layer.weight.data.fill_(float("nan"))
'''


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    return lambda name, seed=0: Run(f"nets.py:{name}", seed)


@pytest.fixture(scope="module")
def work(digits):
    return Measuring(SMOKE, digits)


@pytest.fixture(scope="module")
def reference(work):
    """What one process measures."""
    return {run: row for run, row in measure_runs(LocalCrew(work), [Run(a, 0) for a in ARCHS], Limits())}


def test_two_workers_measure_everything_once_with_the_values_of_one(work, reference):
    rows = list(measure_runs(LocalCrew(work, workers=2), list(reference), Limits()))
    assert sorted(run for run, _ in rows) == sorted(reference)
    for run, row in rows:
        assert without_times(row) == without_times(reference[run])


def test_the_run_of_a_killed_worker_is_tried_again(work, nets):
    rows = dict(measure_runs(LocalCrew(work, workers=2), [nets("DiesOnce"), nets("Net")], Limits()))
    assert sorted(rows) == [nets("DiesOnce"), nets("Net")]
    assert without_times(rows[nets("DiesOnce")]) == without_times(rows[nets("Net")])


def test_runs_that_always_fail_have_reasons_and_the_rest_goes_on(work, nets):
    names = ("Raises", "Dies", "Hangs", "Large", "Diverges", "Net")
    crew = LocalCrew(work, memory=2**30, workers=2)
    rows = {run.arch[8:]: row for run, row in measure_runs(crew, [nets(n) for n in names], Limits(run_seconds=15))}
    assert set(rows) == set(names)
    assert rows["Raises"] == {"error": "ValueError: no such luck"}
    assert rows["Dies"]["error"].startswith("its worker died in each of 3 attempts (signal SIGKILL")
    assert Path("deaths").read_text() == "..."
    assert rows["Hangs"] == {"error": "took longer than the limit of 15 s"}
    assert rows["Large"]["error"].startswith("out of memory: RuntimeError: ")
    assert rows["Diverges"]["diverged"]
    assert rows["Diverges"]["accuracy"] == 0
    assert not rows["Net"]["diverged"]


def test_a_time_limit_ends_it(work, nets):
    began = time.monotonic()
    assert list(measure_runs(LocalCrew(work), [nets("Hangs")], Limits(seconds=0.5))) == []
    assert time.monotonic() - began < 20


class EndsItsReader:
    device = "cpu"

    def __reduce__(self):
        return os._exit, (7,)


def test_workers_that_do_not_start_are_one_line():
    with pytest.raises(ArchrepError, match=r"Workers do not start \(exit code 7\)"):
        list(measure_runs(LocalCrew(EndsItsReader()), [Run(ARCHS[0], 0)], Limits()))


SLEEPS = """
    def fault(self, x):
        time.sleep(0.05)
"""


@pytest.mark.slow  # and on a machine with nothing else to do
def test_two_workers_are_twice_as_fast_as_one(work, nets):
    """On runs that need no processor, so that the machine has nothing to do with it: what the engine costs."""
    Path("nets.py").write_text(NETS + "\nclass Sleeps(Net):" + SLEEPS)
    seen = []
    for _, row in measure_runs(LocalCrew(work, workers=2), [nets("Sleeps", seed) for seed in range(8)], Limits()):
        seen.append((time.monotonic(), row["seconds"]))
    first = min(end - seconds for end, seconds in seen)
    span = max(end for end, _ in seen) - first
    assert sum(seconds for _, seconds in seen) / (2 * span) > 0.8


def ray_command(*args):
    """Ray lives in a process of its own: it takes over signals and leaves children to be reaped."""
    pytest.importorskip("ray")
    command = [
        sys.executable,
        "-m",
        "archrep.cli",
        "measure",
        "--engine",
        "ray",
        "--workers",
        "2",
        "--out",
        "l.parquet",
    ]
    return [*command, "--protocol", "smoke", "--data", "digits", "--device", "cpu", *args]


def journalled():
    rows = [json.loads(line) for line in Path("l.jsonl").read_text().splitlines()[1:]]
    return [(Run(r["arch"], r["seed"]), r) for r in rows]


@pytest.mark.timeout(600)  # Ray starts slowly on a busy machine
def test_ray_measures_everything_once_though_a_worker_is_killed(reference, nets):
    """A worker is killed from outside while it measures; a network that raises is recorded beside it."""
    runs = [nets("Raises"), *reference]
    process = subprocess.Popen(
        ray_command(*(part for run in runs for part in ("--archs", run.arch))), stdout=subprocess.PIPE, text=True
    )
    while process.poll() is None:
        if found := list(workers_of(ray_prefix=b"ray::Measurer.measure")):
            os.kill(found[0], signal.SIGKILL)
            break
        time.sleep(0.02)
    out, _ = process.communicate()
    assert found
    assert process.returncode == 0
    assert out.startswith("Measured: 3 of 4 runs (0 diverged), 1 failed")
    rows = journalled()
    assert sorted(run for run, _ in rows) == sorted(runs)
    for run, row in rows:
        expected = reference.get(run, {"error": "ValueError: no such luck"})
        assert without_times(row) | without_times(expected) == without_times(row)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_ray_cluster_records_what_always_fails(nets, monkeypatch):
    """A cluster that was there before and is there afterwards."""
    names = ("Dies", "Hangs", "Net")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    start = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cluster = subprocess.Popen([*start, f"--port={port}", "--num-cpus=2", "--include-dashboard=false"])
    try:
        command = ray_command("--address", f"127.0.0.1:{port}", "--run-limit", "20s")
        wait_for_port(port)
        subprocess.run([*command, *(part for n in names for part in ("--archs", nets(n).arch))], check=True)
        assert cluster.poll() is None
    finally:
        cluster.terminate()  # its own processes go with it, nobody else's
        cluster.wait()
    rows = {run.arch[8:]: row for run, row in journalled()}
    assert set(rows) == set(names)
    assert rows["Dies"]["error"].startswith("its worker died in each of 3 attempts (")
    assert Path("deaths").read_text() == "..."
    assert rows["Hangs"]["error"] == "took longer than the limit of 20 s"
    assert not rows["Net"]["diverged"]


def wait_for_port(port):
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)


def test_no_cluster_at_an_address(nets):
    done = subprocess.run(
        ray_command("--address", "127.0.0.1:1", "--archs", nets("Net").arch), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("archrep: No Ray cluster at 127.0.0.1:1 (ConnectionRefusedError")


def workers_of(ray_prefix):
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(ray_prefix):
                yield int(folder.name)
        except OSError:
            continue


PARENT = """
from archrep.data import load_images
from archrep.measure import PROTOCOLS, Limits, LocalCrew, Measuring, Run
from archrep.measure.crew import measure_runs

if __name__ == "__main__":
    crew = LocalCrew(Measuring(PROTOCOLS["smoke"], load_images("digits")), workers=2)
    list(measure_runs(crew, [Run("nets.py:Hangs", s) for s in (0, 1)], Limits()))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for children in /proc")
def test_workers_end_when_their_parent_is_killed(nets, tmp_path):
    (tmp_path / "nets.py").write_text(
        NETS.replace("time.sleep(600)", "Path(f'{os.getpid()}.pid').touch(); time.sleep(600)")
    )
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen([sys.executable, "parent.py"])
    deadline = time.time() + 200
    while len(workers := [int(p.stem) for p in tmp_path.glob("*.pid")]) < 2 and time.time() < deadline:
        time.sleep(0.1)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.time() < deadline:
        time.sleep(0.1)
    assert len(workers) == 2
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
