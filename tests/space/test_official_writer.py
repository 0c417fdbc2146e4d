"""Writing official files: what is read back was written, the recorded ones are reproduced, and none is half a file."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections import Counter

import h5py
import numpy as np
import pytest

import archrep
from archrep.errors import ArchrepError
from archrep.space.dataset import DeepNets
from archrep.space.deepnets import Generated, generate
from archrep.space.deepnets.sampler import standard
from archrep.space.official import Official
from archrep.space.official_writer import write_official
from tests.space.test_official import isomorphic

VAL = Generated("deepnets-small", "val")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def content(folder, split):
    """What the JSON holds of a split."""
    return json.loads((folder / f"deepnets1m_{split}_meta.json").read_text())[split]


def described(graphs, meta, index):
    """Primitive, cell and name of every node."""
    primitives, names = (meta[key] for key in ("primitives_ext", "unique_op_names"))
    rows = graphs[str(index)]["nodes"][()].tolist()
    return [(primitives[str(p)], cell, names[str(name)]) for p, cell, name in rows]


def layout(group):
    return {name: (data.dtype, data.shape, data.chunks) for name, data in group.items()}


@pytest.mark.parametrize("split", ["val", "wide", "bnfree", "dense", "train"])
def test_read_back(tmp_path, split):
    source = Generated("deepnets-small", split)
    done = []
    file = write_official(source, tmp_path, size=9, progress=done.append)
    assert sum(done) == 9
    back = DeepNets(f"deepnets-official:{tmp_path}:{split}")
    assert len(back) == 9
    meta = content(tmp_path, split)["meta"]
    with h5py.File(file) as opened:
        for i, graph in enumerate(back):
            made = source.architecture(i)
            assert back.split.config(i) == source.config(i)
            assert graph.hash() == made.graph.hash()
            assert graph.param_shapes == made.graph.param_shapes
            assert (opened[split][str(i)]["adj"][()] == made.graph.distance_matrix).all()
            nodes = described(opened[split], meta, i)
            assert [p.replace("conv_1x1", "conv") for p, _, _ in nodes] == made.graph.primitives
            with_cell = [
                name if name.startswith(("stem", "pos", "cl")) else f"cells.{c}.{name}" for _, c, name in nodes
            ]
            named = zip(with_cell, made.graph.param_names, strict=True)
            assert all(name == own for name, own in named if own)
            record = content(tmp_path, split)["nets"][i]
            assert record["num_nodes"] == len(nodes)
            assert record["num_params"]["cifar10"] == standard(source.config(i)).num_params
            assert [c for _, c, _ in nodes] == sorted(c for _, c, _ in nodes)  # cell by cell


def test_a_store_is_written_too(tmp_path):
    store = generate(tmp_path / "store", "deepnets-small", "val", 3, workers=1)
    write_official(store, tmp_path / "a")
    write_official(VAL, tmp_path / "b", size=3)
    assert contents(tmp_path / "a").keys() == contents(tmp_path / "b").keys()
    assert content(tmp_path / "a", "val") == content(tmp_path / "b", "val")


@pytest.mark.shared
@pytest.mark.parametrize("split", ["val", "deep", "dense", "bnfree"])
def test_recorded_files_are_reproduced(shared, tmp_path, split):
    """Types and layout, distances up to the order of nodes, nodes, and the records (which have no C).

    Nodes without parameters lie in another cell there now and then, see official.py.
    """
    folder = shared / "golden" / "deepnets1m"
    source = Official(folder, split)
    file = write_official(source, tmp_path)
    ours, theirs = content(tmp_path, split), content(folder, split)
    assert [{k: v for k, v in net.items() if k != "C"} for net in ours["nets"]] == theirs["nets"]
    assert {net["C"] for net in ours["nets"]} == {32}
    for key, values in theirs["meta"].items():
        assert set(ours["meta"][key].values()) == set(values.values())
        assert list(ours["meta"][key]) == list(map(str, range(len(values))))
    with h5py.File(file) as a, h5py.File(folder / f"deepnets1m_{split}.hdf5") as b:
        assert dict(a.attrs) == dict(b.attrs)
        for i in range(len(source)):
            mine, recorded = a[split][str(i)], b[split][str(i)]
            assert {k: (d.dtype, d.shape) for k, d in mine.items()} == {
                k: (d.dtype, d.shape) for k, d in recorded.items()
            }
            assert isomorphic(mine["adj"][()], recorded["adj"][()])
            nodes, expected = described(a[split], ours["meta"], i), described(b[split], theirs["meta"], i)
            assert Counter((p, name) for p, _, name in nodes) == Counter((p, name) for p, _, name in expected)
            assert Counter(n for n in nodes if "." in n[2]) == Counter(n for n in expected if "." in n[2])


def test_the_merged_file_is_what_the_released_loader_opens(tmp_path):
    for split in ("val", "wide", "train"):
        write_official(Generated("deepnets-small", split), tmp_path, size=2)
    with h5py.File(tmp_path / "deepnets1m_eval.hdf5") as merged:
        assert set(merged) == {"val", "wide"}
        assert merged["wide"]["1"]["adj"].shape[0] == len(merged["wide"]["1"]["nodes"])
    merged = json.loads((tmp_path / "deepnets1m_eval_meta.json").read_text())
    assert merged == {split: content(tmp_path, split) for split in ("val", "wide")}
    spec = f"deepnets-official:{tmp_path}/deepnets1m_eval.hdf5:wide"
    assert [a.graph.hash() for a in archrep.architectures(spec)] == [
        a.graph.hash() for a in archrep.architectures("deepnets-small:wide:0-1")
    ]


def test_existing_files_stay(tmp_path):
    write_official(VAL, tmp_path, size=2)
    before = contents(tmp_path)
    with pytest.raises(ArchrepError, match=r"deepnets1m_val.hdf5 exists; .*--force"):
        write_official(VAL, tmp_path, size=3)
    assert contents(tmp_path) == before
    assert len(Official(tmp_path, "val")) == 2
    write_official(VAL, tmp_path, size=3, force=True)
    assert len(Official(tmp_path, "val")) == 3
    (tmp_path / "deepnets1m_val.hdf5").unlink()
    with pytest.raises(ArchrepError, match=r"val_meta.json exists"):
        write_official(VAL, tmp_path, size=2)
    write_official(VAL, tmp_path, size=3)  # of the same architectures: what a kill left
    with pytest.raises(ArchrepError, match="at least 1"):
        write_official(VAL, tmp_path / "none", size=0)
    assert not (tmp_path / "none").exists()


def test_released_files_are_not_joined(tmp_path):
    with h5py.File(tmp_path / "deepnets1m_eval.hdf5", "w") as released:
        released.create_group("val/0")
    with pytest.raises(ArchrepError, match="as the released one does"):
        write_official(VAL, tmp_path, size=1, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["deepnets1m_eval.hdf5"]
    assert write_official(Generated("deepnets-small", "train"), tmp_path, size=1).exists()


def test_interrupted(tmp_path):
    """What was there before stays, and nothing new does."""
    write_official(VAL, tmp_path, size=2)
    before = contents(tmp_path)

    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_official(VAL, tmp_path, size=3, force=True, progress=interrupt)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("limit", [100, 20_000, 200_000])
def test_full_disk(tmp_path, limit):
    """Files take no more than some bytes: one line, and none of the files."""

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    options = ["--split", "val", "-n", "20", "--format", "official", "--out", str(tmp_path / "a")]
    command = [sys.executable, "-m", "archrep.cli", "sample", *options]
    run = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_files)
    assert (run.returncode, run.stderr.count("\n")) == (2, 1), run.stderr
    assert run.stderr.startswith("archrep: Cannot write")
    assert list((tmp_path / "a").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ArchrepError, match="Cannot write"):
        write_official(VAL, tmp_path, size=1)


def test_distances_are_cut(monkeypatch, tmp_path):
    monkeypatch.setattr("archrep.space.official_writer.CUT", 5)
    file = write_official(VAL, tmp_path, size=1)
    with h5py.File(file) as opened:
        adj = opened["val/0/adj"][()]
    distances = VAL.graph(0).distance_matrix
    assert (adj == np.where(distances > 5, 0, distances)).all()
