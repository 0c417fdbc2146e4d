"""A full disk and a folder that cannot be written: one line, what was there stays, nothing else does."""

import os
import random
import resource
import subprocess

import pytest

from archrep.errors import ArchrepError
from archrep.files import append
from tests.faults.child import Child
from tests.faults.size import cases
from tests.faults.writers import WRITERS, journal

NAMES = [*WRITERS, "journal"]


def contents(folder):
    """Every file, also a hidden one, but for locks, which are empty."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"}


def write(name, folder, variant, force=True):
    """Writes, or appends three rows."""
    if name != "journal":
        WRITERS[name].write(folder, variant, force)
        return
    rows = journal(folder)
    for _ in range(3):
        rows.append({"row": variant, "text": "long" * 500})


def read(name, folder):
    return journal(folder).rows[0]["row"] if name == "journal" else WRITERS[name].read(folder)


def check_refused(message, folder):
    """One line that names the folder and says what is wrong."""
    assert message, "a disk that is full, and no error"
    assert "\n" not in message
    assert str(folder) in message
    assert message.startswith("Cannot write"), message


def check_unharmed(name, folder, before):
    """What one reads is what was there: file by file, or row by row."""
    after = contents(folder)
    if name == "journal":
        (path,) = after
        assert after[path].startswith(before[path])
        assert all(row["text"] for row in journal(folder).rows)
    elif name in ("figure", "official files", "graph store"):  # of several files, each whole; a new one may be there
        assert set(after) <= set(before)
        assert all(after[path] for path in after)
    else:
        assert after == before


@pytest.mark.parametrize("name", NAMES)
def test_files_that_may_not_grow(name, tmp_path, record_property):
    """Also what a quota does: writing beyond a size fails."""
    count = cases(2, 10, 100)
    record_property("fault", f"no space for a {name} (RLIMIT_FSIZE)")
    record_property("cases", count)
    write(name, tmp_path, 0, force=False)
    largest = max(map(len, contents(tmp_path).values()))
    chance = random.Random(name)
    for case in range(count):
        before = contents(tmp_path)
        size = (
            0 if case == 0 else chance.randrange(min(largest, 4_000 if name == "official files" else largest) * 2 // 3)
        )
        message = Child(lambda: write(name, tmp_path, 1), file_size=size).result()
        check_refused(message, tmp_path)
        check_unharmed(name, tmp_path, before)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    write(name, tmp_path, 1)
    assert read(name, tmp_path) == (0 if name == "journal" else 1)


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own, in memory; `mount` on it changes its options."""

    def mount(options, *what):
        return subprocess.run(["mount", "-o", options, *what, str(folder)], capture_output=True, text=True, check=False)

    folder = tmp_path / "disk"
    folder.mkdir()
    done = mount("size=4m", "-t", "tmpfs", "tmpfs") if os.geteuid() == 0 else None
    if done is None or done.returncode:
        pytest.skip("cannot mount a small disk here" + (f": {done.stderr.strip()}" if done else " (not root)"))
    yield folder, mount
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_full_disk(name, disk, record_property):
    folder, _ = disk
    count = cases(1, 5, 50)
    record_property("fault", f"no space for a {name} (a disk that is full)")
    record_property("cases", count)
    write(name, folder, 0, force=False)
    largest = max(map(len, contents(folder).values()))
    chance = random.Random(name)
    for case in range(count):
        free = 0 if case == 0 else chance.randrange(largest // 2)
        fill(folder / "filler", free)
        before = contents(folder)
        message = Child(lambda: write(name, folder, 1)).result()
        if message or not (case or name == "graph store"):  # which drops the old one first; some room may be enough
            check_refused(message, folder)
            before.pop(folder.relative_to(folder) / "filler")
            os.unlink(folder / "filler")
            check_unharmed(name, folder, before)
    (folder / "filler").unlink(missing_ok=True)
    write(name, folder, 1)
    assert read(name, folder) in (0, 1)


def fill(path, free):
    """Takes all of a disk, and gives back a part."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - free))


@pytest.mark.parametrize("name", NAMES)
def test_read_only_folder(name, disk, record_property):
    folder, mount = disk
    record_property("fault", f"a folder that cannot be written, for a {name}")
    record_property("cases", 2)
    for first in (True, False):
        if not first:
            write(name, folder, 0, force=False)
        before = contents(folder)
        assert mount("remount,ro").returncode == 0
        check_refused(Child(lambda: write(name, folder, 1)).result(), folder)
        assert contents(folder) == before
        if not first:
            assert read(name, folder) == 0 if name != "journal" else True
        assert mount("remount,rw").returncode == 0


def test_half_a_line_is_taken_back(tmp_path, record_property):
    record_property("fault", "no space for a whole line")
    record_property("cases", 1)
    path = tmp_path / "metrics.jsonl"
    append(path, ["first\n"])
    child = Child(lambda: _expected(path), file_size=10)
    assert "File too large" in child.result()
    assert path.read_text() == "first\n"


def _expected(path):
    try:
        append(path, ["a second line\n"])
    except OSError as error:
        raise ArchrepError(error.strerror) from error
