"""Stores: what is read is what is generated; interrupted, damaged, foreign and full."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch

import archrep
from archrep.errors import ArchrepError
from archrep.graph.cost import count_flops
from archrep.space.deepnets import Generated, Store, generate, shard
from archrep.space.deepnets.shard import Shard, write_columns

SMALL = ("deepnets-small", "val")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Thirty architectures in one shard."""
    return generate(tmp_path_factory.mktemp("stores") / "val", *SMALL, size=30, workers=1)


@pytest.fixture
def short_shards(monkeypatch):
    """Seven architectures per shard."""
    monkeypatch.setattr("archrep.space.deepnets.shard.ROWS", 7)
    monkeypatch.setattr("archrep.space.deepnets.store.ROWS", 7)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("shard-*")}


def archrep_sample(out, *options, **kwargs):
    """A running `archrep sample`; `finish` waits for it."""
    command = [sys.executable, "-m", "archrep.cli", "sample", "--out", str(out), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **kwargs)


def finish(run):
    """Exit code and what went to stderr."""
    _, errors = run.communicate(timeout=280)
    return run.returncode, errors


def test_stored_is_generated(store):
    source = Generated(*SMALL)
    for i in (0, 29, 11, 3):
        stored, made = store.architecture(i), source.architecture(i)
        assert (stored.id, stored.space, stored.split) == (made.id, made.space, made.split)
        assert store.config(i) == source.config(i)
        for vocabulary in ("released", "extended"):
            ours, theirs = stored.graph_in(vocabulary), made.graph_in(vocabulary)
            assert ours.hash() == theirs.hash()
            for name in ("primitive", "shape", "edge_index"):
                assert torch.equal(ours[name], theirs[name])
                assert ours[name].dtype == torch.int64
            for name in ("param_names", "parameters", "parameter_shapes", "kinds", "unused", "tied", "mapped"):
                assert getattr(ours, name) == getattr(theirs, name)
        assert stored.build().state_dict().keys() == made.build().state_dict().keys()
    with pytest.raises(IndexError, match="0 … 29"):
        store.graph(30)


def test_columns(store):
    shard = store.shard(0)
    for i in (0, 7, 29):
        config, graph = store.config(i), store.graph(i)
        network = store.architecture(i).build()
        assert shard.columns["params"][i] == sum(p.numel() for p in network.parameters())
        assert shard.columns["flops"][i] == count_flops(network)
        assert shard.columns["depth"][i] == graph.levels.max()
        distance = graph.distance_matrix
        assert shard.columns["path_length"][i] == pytest.approx(distance[distance > 0].mean())
        assert shard.columns["hash"][16 * i : 16 * (i + 1)].tobytes().hex() == graph.hash(shapes=False)
        assert store.nodes[i] == len(graph.primitive)
        assert config.n_cells == shard.columns["n_cells"][i]


def test_specs(store, monkeypatch):
    spec = f"deepnets-small:{store.path}"
    assert [a.id for a in archrep.architectures(spec)] == [f"deepnets-small:val:{i}" for i in range(30)]
    assert [a.id for a in archrep.architectures(f"{spec}:28-29")] == ["deepnets-small:val:28", "deepnets-small:val:29"]
    assert [a.id for a in archrep.architectures(f"{spec}:4")] == ["deepnets-small:val:4"]
    for wrong, message in [
        (f"{spec}:30", "0 … 29"),
        (f"{spec}:x", "Unknown split"),
        (f"deepnets:{store.path}:3", f"its spec is deepnets-small:{store.path}:3"),
        (f"deepnets-small:{store.path.parent}", "not a folder that `archrep sample` wrote"),
        (f"deepnets-small:{store.path}s", "A folder that `archrep sample` wrote is one, too"),
    ]:
        with pytest.raises(ArchrepError, match=message):
            archrep.architectures(wrong)
    monkeypatch.chdir(store.path.parent)
    assert len(list(archrep.architectures("deepnets-small:val:0-3", "deepnets-small:./val:2-5"))) == 6


def test_folder_with_colons(tmp_path):
    generate(tmp_path / "a:b:3", *SMALL, size=5, workers=1)
    spec = f"deepnets-small:{tmp_path}/a:b:3"
    assert len(list(archrep.architectures(spec))) == 5
    assert next(iter(archrep.architectures(f"{spec}:4"))).id == "deepnets-small:val:4"


def test_names_beyond_the_generator(tmp_path, monkeypatch):
    """Architectures beyond the published size, and those of another generator, are named by their place."""
    store = generate(tmp_path / "wide", "deepnets-small", "wide", size=102, workers=1)
    assert store.name(99) == "deepnets-small:wide:99"
    assert store.name(100) == f"deepnets-small:{tmp_path / 'wide'}:100"
    (again,) = archrep.architectures(store.name(100))
    assert again.graph.hash() == store.graph(100).hash()
    monkeypatch.setitem(archrep.space.deepnets.sampler.VERSIONS, "deepnets-small", 99)
    monkeypatch.setitem(archrep.space.deepnets.store.VERSIONS, "deepnets-small", 99)
    assert Store(tmp_path / "wide").name(3) == f"deepnets-small:{tmp_path / 'wide'}:3"


def test_same_bytes_for_any_number_of_workers(tmp_path, short_shards):
    one = generate(tmp_path / "one", *SMALL, size=24, workers=1)
    assert [s.nodes.size for s in one.shards()] == [7, 7, 7, 3]
    (tmp_path / "one" / "shard-00001.arrow").unlink()
    (tmp_path / "one" / "shard-00003.arrow").unlink()
    with pytest.raises(
        ArchrepError, match=r"shard-00001.arrow of 4 shards is missing \(found 2\). Complete it: archrep"
    ):
        Store(tmp_path / "one")
    done = []
    generate(tmp_path / "one", *SMALL, size=24, workers=1, progress=done.append)
    assert done == [14, 7, 3]
    generate(tmp_path / "other", *SMALL, size=24, workers=1)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_killed_and_restarted(tmp_path):
    """Two workers, SIGKILL in the middle: no orphans, and the bytes of an undisturbed run with one worker."""
    options = ("--split", "train", "-n", "2100")  # the second shard is done first
    run = archrep_sample(tmp_path / "a", *options, "--workers", "2", start_new_session=True)
    while not list((tmp_path / "a").glob("shard-*")):
        assert run.poll() is None
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    finish(run)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and group_lives(run.pid):
        time.sleep(0.05)
    assert not group_lives(run.pid)
    assert list(contents(tmp_path / "a")) == ["shard-00001.arrow"]
    (tmp_path / "a" / ".shard-00000-half.arrow").write_text("left by a kill while it was written")
    again = archrep_sample(tmp_path / "a", *options, "--workers", "2")
    undisturbed = archrep_sample(tmp_path / "b", *options, "--workers", "1")
    assert (finish(again), finish(undisturbed)) == ((0, ""), (0, ""))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert not list((tmp_path / "a").glob(".*"))


def group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_damaged_shards_are_named(tmp_path, short_shards):
    folder = tmp_path / "val"
    generate(folder, *SMALL, size=14, workers=1)
    first, second = (folder / f"shard-0000{i}.arrow" for i in range(2))
    whole = first.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1], b"", b"nothing", flipped(whole)):
        first.write_bytes(damaged)
        for read in (lambda: Store(folder).graph(0), lambda: generate(folder, *SMALL, size=14, workers=1)):
            with pytest.raises(ArchrepError, match=r"shard-00000.arrow: .*Delete it and run `archrep sample`"):
                read()
    first.write_bytes(second.read_bytes())
    with pytest.raises(
        ArchrepError, match=r"shard-00000.arrow: not the shard that belongs here \(archrep.first 7, not 0"
    ):
        Store(folder).graph(0)
    first.unlink()
    generate(folder, *SMALL, size=14, workers=1)
    assert first.read_bytes() == whole


def flipped(whole):
    """One byte in the middle is another."""
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]


def test_every_flipped_byte_is_noticed_or_does_not_matter(store):
    path = store.path / "shard-00000.arrow"
    whole, graphs = path.read_bytes(), [store.graph(i).hash() for i in range(30)]
    wrong = path.with_name("flipped.arrow")
    for position in random.Random(0).sample(range(len(whole)), 300):
        wrong.write_bytes(whole[:position] + bytes([whole[position] ^ 0x40]) + whole[position + 1 :])
        try:
            shard = Shard(wrong, store.request.contents(0))
        except ArchrepError:
            continue
        assert [shard.graph(i, shard.config(i)).hash() for i in range(30)] == graphs
    wrong.unlink()


def test_foreign_folders_are_left_alone(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("important")
    for force in (False, True):
        with pytest.raises(ArchrepError, match="not a folder that `archrep sample` wrote"):
            generate(mine, *SMALL, size=3, force=force)
    assert [p.name for p in mine.iterdir()] == ["thesis.txt"]
    with pytest.raises(ArchrepError, match="is a file"):
        generate(mine / "thesis.txt", *SMALL, size=3)
    generate(tmp_path / "store", *SMALL, size=3, workers=1)
    with pytest.raises(ArchrepError, match=r"holds 3 architectures of deepnets-small:val .*--force"):
        generate(tmp_path / "store", *SMALL, size=4, workers=1)
    assert len(generate(tmp_path / "store", *SMALL, size=4, workers=1, force=True)) == 4
    record = json.loads((tmp_path / "store" / "store.json").read_text())
    (tmp_path / "store" / "store.json").write_text(json.dumps({**record, "format": 99}))
    with pytest.raises(ArchrepError, match="format 99; this archrep reads format 1"):
        Store(tmp_path / "store")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"size": 0}, "at least 1 architecture"), ({"workers": 0}, "At least 1 worker"), ({"split": "tset"}, "'test'")],
)
def test_bad_requests(tmp_path, options, message):
    with pytest.raises(ArchrepError, match=message):
        generate(tmp_path / "store", **{"space": "deepnets-small", "split": "val", **options})
    assert not (tmp_path / "store").exists()


def test_full_disk(tmp_path):
    """A disk that takes 10 kB of a shard: one line, and no file that is broken."""

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    options = ("--split", "val", "-n", "60", "--workers", "1")
    code, errors = finish(archrep_sample(tmp_path / "a", *options, preexec_fn=small_files))
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith("archrep: Cannot write")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["store.json"]
    assert finish(archrep_sample(tmp_path / "a", *options)) == (0, "")
    assert len(Store(tmp_path / "a")) == 60


def test_a_killed_worker_is_reported(tmp_path):
    run = archrep_sample(tmp_path / "a", "--split", "train", "-n", "4000", "--workers", "2", start_new_session=True)
    workers = []
    while len(workers) < 2:
        assert run.poll() is None
        time.sleep(0.05)
        workers = [w for server in children_that(run.pid, b"forkserver") for w in children_that(server, b"forkserver")]
    os.kill(workers[0], signal.SIGKILL)
    code, errors = finish(run)
    assert (code, errors.count("\n")) == (2, 1)
    assert "A worker process died" in errors


def children_that(parent, words):
    """Processes of a parent whose command line has these words."""
    pids = (int(p) for p in os.listdir("/proc") if p.isdigit())
    return [p for p in pids if parent_of(p) == parent and words in read(f"/proc/{p}/cmdline")]


def parent_of(pid):
    return int(read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[1]) if read(f"/proc/{pid}/stat") else 0


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def test_shards_are_small(tmp_path):
    store = generate(tmp_path / "dense", "deepnets", "dense", size=40, workers=1)
    assert sum(map(len, contents(store.path).values())) / 40 < 4096
    assert shard.ROWS == 2000


def changed(name, value):
    """Sets the last value of a column."""

    def change(columns):
        columns[name][-1] = value

    return change


def shorter(columns):
    columns["shape_of.offsets"][1] -= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("primitive", 15), "a node has a primitive that does not exist"),
        (changed("shape_of", 255), "a node has a shape that does not exist"),
        (changed("source", 60_000), "an edge does not come from an earlier node"),
        (changed("indegree", 9), "its lists have different lengths"),
        (shorter, "its lists have different lengths"),
        (changed("normal", 9), "row 29 is no architecture"),
        (changed("reduce", 200), "row 29 is no architecture"),
        (changed("concat", 9), "row 29 is no architecture"),
        (changed("channel_mult", 200), "row 29 is no architecture"),
    ],
)
def test_graphs_that_are_none_are_refused_with_their_checksum(store, tmp_path, change, message):
    """Whoever writes a shard can write its checksum."""
    (tmp_path / "store.json").write_text((store.path / "store.json").read_text())
    columns = {name: column.copy() for name, column in store.shard(0).columns.items()}
    change(columns)
    write_columns(tmp_path / "shard-00000.arrow", store.request.contents(0), columns)
    with pytest.raises(ArchrepError, match=message):
        Store(tmp_path).graph(29)


def test_a_manifest_that_claims_much_is_refused_at_once(store, tmp_path):
    told = json.loads((store.path / "store.json").read_text())
    (tmp_path / "store.json").write_text(json.dumps(told | {"size": 10**18}))
    with pytest.raises(ArchrepError, match=r"shard-00000.arrow of \d+ shards is missing"):
        Store(tmp_path)
    (tmp_path / "store.json").write_text(5000 * "[" + 5000 * "]")
    with pytest.raises(ArchrepError, match="too many brackets"):
        Store(tmp_path)
