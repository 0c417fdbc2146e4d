"""Worker processes: results with their positions, death of a worker, death of the parent."""

import os
import signal
import subprocess
import sys
import time

import pytest

from archrep.errors import ArchrepError
from archrep.workers import in_processes

PARENT = """
import os, time
from pathlib import Path
from archrep.workers import in_processes

def work(folder):
    (Path(folder) / f"{os.getpid()}.pid").touch()
    time.sleep(600)

if __name__ == "__main__":
    list(in_processes(work, [(os.getcwd(),)] * 2, 2))
"""


def test_results_come_with_the_position_of_their_job():
    assert sorted(in_processes(divmod, [(17, 5), (9, 2), (8, 4)], 2)) == [(0, (3, 2)), (1, (4, 1)), (2, (2, 0))]


def test_a_worker_that_dies_is_one_line():
    with pytest.raises(ArchrepError, match="A worker process died"):
        list(in_processes(os._exit, [(1,), (1,)], 2))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for children in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen([sys.executable, "parent.py"], cwd=tmp_path)
    deadline = time.time() + 200
    while len(workers := [int(p.stem) for p in tmp_path.glob("*.pid")]) < 2 and time.time() < deadline:
        time.sleep(0.1)
    assert all(alive(pid) for pid in workers)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    while any(alive(pid) for pid in workers) and time.time() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in workers if alive(pid)]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
