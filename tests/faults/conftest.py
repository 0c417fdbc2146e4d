"""`make faults` keeps what it has tried: build/faults-SIZE.jsonl, a line per test, from which it goes on after a stop.

What passed with other code is tried again: what is read, written or killed may have changed. `python -m
tests.faults.table` makes the table of them.
"""

import hashlib
import json
import time

import pytest

from tests.conftest import PROJECT
from tests.faults.size import SIZE

TESTED = ("archrep/**/*.py", "archrep/**/*.html", "tests/faults/*.py", "constraints.txt")


def log_path(size):
    return PROJECT / "build" / f"faults-{size}.jsonl"


def code_digest():
    """Of everything that these tests try."""
    files = sorted(path for pattern in TESTED for path in PROJECT.glob(pattern))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(PROJECT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def read_log(log):
    """Its lines; a kill may have cut off the last one."""
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


if SIZE:
    CODE = pytest.StashKey()
    LOG = log_path(SIZE)

    def pytest_configure(config):
        config.stash[CODE] = code_digest()

    def pytest_collection_modifyitems(config, items):
        code = config.stash[CODE]
        done = {line["test"] for line in read_log(LOG) if line["code"] == code and line["outcome"] == "passed"}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in done])
        items[:] = [item for item in items if item.nodeid not in done]

    class Log:
        """Writes the lines; in the process that reports, not in those that test."""

        def __init__(self, code):
            self.code = code

        def pytest_runtest_logreport(self, report):
            properties = dict(report.user_properties)
            if report.skipped:
                properties = {"fault": report.location[2], "note": report.longrepr[2]}
            if "fault" in properties and (report.when == "call" or report.outcome != "passed"):
                LOG.parent.mkdir(exist_ok=True)
                line = {"test": report.nodeid, "code": self.code, "outcome": report.outcome, "cases": 1, **properties}
                line |= {"seconds": round(report.duration, 1), "at": time.strftime("%Y-%m-%d")}
                with LOG.open("a") as file:
                    file.write(json.dumps(line) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(session):
        if not hasattr(session.config, "workerinput"):
            session.config.pluginmanager.register(Log(session.config.stash[CODE]))
