"""Damaged files are accepted, or refused with archrep's own error; no reader crashes, hangs or swells."""

import json
import os
import subprocess
import sys

import pytest

from tests.faults.fuzz import NAMES

CASES = {"": 40, "quick": 10_000, "full": 100_000}[os.environ.get("ARCHREP_FAULTS", "")]
AT_ONCE = 500


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A process that reads damaged files; another one if it dies."""
    folder = tmp_path_factory.mktemp("fuzz")
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


@pytest.mark.timeout(0 if os.environ.get("ARCHREP_FAULTS") else 280)
@pytest.mark.parametrize("target", NAMES)
def test_damaged_files(reader, target, record_property):
    record_property("fault", f"damaged file: {target}")
    record_property("cases", CASES)
    for first in range(0, CASES, AT_ONCE):
        answer = reader(target, first, min(AT_ONCE, CASES - first))
        assert "problem" not in answer, (
            f"{target}, case {answer['case']}: {answer['problem']} {answer.get('input', '')}"
        )
