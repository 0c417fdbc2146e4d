"""What specs and the files behind them may not do: run a module that lies about, reach out, or take a machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc

import h5py
import numpy as np
import pytest
import torch

import archrep.files
from archrep import architectures
from archrep.errors import ArchrepError, CaptureError
from archrep.space import hf, official_writer
from archrep.space.deepnets import LIMITS, DeepNetConfig, Generated, Store, generate, sample
from archrep.space.deepnets.config import MOST_CELL_STEPS, MOST_NODES
from archrep.space.deepnets.network import DeepNet
from archrep.space.deepnets.shard import Shard, write_columns
from archrep.space.official import official_split
from archrep.space.official_writer import write_official
from tests.cli import here
from tests.faults.child import Child

TRAP = "open('ran', 'a').write('x')\nraise ImportError('trap')\n"
USER = "from torch import nn\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n"


# Modules in the current folder.


@pytest.fixture
def console(tmp_path):
    """Runs a line of Python as the console script does: its path is that of the script, not of the current folder."""

    def run(*lines):
        script = tmp_path / "elsewhere" / "script.py"
        script.parent.mkdir(exist_ok=True)
        script.write_text("\n".join(lines))
        (tmp_path / "cwd").mkdir(exist_ok=True)
        done = subprocess.run([sys.executable, script], cwd=tmp_path / "cwd", capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.timeout(280)
def test_modules_in_the_folder_do_not_run_in_workers(tmp_path, console, record_property):
    names = ("torch", "signal", "archrep", "multiprocessing", "numpy", "random")
    record_property("fault", f"{', '.join(names)}.py in the current folder of worker processes")
    record_property("cases", len(names))
    (tmp_path / "cwd").mkdir()
    for name in names:
        (tmp_path / "cwd" / f"{name}.py").write_text(TRAP)
    code, out, err = console(
        "from archrep.workers import in_processes",
        "import os",
        "if __name__ == '__main__':",
        "    print(sorted(in_processes(divmod, [(17, 5), (9, 2)], 2)))",
        "    assert 'PYTHONSAFEPATH' not in os.environ",
    )
    assert not (tmp_path / "cwd" / "ran").exists()
    assert (code, out) == (0, "[(0, (3, 2)), (1, (4, 1))]\n"), err


@pytest.mark.timeout(280)
def test_typed_networks_are_found_in_workers(tmp_path, console):
    """A file from the current folder, a module from the path of the parent."""
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "nets.py").write_text(USER)
    (tmp_path / "elsewhere" / "package").mkdir(parents=True)
    (tmp_path / "elsewhere" / "package" / "module.py").write_text(USER)
    code, out, err = console(
        "from archrep.workers import in_processes",
        "from archrep.space import architectures",
        "def nodes(spec):",
        "    return len(next(iter(architectures(spec))).graph.primitive)",
        "if __name__ == '__main__':",
        "    print(sorted(in_processes(nodes, [('nets.py:net',), ('package.module:net',)], 2)))",
    )
    assert (code, out) == (0, "[(0, 3), (1, 3)]\n"), err


# Configurations of transformers.


def configuration(folder, **content):
    (folder / "config.json").write_text(json.dumps(content))
    return f"transformers:{folder / 'config.json'}"


def graph_of(spec):
    return next(iter(architectures(spec))).graph


SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
REACHING = [
    {"model_type": "timm_backbone", "backbone": "hf-hub:evil/model", "use_pretrained_backbone": True},
    {"model_type": "timm_backbone", "backbone": "local-dir:/etc"},
    {"model_type": "timm_wrapper", "architecture": "hf-hub:evil/model"},
    {"model_type": "timm_wrapper", "architecture": "resnet18", "model_args": {"checkpoint_path": "w.pth"}},
    {"model_type": "bert", **SMALL, "attn_implementation": "someone/evil-kernel"},
    {"model_type": "bert", **SMALL, "_attn_implementation": {"": "someone/evil-kernel"}},
    {"model_type": "detr", "backbone_config": {"model_type": "timm_backbone", "backbone": "hf-hub:evil/model"}},
]


@pytest.fixture
def asked():
    """What is asked of the network, while the test runs."""
    found, here = [], True

    def watch(event, arguments):
        if here and event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
            found.append(f"{event} {arguments[-2:]}")

    hf._watch_sockets()  # asked first, so that what it refuses is not counted
    sys.addaudithook(watch)
    yield found
    here = False


@pytest.mark.parametrize("content", REACHING, ids=lambda content: "-".join(content)[:60])
def test_configurations_reach_nothing(tmp_path, content, asked, record_property):
    record_property("fault", f"config.json for transformers that names {list(content.values())[-1]}")
    record_property("cases", 1)
    with pytest.raises(ArchrepError, match="which lies elsewhere"):
        graph_of(configuration(tmp_path, **content))
    assert asked == []


@pytest.mark.parametrize("content", REACHING[:3] + REACHING[4:], ids=lambda content: "-".join(content)[:60])
def test_the_network_is_closed_to_the_library(tmp_path, content, asked, monkeypatch, record_property):
    """Also for names that are not recognised as ones that lead elsewhere."""
    record_property("fault", f"config.json for transformers that names {list(content.values())[-1]}, unrecognised")
    record_property("cases", 1)
    monkeypatch.setattr(hf, "_check", lambda content: None)
    with pytest.raises(ArchrepError):
        graph_of(configuration(tmp_path, **content))
    assert asked == []


def test_sockets_are_closed_only_inside():
    import socket

    with pytest.raises(CaptureError, match="asks the network"), hf._offline():
        socket.getaddrinfo("127.0.0.1", 1)
    assert socket.getaddrinfo("127.0.0.1", 1)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "content",
    [
        {"model_type": "bert", "num_hidden_layers": 10**7},
        {"model_type": "bert", "num_labels": 10**8},
        {"model_type": "vit", "image_size": 10**9},
        {"model_type": "vit", "image_size": 10**7},
        {"model_type": "vit", "image_size": 20_000},
        {"model_type": "vit", "image_size": [1, 2, 3]},
        {"model_type": "vit", "image_size": "abc"},
        {"model_type": "swin", "depths": [2, 10**6]},
        {"model_type": "bert", "hidden_size": 10**400},
    ],
    ids=str,
)
def test_configurations_claim_no_more_than_networks_have(tmp_path, content, record_property):
    record_property("fault", f"config.json for transformers: {content}"[:100])
    record_property("cases", 1)
    with pytest.raises(ArchrepError):
        graph_of(configuration(tmp_path, **content))


def test_a_network_that_takes_too_long_to_build(tmp_path, monkeypatch, record_property):
    record_property("fault", "config.json for transformers whose network is never ready")
    record_property("cases", 1)
    monkeypatch.setenv("ARCHREP_TIMEOUT", "0.2")
    with pytest.raises(CaptureError, match="still running"):
        graph_of(configuration(tmp_path, model_type="bert", **SMALL | {"num_hidden_layers": 2000}))


def test_ordinary_configurations_are_taken(tmp_path):
    labels = {"0": "tench: a/b", "1": "c"}
    facts = {"_name_or_path": "google/vit", "id2label": labels, "attn_implementation": "sdpa", "torch_dtype": "float32"}
    assert graph_of(configuration(tmp_path, model_type="bert", **SMALL, **facts)).primitives.count("msa") == 1


# Paths.


@pytest.mark.parametrize("spec", ["deepnets-official:..:val:0", "deepnets-official:..:val", "deepnets-small:..:0"])
def test_one_folder_up_is_elsewhere(tmp_path, spec, record_property):
    record_property("fault", f"spec in a table that leads one folder up: {spec}")
    record_property("cases", 1)
    (tmp_path / "t.csv").write_text(f"arch\n{spec}\n")
    with pytest.raises(ArchrepError, match="leads out of the current folder"):
        architectures(str(tmp_path / "t.csv"))


@pytest.mark.parametrize("length", [256, 300, 5000])
@pytest.mark.parametrize(
    "form",
    ["deepnets:{}", "deepnets-small:{}:0", "deepnets-official:{}:val", "transformers:{}.json", "{}.py:net", "{}:net"],
)
def test_long_names_are_one_line(form, length, record_property):
    record_property("fault", f"spec {form.format('…')} with a name of {length} characters")
    record_property("cases", 1)
    with pytest.raises(ArchrepError):
        list(architectures(form.format("a" * length)))


def test_long_names_of_official_splits(tmp_path):
    for name in ("a" * 250, "a" * 5000):
        with pytest.raises(ArchrepError, match="Unknown split"):
            official_split("deepnets-official", f"{tmp_path}:{name}")
        with pytest.raises(ArchrepError, match="no such folder"):
            official_split("deepnets-official", f"{name}{name}:val")


# Records of DeepNets-1M.


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """Official files of one network."""
    folder = tmp_path_factory.mktemp("official")
    write_official(Generated("deepnets-small", "val"), folder, 1)
    return folder


def changed(official, folder, **fields):
    """Official files whose record is another."""
    shutil.copy(official / "deepnets1m_val.hdf5", folder)
    meta = json.loads((official / "deepnets1m_val_meta.json").read_text())
    meta["val"]["nets"][0] |= fields
    (folder / "deepnets1m_val_meta.json").write_text(json.dumps(meta))
    return f"deepnets-official:{folder}:val:0"


def cells(steps, op):
    edges = [[op, i // 2 + 1] for i in range(2 * steps)]
    concat = list(range(2, steps + 2))
    return {"normal": edges, "reduce": edges, "normal_concat": concat, "reduce_concat": concat}


RECORDS = {
    "cells and steps": {"n_cells": 1000, "genotype": cells(100, "sep_conv_5x5")},
    "steps": {"n_cells": MOST_CELL_STEPS // 100 + 1, "genotype": cells(100, "max_pool_3x3")},
    "nodes": {"n_cells": MOST_CELL_STEPS // 100, "genotype": cells(100, "sep_conv_5x5")},
    "parameters": {"C": 8192, "fc_dim": 65_536, "fc_layers": 16},
    "concatenated": {"genotype": cells(1, "conv_3x3") | {"normal_concat": [2] * 100_000}},
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("claim", RECORDS)
def test_records_claim_no_more_than_networks_have(official, tmp_path, claim, record_property):
    record_property("fault", f"official JSON of kilobytes that claims a network of too many {claim}")
    record_property("cases", 1)
    spec = changed(official, tmp_path, **RECORDS[claim])
    tracemalloc.start()
    with pytest.raises(ArchrepError):
        _ = next(iter(architectures(spec))).graph
    with pytest.raises(ArchrepError):
        next(iter(architectures(spec))).build()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000


def test_stored_distances_are_those_of_a_network(official, tmp_path, record_property):
    record_property("fault", "official HDF5: every node joined to every other")
    record_property("cases", 1)
    spec = changed(official, tmp_path)
    with h5py.File(tmp_path / "deepnets1m_val.hdf5", "r+") as file:
        file["val/0/adj"][:] = 1
    with pytest.raises(ArchrepError, match="more edges"):
        _ = next(iter(architectures(spec))).graph


@pytest.mark.parametrize("preset", LIMITS)
@pytest.mark.parametrize("split", ["train", "wide", "deep", "dense", "search"])
def test_what_archrep_draws_is_within_the_bounds(preset, split):
    drawn_from = LIMITS[preset][split]
    most = max(n * drawn_from.steps[2 if n <= max(drawn_from.deep) else 1] for n in range(drawn_from.cells[1] + 1))
    assert 3 * most < MOST_CELL_STEPS
    for index in range(5):
        config = sample(preset, split, index).checked()
        with torch.device("meta"):
            DeepNet(config)


@pytest.mark.shared
@pytest.mark.parametrize("split", ["val", "deep", "dense", "bnfree"])
def test_recorded_networks_are_within_the_bounds(shared, split):
    path = shared / "golden" / "deepnets1m" / f"deepnets1m_{split}_meta.json"
    for record in json.loads(path.read_text())[split]["nets"]:
        config = DeepNetConfig.from_record(record)
        assert 2 * config.n_cells * len(config.genotype.normal) // 2 < MOST_CELL_STEPS
    architecture = next(iter(architectures(f"deepnets-official:{path.parent}:{split}:0")))
    assert len(architecture.graph.primitive) < MOST_NODES


# Graph stores whose checksum is right.


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("store") / "s", "deepnets-small", "test", 3, workers=1)


def nodes(columns, number, **lists):
    """The first graph becomes a chain of that many nodes."""
    chain = {
        "primitive": np.full(number, 4, np.uint8),
        "shape_of": np.zeros(number, np.uint8),
        "indegree": np.array([0] + [1] * (number - 1), np.uint8),
        "source": np.arange(number - 1).astype(np.uint16),
    }
    for name, values in (chain | lists).items():
        end = columns[f"{name}.offsets"][1]
        columns[name] = np.concatenate([values, columns[name][end:]])
        columns[f"{name}.offsets"][1:] += len(values) - end


def many_nodes(columns):
    nodes(columns, 60_000)


def no_nodes(columns):
    none = {name: np.zeros(0, columns[name].dtype) for name in ("primitive", "shape_of", "indegree", "source")}
    nodes(columns, 1, **none)


def huge_shapes(columns):
    columns["shapes"][:] = 2**32 - 1


def a_cycle(columns):
    nodes(columns, 5, indegree=np.ones(5, np.uint8), source=np.array([4, 0, 1, 2, 3], np.uint16))


def a_loop(columns):
    nodes(columns, 3, source=np.array([0, 2], np.uint16))


def the_same_edge_twice(columns):
    nodes(columns, 3, indegree=np.array([0, 1, 2], np.uint8), source=np.array([0, 1, 1], np.uint16))


def rewritten(store, folder, change):
    """A copy of a store with other columns, sealed again."""
    shutil.copytree(store.path, folder)
    path = folder / "shard-00000.arrow"
    contents = store.request.contents(0)
    columns = {name: np.array(values) for name, values in Shard(path, contents).columns.items()}
    change(columns)
    write_columns(path, contents, columns)
    return Store(folder)


@pytest.mark.parametrize("change", [many_nodes, no_nodes, huge_shapes, a_cycle, a_loop, the_same_edge_twice])
def test_stored_graphs_are_graphs(store, tmp_path, change, record_property):
    record_property("fault", f"graph store with a valid checksum and {change.__name__.replace('_', ' ')}")
    record_property("cases", 1)
    other = rewritten(store, tmp_path / "s", change)
    with pytest.raises(ArchrepError, match=r"shard-00000\.arrow: missing or damaged shard"):
        other.graph(0)
    assert len(store.graph(0).primitive) > 5  # as it was written


def a_chain(columns):
    nodes(columns, 5)


def another_primitive(columns):
    columns["primitive"][3] = columns["primitive"][3] % 14 + 1


def a_shape(columns):
    columns["shapes"][-4] += 1
    columns["shapes"][4] += 1


@pytest.mark.parametrize("change", [a_chain, another_primitive, a_shape])
def test_stored_graphs_are_those_of_their_genotypes(store, tmp_path, ghn, change, record_property):
    record_property("fault", f"graph store with a valid checksum and {change.__name__.replace('_', ' ')}: predict")
    record_property("cases", 1)
    other = rewritten(store, tmp_path / "s", change)
    with pytest.raises(ArchrepError, match="not that of its genotype"):
        ghn.predict(other.graph(0))
    ghn.predict(store.graph(0))


# Official files, killed and several at once.


def test_official_files_go_on_after_a_kill(tmp_path, record_property):
    record_property("fault", "sample --format official killed before the second of its files has its name")
    record_property("cases", 1)
    published = archrep.files._publish

    def killed_before_the_second(*arguments):
        if arguments[1].suffix == ".hdf5":
            os.kill(os.getpid(), signal.SIGKILL)
        published(*arguments)

    def work():
        archrep.files._publish = killed_before_the_second
        write_official(Generated("deepnets-small", "val"), tmp_path / "o", 2)

    assert Child(work).result() is None
    assert [p.name for p in (tmp_path / "o").glob("[!.]*")] == ["deepnets1m_val_meta.json"]
    command = ["sample", "--space", "deepnets-small", "--split", "val", "--format", "official", "--out", tmp_path / "o"]
    refused = here.archrep(*command, "-n", 1)
    assert "not overwritten without --force" in refused.stderr  # those are others
    done = here.archrep(*command, "-n", 2)
    assert done.returncode == 0, done.stderr
    assert len(list(architectures(f"deepnets-official:{tmp_path / 'o'}:val"))) == 2
    assert not list((tmp_path / "o").glob(".*"))


def wait_for(path):
    while not path.exists():
        time.sleep(0.02)


def test_both_files_of_a_split_are_of_one_writer(tmp_path, record_property):
    record_property("fault", "one official split replaced by another process between its two files")
    record_property("cases", 1)
    write_official(Generated("deepnets-small", "search"), tmp_path, 1)
    replace, seen = os.replace, tmp_path / ".seen"

    def slow(source, target):
        if target.suffix == ".hdf5":
            seen.touch()
            time.sleep(2)
        replace(source, target)

    def first():
        os.replace = slow
        write_official(Generated("deepnets-small", "search"), tmp_path, 2, force=True)

    def second():
        wait_for(seen)
        write_official(Generated("deepnets-small", "search"), tmp_path, 3, force=True)

    children = [Child(first), Child(second)]
    assert [child.result() for child in children] == ["", ""]
    assert len(list(architectures(f"deepnets-official:{tmp_path}:search"))) == 3
    with h5py.File(tmp_path / "deepnets1m_search.hdf5") as groups:
        assert len(groups["search"]) == 3


def test_official_splits_written_at_once_are_all_merged(tmp_path, record_property):
    record_property("fault", "two official splits written into one folder at once")
    record_property("cases", 1)
    write_official(Generated("deepnets-small", "deep"), tmp_path, 1)
    merge, seen = official_writer._merge, tmp_path / ".seen"

    def after_the_other(merged):
        """Sees the splits that are there, and merges them when there are more."""
        there = [s for s in official_writer.MERGED if (tmp_path / f"deepnets1m_{s}.hdf5").exists()]
        official_writer.MERGED = tuple(there)
        seen.touch()
        time.sleep(2)  # for the other one to come, if it may
        merge(merged)

    def writing(split):
        def work():
            if split == "val":
                official_writer._merge = after_the_other
            else:
                wait_for(seen)
            write_official(Generated("deepnets-small", split), tmp_path, 1)

        return work

    children = [Child(writing(split)) for split in ("val", "test")]
    assert [child.result() for child in children] == ["", ""]
    with h5py.File(tmp_path / "deepnets1m_eval.hdf5") as merged:
        assert set(merged) == {"val", "test", "deep"}
    assert set(json.loads((tmp_path / "deepnets1m_eval_meta.json").read_text())) == {"val", "test", "deep"}
