"""Damaged files are accepted, or refused with archrep's own error; no reader crashes, hangs or swells."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.faults.fuzz import NAMES
from tests.faults.size import cases

CASES = cases(40, 10_000, 100_000)
AT_ONCE = 500
MEMORY = Path("/dev/shm")  # a file system without a disk, where there is one


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def reader(folder):
    """A process that reads damaged files; another one if it dies."""
    command = [sys.executable, "-m", "tests.faults.fuzz", str(folder)]
    processes = []

    def read(target, first, count):
        if not processes or processes[-1].poll() is not None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            processes.append(subprocess.Popen(command, **pipes))
        process = processes[-1]
        process.stdin.write(json.dumps({"target": target, "first": first, "count": count}) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            pytest.fail(f"the process died ({process.wait()}) at {(folder / 'case').read_text()}")
        return json.loads(answer)

    yield read
    for process in processes:
        process.communicate()


@pytest.mark.timeout(cases(280, 3000, 0))
@pytest.mark.parametrize("target", NAMES)
def test_damaged_files(reader, target, record_property):
    record_property("fault", f"damaged file: {target}")
    record_property("cases", CASES)
    for first in range(0, CASES, AT_ONCE):
        answer = reader(target, first, min(AT_ONCE, CASES - first))
        assert "problem" not in answer, (
            f"{target}, case {answer['case']}: {answer['problem']} {answer.get('input', '')}"
        )
