"""Parity with the released code on its recorded outputs: graphs, node states, predicted tensors, logits."""

import gzip
import json
from collections import Counter

import numpy as np
import pytest
import torch

from archrep import GHN, architectures
from archrep.space.deepnets import DeepNetConfig, Genotype, deepnet_of
from archrep.train.functional import run, use_batch_statistics

DARTS = Genotype(  # the cell of arXiv:1806.09055, figures 4 and 5
    normal=(
        *(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
        *(("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2)),
    ),
    normal_concat=(2, 3, 4, 5),
    reduce=(
        *(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1)),
        *(("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1)),
    ),
    reduce_concat=(2, 3, 4, 5),
)
NETWORKS = [
    *(f"torchvision:{n}:cifar10" for n in ("resnet18", "resnet50", "vgg11_bn", "squeezenet1_1", "mobilenet_v2")),
    *("torchvision:densenet121:cifar10", "deepnets:ViT", "deepnets:DARTS"),
    *(f"deepnets:val:{i}" for i in range(8)),
    *("deepnets:deep:0", "deepnets:deep:1", "deepnets:dense:0", "deepnets:dense:1"),
    *(f"deepnets:bnfree:{i}" for i in range(3)),
]


def architecture(key, shared):
    """The architecture of a recording."""
    if key == "deepnets:DARTS":
        return deepnet_of(DeepNetConfig(DARTS, n_cells=14, channels=36), "DARTS", "deepnets", "predefined")
    if key == "deepnets:ViT":
        spec = "deepnets:predefined:1"
    elif key.startswith("torchvision"):
        spec = key.replace(":cifar10", "@cifar10")
    else:
        spec = key.replace("deepnets:", f"deepnets-official:{shared / 'golden' / 'deepnets1m'}:")
    return next(iter(architectures(spec)))


@pytest.fixture(scope="module")
def golden(shared):
    folder = shared / "golden" / "ghn"
    reference = json.loads(gzip.decompress((folder / "reference.json.gz").read_bytes()))
    ghns = {name: GHN.load(folder / f"{name}_seeded.pt") for name in ("ghn2", "ghn1", "mlp")}
    return reference, np.load(folder / "reference.npz"), ghns


@pytest.mark.shared
def test_all_recorded_networks_are_tested(golden):
    assert set(NETWORKS) == set(golden[0])
    assert [ghn.config.virtual_edges for ghn in golden[2].values()] == [True, False, True]


@pytest.mark.shared
@pytest.mark.parametrize("key", NETWORKS)
def test_recorded_network(key, shared, golden):
    reference, arrays, ghns = golden
    recorded = reference[key]
    arch = architecture(key, shared)
    graph = arch.graph
    names = [node["name"] for node in recorded["nodes"]]
    assert Counter(zip(names, (node["primitive"] for node in recorded["nodes"]), strict=True)) == Counter(
        zip(graph.param_names, graph.primitives, strict=True)
    )
    assert recorded["n_edges_distance_1"] == graph.edge_index.shape[1]
    _same_distances(arrays[f"{key}/edges"], names, graph)

    network = use_batch_statistics(arch.build().eval())
    shapes = {name: list(p.shape) for name, p in network.named_parameters()}
    assert shapes == recorded["param_shapes"]
    images = torch.from_numpy(arrays["input_images"])
    tested = [name for name in ghns if f"{key}/{name}/logits" in arrays]
    assert "ghn2" in tested
    for name in tested:
        _same_states(arrays, f"{key}/{name}", names, graph, ghns[name])
        predicted = ghns[name].predict(graph)
        _same_tensors(predicted, recorded[f"{name}_parameters"])
        with torch.no_grad():
            logits = run(network, predicted, images)
        assert np.abs(logits.numpy() - arrays[f"{key}/{name}/logits"]).max() < 1e-3


def _same_distances(edges, names, graph):
    """All distances up to 50 as a multiset, and those between named nodes one by one."""
    distance = graph.distance_matrix
    assert Counter(edges[:, 2].tolist()) == Counter(distance[(distance > 0) & (distance <= 50)].tolist())
    position = {name: i for i, name in enumerate(graph.param_names)}
    named = [(names[u], names[v], d) for u, v, d in edges.tolist() if names[u] and names[v]]
    assert named
    assert all(distance[position[u], position[v]] == d for u, v, d in named)


def _same_states(arrays, key, names, graph, ghn):
    """Node embeddings: named nodes one by one, the others sorted; and the graph embedding."""
    expected, states = arrays[f"{key}/node_embeddings"], ghn.node_states(graph).numpy()
    bound = 1e-4 * np.abs(expected).max()
    for i, name in enumerate(graph.param_names):
        if name:
            assert np.abs(states[i] - expected[names.index(name)]).max() <= bound
    unnamed = [i for i, name in enumerate(graph.param_names) if not name]
    others = expected[[i for i, name in enumerate(names) if not name]]
    gaps = np.abs(states[unnamed][:, None] - others[None]).max(axis=2)  # (ours, theirs)
    assert gaps.min(axis=1).max(initial=0) <= bound
    assert gaps.min(axis=0).max(initial=0) <= bound
    embedding = ghn.embed([graph])[0].numpy()
    assert np.abs(embedding - arrays[f"{key}/graph_embedding"]).max() <= bound


def _same_tensors(predicted, recorded):
    assert predicted.keys() == recorded.keys()
    for name, facts in recorded.items():
        flat = predicted[name].double().flatten()
        assert float(flat.norm()) == pytest.approx(facts["l2"], rel=1e-4)
        assert float(flat.sum()) == pytest.approx(facts["sum"], rel=1e-4, abs=1e-4 * facts["l2"])
        ends = np.array([*flat[:4].tolist(), *flat[-4:].tolist()])
        expected = np.array([*facts["first"], *facts["last"]])
        assert np.abs(ends - expected).max() <= 1e-4 * np.abs(expected).max()
