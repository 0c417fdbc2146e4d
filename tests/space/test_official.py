"""deepnets-official: the recorded graphs are reproduced exactly; other files fail with one clear line."""

import dataclasses
import gzip
import json
import pickle
from collections import Counter

import h5py
import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

import archrep
from archrep.errors import ArchrepError
from archrep.space.dataset import DeepNets
from archrep.space.deepnets import DeepNetConfig, Emitter, make_plan, sample
from archrep.train.meta_batches import MetaBatches


def isomorphic(distances, others):
    """Whether a permutation of the nodes turns one distance matrix into the other.

    Nodes are coloured by what lies at which distance until the colours say which node is which; the
    permutation is then applied and the matrices compared entry by entry.
    """
    random = np.random.default_rng(0)
    after, before = (random.integers(1, 2**63, 256, dtype=np.uint64) for _ in range(2))
    after[0] = before[0] = 0

    def refined(d, colours):
        for _ in range(6):
            colours = colours * np.uint64(31) + (after[d] * colours).sum(1) + (before[d] * colours[:, None]).sum(0)
            colours ^= colours >> np.uint64(29)
        return colours

    if distances.shape != others.shape:
        return False
    colours = [np.ones(len(distances), np.uint64)] * 2
    for attempt in range(2, 20):
        colours = [refined(d, c) for d, c in zip((distances, others), colours, strict=True)]
        p, q = (np.argsort(c, kind="stable") for c in colours)
        if (colours[0][p] != colours[1][q]).any():
            return False
        if (distances[np.ix_(p, p)] == others[np.ix_(q, q)]).all():
            return True
        values, counts = np.unique(colours[0], return_counts=True)
        for c in colours:  # symmetric nodes: tell one of them apart
            c[np.nonzero(c == values[counts > 1][0])[0][0]] = attempt
    raise AssertionError("too symmetric for this test")


def test_isomorphic_can_say_no():
    graph = next(archrep.architectures("deepnets-small:dense:3")).graph
    distances = graph.distance_matrix
    order = np.random.default_rng(1).permutation(len(distances))
    assert isomorphic(distances, distances[np.ix_(order, order)])
    changed = distances.copy()
    changed[distances == distances.max()] -= 1
    assert not isomorphic(distances, changed)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("split", "size", "lossy"), [("val", 250, 51), ("deep", 25, 5), ("dense", 25, 12), ("bnfree", 50, 9)]
)
def test_all_recorded_graphs(shared, split, size, lossy):
    """Parameter counts, primitives and the whole distance matrix of every recorded network."""
    folder = shared / "golden" / "deepnets1m"
    records = json.loads((folder / f"deepnets1m_{split}_meta.json").read_text())[split]
    primitives = {int(k): v.replace("conv_1x1", "conv") for k, v in records["meta"]["primitives_ext"].items()}
    found = list(archrep.architectures(f"deepnets-official:{folder}:{split}"))
    assert len(found) == size
    incomplete = 0
    with h5py.File(folder / f"deepnets1m_{split}.hdf5") as file:
        for i, (architecture, record) in enumerate(zip(found, records["nets"], strict=True)):
            plans = [make_plan(DeepNetConfig.from_record(record), imagenet=imagenet) for imagenet in (False, True)]
            complete, imagenet = map(Emitter, plans)
            assert complete.num_params == record["num_params"]["cifar10"]
            assert imagenet.num_params == record["num_params"]["imagenet"]
            graph = architecture.graph
            incomplete += len(graph.primitives) < len(complete.graph().primitives)
            stored = file[split][str(i)]
            assert Counter(graph.primitives) == Counter(primitives[p] for p in stored["nodes"][:, 0].tolist())
            assert graph.distance_matrix.max() < 250  # `adj` is cut there
            assert isomorphic(graph.distance_matrix, stored["adj"][()]), i
    assert incomplete == lossy


@pytest.mark.shared
def test_recorded_reference(shared):
    """Nodes, edges and distances between named nodes, as the released code computes them."""
    golden = shared / "golden"
    reference = json.loads(gzip.decompress((golden / "ghn" / "reference.json.gz").read_bytes()))
    arrays = np.load(golden / "ghn" / "reference.npz")
    keys = [key for key in reference if key.startswith("deepnets:") and key.count(":") == 2]
    assert {"deepnets:dense:0", "deepnets:dense:1"} < set(keys)
    assert len(keys) == 15
    for key in keys:
        split_and_index = key.removeprefix("deepnets:")
        (architecture,) = archrep.architectures(f"deepnets-official:{golden / 'deepnets1m'}:{split_and_index}")
        graph = architecture.graph
        names = [node["name"] for node in reference[key]["nodes"]]
        nodes = Counter((node["name"], node["primitive"]) for node in reference[key]["nodes"])
        assert Counter(zip(graph.param_names, graph.primitives, strict=True)) == nodes
        assert graph.edge_index.shape[1] == reference[key]["n_edges_distance_1"]
        distances = np.zeros((len(names), len(names)), np.int16)
        u, v, d = arrays[f"{key}/edges"].T
        distances[u, v] = d
        ours = np.where(graph.distance_matrix > archrep.graph.MAX_DISTANCE, 0, graph.distance_matrix)
        assert isomorphic(ours, distances)
        named = [name for name in names if name]
        here, there = ([some.index(name) for name in named] for some in (graph.param_names, names))
        assert (ours[np.ix_(here, here)] == distances[np.ix_(there, there)]).all()


@pytest.mark.shared
def test_networks_have_the_complete_graph(shared):
    folder = shared / "golden" / "deepnets1m"
    sampled = [f"deepnets-official:{folder}:{part}" for part in ("val:0-11", "deep:3", "dense:1", "bnfree:0-3")]
    lossy = 0
    for architecture in archrep.architectures(*sampled):
        network = architecture.build()
        captured, direct = archrep.capture(network), Emitter(network.plan).graph()
        assert captured.hash() == direct.hash()
        assert sorted(map(str, captured.param_names)) == sorted(map(str, direct.param_names))
        assert captured.param_shapes == direct.param_shapes == architecture.graph.param_shapes
        lossy += architecture.graph.hash() != direct.hash()
    assert lossy > 0


# From here on with files written here, in the official format, of archrep's own networks.


def record_of(config):
    return {
        "genotype": dataclasses.asdict(config.genotype),
        "n_cells": config.n_cells,
        "C": config.channels,
        "C_mult": config.channel_mult,
        "stem_type": config.stem_type,
        "ks": config.stem_kernel,
        "stem_pool": config.stem_pool,
        "norm": "bnorm" if config.norm else None,
        "preproc": config.preproc,
        "glob_avg": config.glob_avg,
        "fc_layers": config.fc_layers,
        "fc_dim": config.fc_dim,
    }


def losable(config):
    plan = make_plan(config)
    return [plan.steps[i].name for i in plan.live if plan.steps[i].kind in ("cse", "msa")]


def write(folder, name, splits):
    """Writes {split: [(config, names of lost steps), …]} as NAME.hdf5 and NAME_meta.json."""
    with h5py.File(folder / f"{name}.hdf5", "w") as file:
        for split, networks in splits.items():
            for i, (config, lost) in enumerate(networks):
                graph = Emitter(make_plan(config), contracted=frozenset(lost)).graph()
                group = file.create_group(f"{split}/{i}")
                group["adj"] = np.minimum(graph.distance_matrix, 250).astype(np.uint8)
                group["nodes"] = np.zeros((len(graph.primitives), 3), np.uint16)
    meta = {split: {"nets": [record_of(c) for c, _ in networks], "meta": {}} for split, networks in splits.items()}
    (folder / f"{name}_meta.json").write_text(json.dumps(meta))


@pytest.fixture(scope="module")
def networks():
    return [(sample("deepnets-small", "val", i), ()) for i in range(4)]


@pytest.fixture
def files(tmp_path, networks):
    write(tmp_path, "deepnets1m_eval", {"val": networks, "test": networks[:1]})
    write(tmp_path, "deepnets1m_train", {"train": networks[:2]})
    return tmp_path


def ids(*specs):
    return [a.id for a in archrep.architectures(*specs)]


def test_merged_files_and_single_files(files, networks):
    space = f"deepnets-official:{files}"
    assert ids(f"{space}:val:1-2") == [f"{space}:val:1", f"{space}:val:2"]
    assert ids(f"{space}:train") == [f"{space}:train:0", f"{space}:train:1"]
    assert ids(f"{space}/:train:0") == ids(f"{space}:train:0")  # canonical
    assert len(ids(f"{space}/deepnets1m_eval.hdf5:test")) == 1
    (architecture,) = archrep.architectures(f"{space}:val:3")
    config = networks[3][0]
    assert (architecture.space, architecture.split) == ("deepnets-official", "val")
    assert architecture.graph.hash() == Emitter(make_plan(config)).graph().hash()  # with its own C and fc_dim
    assert {n: tuple(p.shape) for n, p in architecture.build().named_parameters()} == Emitter(
        make_plan(config)
    ).param_shapes


def test_a_path_may_hold_colons(tmp_path, networks):
    folder = tmp_path / "a:1" / "val"
    folder.mkdir(parents=True)
    write(folder, "deepnets1m_val", {"val": networks})
    for spec in (f"deepnets-official:{folder}:val:2", f"deepnets-official:{folder}/deepnets1m_val.hdf5:val:2"):
        assert ids(spec) == [spec]


def test_channels_are_32_where_the_record_has_none(files, networks):
    meta = files / "deepnets1m_train_meta.json"
    content = json.loads(meta.read_text())
    del content["train"]["nets"][0]["C"]
    meta.write_text(json.dumps(content))
    (architecture,) = archrep.architectures(f"deepnets-official:{files}:train:0")
    expected = Emitter(make_plan(dataclasses.replace(networks[0][0], channels=32)))
    assert architecture.graph.hash() == expected.graph().hash()


def test_any_lost_nodes_are_found(tmp_path):
    """Every second, all but the first, only the last of the cse and msa nodes."""
    configs = [sample("deepnets-small", split, i) for split in ("test", "dense", "deep") for i in range(12)]
    cases = []
    for config in configs:
        names = losable(config)
        cases += [(config, lost) for lost in (names[::2], names[1:], names[-1:]) if lost]
    assert len(cases) > 30
    write(tmp_path, "deepnets1m_val", {"val": cases})
    for architecture, (config, lost) in zip(
        archrep.architectures(f"deepnets-official:{tmp_path}:val"), cases, strict=True
    ):
        expected = Emitter(make_plan(config), contracted=frozenset(lost)).graph()
        assert isomorphic(architecture.graph.distance_matrix, expected.distance_matrix), architecture.id
        assert Counter(architecture.graph.primitives) == Counter(expected.primitives)
        if not any("msa" in op for op in config.genotype.ops):  # attention chains can look alike
            assert architecture.graph.hash() == expected.hash(), architecture.id


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", "no path and split.*Expected"),
        ("{0}", "no such folder|no path"),
        ("{0}/nowhere:val", "no such folder or .hdf5 file"),
        ("{0}:val:x", "no such folder or .hdf5 file.*SPLIT:i-j"),
        ("{0}:vall", "Did you mean 'val'"),
        ("{0}:val:4", "0 … 3"),
        ("{0}:val:2-1", "0 … 3"),
        ("{0}/deepnets1m_train.hdf5:val", "Unknown split.*train"),
        ("{0}/deepnets1m_eval_meta.json:val", "missing|not a complete HDF5"),
    ],
)
def test_bad_specs(files, rest, message):
    with pytest.raises(ArchrepError, match=message) as caught:
        archrep.architectures("deepnets-official:" + rest.format(files))
    assert "\n" not in str(caught.value)


def damaged_hdf5(file):
    file.write_bytes(file.read_bytes()[:1000])


def damaged_json(file):
    meta = file.with_name(f"{file.stem}_meta.json")
    meta.write_text(meta.read_text()[:-20])


def missing_json(file):
    file.with_name(f"{file.stem}_meta.json").unlink()


def foreign_json(file):
    file.with_name(f"{file.stem}_meta.json").write_text('{"val": []}')


def short_json(file):
    meta = file.with_name(f"{file.stem}_meta.json")
    content = json.loads(meta.read_text())
    content["val"]["nets"].pop()
    meta.write_text(json.dumps(content))


def missing_split(file):
    with h5py.File(file, "r+") as groups:
        del groups["val"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damaged_hdf5, "not a complete HDF5 file"),
        (damaged_json, "not readable JSON"),
        (missing_json, "deepnets1m_eval_meta.json: missing"),
        (foreign_json, "no list 'nets'"),
        (short_json, "4 graphs in split val, but 3 records"),
        (missing_split, "Unknown split of .*deepnets1m_eval.hdf5 'val'"),
    ],
)
def test_bad_files(files, damage, message):
    damage(files / "deepnets1m_eval.hdf5")
    with pytest.raises(ArchrepError, match=message) as caught:
        archrep.architectures(f"deepnets-official:{files}:val")
    assert "\n" not in str(caught.value)


def test_no_split_at_all(tmp_path):
    with pytest.raises(ArchrepError, match=r"Available: none.*deepnets1m_SPLIT.hdf5"):
        archrep.architectures(f"deepnets-official:{tmp_path}:val")


def test_a_graph_that_is_not_the_genotypes(files):
    meta = files / "deepnets1m_eval_meta.json"
    content = json.loads(meta.read_text())
    content["val"]["nets"] = content["val"]["nets"][::-1]
    del content["val"]["nets"][1]["ks"]
    meta.write_text(json.dumps(content))
    (architecture,) = archrep.architectures(f"deepnets-official:{files}:val:0")
    with pytest.raises(ArchrepError, match=r"val:0: .*is not that of the genotype"):
        _ = architecture.graph
    with pytest.raises(ArchrepError, match="val:1: Not an architecture record"):
        list(archrep.architectures(f"deepnets-official:{files}:val"))
    with h5py.File(files / "deepnets1m_eval.hdf5", "r+") as groups:
        del groups["val/0/adj"]
    with pytest.raises(ArchrepError, match=r"val:0: .*not a complete HDF5 file"):
        _ = architecture.graph


# As a dataset, and in training.


def test_is_a_dataset(files, networks):
    dataset = DeepNets(f"deepnets-official:{files}:val:1-3")
    assert [graph.arch for graph in dataset] == [f"deepnets-official:{files}:val:{i}" for i in (1, 2, 3)]
    assert dataset.split.config(2) == networks[2][0]
    assert dataset[1].hash() == Emitter(make_plan(networks[2][0])).graph().hash()
    with pytest.raises(IndexError):
        dataset.split.config(-1)
    with pytest.raises(IndexError):
        dataset.split.config(4)


def test_random_access_opens_and_parses_once(files, monkeypatch):
    opened, parsed = [], []
    file, loads = h5py.File, json.loads
    monkeypatch.setattr(h5py, "File", lambda *a, **k: opened.append(a) or file(*a, **k))
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or loads(text))
    dataset = DeepNets(f"deepnets-official:{files}:val")
    at_first = len(opened)
    for i in (3, 0, 2, 1, 3):
        _ = dataset[i]
    assert (at_first, len(opened), len(parsed)) == (1, 2, 1)
    assert len(pickle.dumps(dataset)) < 1000  # each process reads the files itself


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_every_process_reads_for_itself(files, start):
    dataset = DeepNets(f"deepnets-official:{files}:val")
    alone = [graph.hash() for graph in dataset]  # the file is open here
    loader = DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context=start)
    assert [graph.hash() for batch in loader for graph in batch.to_data_list()] == alone


def test_meta_batches(files):
    split = DeepNets(f"deepnets-official:{files}:train").split
    drawn = MetaBatches(split, steps=3, meta_batch=2)
    assert {a.id for step in range(3) for a in drawn[step]} == {split.name(i) for i in range(2)}
    assert drawn[0][0].build()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_wide_is_four_times_as_wide_as_written(tmp_path, networks):
    """As the released loader has it: the file holds the channels of the test split."""
    write(tmp_path, "deepnets1m_eval", {"test": networks[:1], "wide": networks[:1]})
    narrow, wide = (DeepNets(f"deepnets-official:{tmp_path}:{split}").split.config(0) for split in ("test", "wide"))
    assert wide == dataclasses.replace(narrow, channels=4 * narrow.channels)
