"""Every writer: whole or not at all, when it is killed, when two write at once, and in every module."""

import ast
import random
import time
from functools import partial

import pytest

from archrep.errors import ArchrepError
from archrep.files import atomic_folder
from archrep.journal import Journal
from tests.conftest import PROJECT
from tests.faults.child import Child
from tests.faults.size import cases
from tests.faults.writers import WRITERS, journal

PACKAGE = PROJECT / "archrep"
WRITING = {
    *("write_text", "write_bytes", "to_csv", "to_parquet", "savefig", "save_file", "write_csv", "ParquetWriter"),
    *("new_file", "move", "copyfile"),
}
MAYBE = {"torch.save", "np.save", "image.save", "os.replace", "json.dump", "pickle.dump", "skops.io.dump"}
# What writes into a file or folder that its caller has from `atomic` or `atomic_folder`.
GIVEN = {("saved.py", "save_probe"), ("official_writer.py", "_written")}

SEVERAL = ("figure", "official files", "graph store")  # files, each whole


def calls_that_write(tree):
    """(function, line, call) of whatever writes a file outside of `with atomic…`."""

    def walk(node, function, safe):
        if isinstance(node, ast.FunctionDef):
            function = node.name
        if isinstance(node, ast.With):
            safe = safe or any("atomic" in ast.unparse(item.context_expr) for item in node.items)
        if isinstance(node, ast.Call) and writes(node) and not safe:
            yield function, node.lineno, ast.unparse(node.func)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function, safe)

    return list(walk(tree, "", False))


def writes(call):
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    constants = [a.value for a in [*call.args, *(k.value for k in call.keywords)] if isinstance(a, ast.Constant)]
    opens_for_writing = any(isinstance(c, str) and len(c) < 4 and set(c) & set("wax+") for c in constants)
    if name in ("open", "File", "FileIO"):
        return opens_for_writing
    if name == "rename":
        return not call.keywords  # a path's, no table's
    return name in WRITING or ast.unparse(call.func) in MAYBE


def test_nothing_writes_around_files(record_property):
    record_property("fault", "a module that writes files by itself")
    modules = [p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "files.py"]
    record_property("cases", len(modules))
    found = [(p.name, *call) for p in modules for call in calls_that_write(ast.parse(p.read_text()))]
    assert [call for call in found if call[:2] not in GIVEN] == []
    assert {call[:2] for call in found} == GIVEN


@pytest.mark.parametrize(
    "text",
    ["open('x', 'w')", "p.open('ab')", "t.to_csv(p)", "torch.save(s, p)", "h5py.File(p, 'w')", "p.write_text('')"],
)
def test_the_search_sees(text):
    assert calls_that_write(ast.parse(text))
    assert not calls_that_write(ast.parse(f"with atomic(path) as p:\n    {text}"))


def hidden(folder):
    """Temporary files and folders."""
    return [p.name for p in folder.rglob(".*-part-*")]


@pytest.mark.parametrize("name", WRITERS)
def test_killed_while_it_replaces(name, tmp_path, record_property):
    count = cases(3, 25, 250)
    record_property("fault", f"SIGKILL while a {name} is replaced")
    record_property("cases", count)
    writer, chance = WRITERS[name], random.Random(name)
    writer.write(tmp_path, 0, False)
    began = time.monotonic()
    assert Child(lambda: writer.write(tmp_path, 1, True)).result() == ""
    longest = time.monotonic() - began
    killed = tries = 0
    while killed < count:
        tries += 1
        assert tries < 100 + 10 * count
        child = Child(lambda v=tries % 2: writer.write(tmp_path, v, True))
        child.kill_after(chance.uniform(0, longest))
        killed += child.result() is None
        if name not in SEVERAL:
            assert writer.read(tmp_path) in (0, 1)
    writer.write(tmp_path, 1, True)
    assert writer.read(tmp_path) == 1
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("force", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("name", WRITERS)
def test_two_at_once(name, force, tmp_path, record_property):
    count = cases(2, 10, 50)
    record_property("fault", f"two processes write a {name} at once" + (" over an old one" if force else ""))
    record_property("cases", count)
    writer = WRITERS[name]
    for case in range(count):
        folder = tmp_path / str(case)
        folder.mkdir()
        if force:
            writer.write(folder, 0, False)
        two = [Child(partial(writer.write, folder, v, force)) for v in (0, 1)]
        messages = [child.result() for child in two]
        assert "" in messages, messages
        assert all(m == "" or str(folder) in m for m in messages), messages
        if name == "figure":
            continue  # files of both, each whole
        found = writer.read(folder)
        assert messages[found] == "", "what is there is of the one that was refused"
        if not force and name != "resume state":
            assert messages.count("") == 1 or found in (0, 1)
        assert hidden(folder) == []


def test_a_result_that_came_meanwhile_is_kept(tmp_path, record_property):
    record_property("fault", "a result appears while another process writes one without --force")
    record_property("cases", 2)
    table, probe = WRITERS["embedding table"], WRITERS["probe folder"]
    for writer in (table, probe):
        slow = Child(lambda w=writer: paused(w, tmp_path))
        time.sleep(0.3)
        writer.write(tmp_path, 1, False)
        assert "exists; it is not overwritten without --force" in slow.result()
        assert writer.read(tmp_path) == 1
    assert hidden(tmp_path) == []


def paused(writer, folder):
    """Writes variant 0, but waits before it ends."""
    import archrep.files

    sync = archrep.files._sync
    archrep.files._sync = lambda path: (time.sleep(1), sync(path))
    writer.write(folder, 0, False)


def test_a_folder_is_never_missing(tmp_path, record_property):
    """While it is replaced again and again, a reader finds one or the other."""
    count = cases(300, 3000, 30_000)
    record_property("fault", "a folder is read while it is replaced")
    record_property("cases", count)
    out = tmp_path / "out"

    def replace(force):
        with atomic_folder(out, force, ("file",)) as new:
            (new / "file").write_text("whole")

    replace(False)
    child = Child(lambda: [replace(True) for _ in range(10**6)])
    for _ in range(count):
        assert (out / "file").read_text() == "whole"
    child.kill_after(0)
    assert child.result() is None


def test_a_journal_has_one_writer(tmp_path, record_property):
    record_property("fault", "two processes write one journal")
    record_property("cases", 3)
    first, late = journal(tmp_path), journal(tmp_path)
    first.append({"row": 1})
    with pytest.raises(ArchrepError, match="another process is writing this journal"):
        late.append({"row": 2})  # began before there was a file
    with pytest.raises(ArchrepError, match="another process is writing this journal"):
        journal(tmp_path)
    with pytest.raises(ArchrepError, match="another process is writing this journal"):
        Journal(tmp_path / "out.jsonl", {"journal": 2}, "of another test", force=True)
    first.append({"row": 3})
    del first
    late = journal(tmp_path)
    assert late.rows == [{"row": 1}, {"row": 3}]
    late.append({"row": 4})
    assert (tmp_path / "out.jsonl").read_text().count("\n") == 4
