"""GHN: batches, the sequential oracle, decoding, gradients, and parity with the recorded reference."""

import gzip
import json

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from archrep import GHN, GHNConfig
from archrep.errors import ArchrepError
from archrep.ghn.decoder import normalize, tile
from archrep.ghn.encoder import NodeEncoder, known_channels
from archrep.space.deepnets import DeepNet, DeepNetConfig, Emitter, Genotype, make_plan
from archrep.train.functional import run, use_batch_statistics
from tests.ghn.oracle import sequential_states


def test_parameter_counts_of_the_paper():
    def count(**config):
        return sum(p.numel() for p in GHN.untrained(GHNConfig(**config)).parameters())

    plain = {"virtual_edges": False, "normalize": False, "layer_norm": False}
    assert count() == 1_620_764
    assert count(num_classes=1000, max_shape=(64, 64, 16, 16)) == 2_319_720
    assert count(**plain) == 1_620_668
    assert count(gnn="mlp") == 1_614_396


@pytest.mark.parametrize("virtual_edges", [True, False])
def test_levelwise_equals_sequential(small, virtual_edges):
    ghn = GHN.untrained(GHNConfig(virtual_edges=virtual_edges), seed=1)
    for architecture in small[:3]:
        with torch.no_grad():
            expected = sequential_states(ghn, architecture.graph)
        torch.testing.assert_close(ghn.node_states(architecture.graph), expected, rtol=1e-4, atol=1e-5)


def test_alone_or_in_any_batch(small, ghn):
    graphs = [a.graph for a in small]
    together = ghn.embed(graphs)
    alone = torch.cat([ghn.embed([g]) for g in graphs])
    reverse = ghn.embed(graphs[::-1]).flip(0)
    twice = ghn.embed(graphs + graphs)[len(graphs) :]
    for other in (alone, reverse, twice):
        assert (together - other).abs().max() <= 1e-5
    assert together.shape == (len(graphs), 32)
    assert together.dtype == torch.float32
    means = torch.stack([ghn.node_states(g).mean(dim=0) for g in graphs])
    assert (together - means).abs().max() <= 1e-5
    with pytest.raises(ArchrepError, match="at least one"):
        ghn.embed([])


def test_different_architectures_have_different_embeddings(small, ghn):
    values = ghn.embed([a.graph for a in small])
    distances = torch.cdist(values, values) + torch.eye(len(values)) * 9
    assert distances.min() > 1e-3


def test_predicted_parameters_fit_and_run(small, ghn):
    for architecture in small:
        predicted = ghn.predict(architecture.graph)
        network = architecture.build()
        own = dict(network.named_parameters())
        assert set(predicted) == set(own) - set(architecture.graph.unused)
        assert all(predicted[name].shape == own[name].shape for name in predicted)
        assert len({value.untyped_storage().data_ptr() for value in predicted.values()}) == len(predicted)
        logits = run(use_batch_statistics(network), predicted, torch.randn(4, 3, 32, 32))
        assert torch.isfinite(logits).all()


def test_predict_many_equals_predict(small, ghn):
    graphs = [a.graph for a in small[:4]]
    with torch.no_grad():
        together = ghn.predict_many(graphs)
    for graph, values in zip(graphs, together, strict=True):
        for name, value in ghn.predict(graph).items():
            torch.testing.assert_close(values[name], value, rtol=1e-4, atol=1e-6)


def test_gradients_equal_the_oracles(small):
    ghn = GHN.untrained(seed=5).double()
    graph = small[0].graph
    weight = torch.randn(len(graph.primitives), 32, dtype=torch.float64)
    grads = []
    for states in (ghn_states(ghn, graph), sequential_states(ghn, graph)):
        ghn.zero_grad()
        (states * weight).sum().backward()
        grads.append({name: p.grad.clone() for name, p in ghn.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for name in grads[0]:
        torch.testing.assert_close(grads[0][name], grads[1][name], rtol=1e-5, atol=1e-6)


def ghn_states(ghn, graph):
    from archrep.graph.batch import GraphBatch

    return ghn(GraphBatch.from_graphs([graph]))[0]


def test_every_weight_gets_a_gradient(small):
    ghn = GHN.untrained()
    predicted = ghn.predict_many([a.graph for a in small])
    sum(v.square().sum() for values in predicted for v in values.values()).backward()
    without = [name for name, p in ghn.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


@settings(max_examples=60, deadline=None)
@given(
    source=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    target=st.lists(st.integers(1, 20), min_size=0, max_size=4),
)
def test_tile_gives_the_target_shape_from_a_repeated_prefix(source, target):
    tensor = torch.arange(float(np.prod(source))).reshape(source)
    result = tile(tensor, tuple(target))
    assert result.shape == tuple(target)
    if len(target) == len(source):
        for _ in range(3):
            index = tuple(np.random.default_rng(0).integers(0, target))
            wrapped = tuple(i % min(s, t) for i, s, t in zip(index, source, target, strict=True))
            assert result[index] == tensor[wrapped]


def test_normalisation():
    kernel = torch.ones(8, 4, 3, 3)
    assert torch.allclose(normalize(kernel, "conv", False), kernel * (2 / 36) ** 0.5)
    assert torch.allclose(normalize(kernel[:, :1], "sep_conv", False), kernel[:, :1] * (1 / 9) ** 0.5)
    assert torch.allclose(normalize(torch.ones(8, 4, 1, 7), "conv", False), torch.tensor((1 / 28) ** 0.5))
    assert torch.equal(normalize(torch.ones(1, 8, 11, 11), "pos_enc", False), torch.ones(1, 8, 11, 11))
    assert normalize(torch.zeros(5), "bn", False).tolist() == [1.0] * 5
    assert normalize(torch.full((5,), 1e4), "bias", True).tolist() == [1.0] * 5


def test_shape_lookup_takes_the_nearest():
    encoder = NodeEncoder(32, 10, 11)
    channels = known_channels(10)
    looked_up = {c: channels[encoder.channel_index[c]] for c in (1, 3, 4, 5, 7, 9, 10, 65, 71, 73, 8192)}
    expected = {1: 1, 3: 3, 4: 8, 5: 8, 7: 8, 9: 8, 10: 10, 65: 64, 71: 64, 73: 80, 8192: 8192}
    assert looked_up == expected
    huge = torch.tensor([[[20000, 9, 25, 2]]])
    assert torch.isfinite(encoder(torch.tensor([[4]]), huge)).all()


RENAMED = {
    "embed.": "encoder.primitive.",
    "shape_enc.embed_channel.": "encoder.channel.",
    "shape_enc.embed_spatial.": "encoder.kernel.",
    "gnn.mlp_ve.fc.": "gnn.mlp_ve.",
    "gnn.mlp.fc.": "gnn.mlp.",
    "gnn.fc.": "gnn.mlp.",
    "ln.": "norm.",
    "decoder.fc.0.": "tensors.spread.",
    "decoder.conv.0.": "tensors.widen.",
    "decoder.conv.2.": "tensors.channels.",
    "decoder.class_layer_predictor.1.": "tensors.classes.",
    "decoder_1d.fc.": "vectors.mlp.",
    "bias_class.1.": "vectors.classes.",
}


def released(path):
    """A GHN with the weights of a checkpoint in the released format."""
    file = torch.load(path, weights_only=True)
    given = file["config"]
    config = GHNConfig(
        given["num_classes"],
        given["max_shape"],
        given["hid"],
        "gated" if given["hypernet"] == "gatedgnn" else "mlp",
        given["ve"],
        given["weight_norm"],
        given["layernorm"],
    )
    ghn = GHN.untrained(config)
    own = ghn.state_dict()
    for name, value in file["state_dict"].items():
        prefix = next((p for p in RENAMED if name.startswith(p)), "")
        name = RENAMED.get(prefix, "") + name.removeprefix(prefix)
        own[name] = value.reshape(own[name].shape)
    ghn.load_state_dict(own)
    return ghn


VIT = DeepNetConfig(
    Genotype((("none", 0), ("msa", 1)), (2,), (("none", 0), ("avg_pool_3x3", 1)), (2,)), 12, 128, 1, preproc=False
)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["ghn2", "ghn1", "mlp"])
def test_parity_with_the_reference(shared, name):
    """Node embeddings, predicted tensors and logits of recorded DeepNets networks.

    Networks in which the reference loses squeeze-excite nodes (dense:0, dense:1) are left out.
    """
    golden = shared / "golden" / "ghn"
    reference = json.loads(gzip.decompress((golden / "reference.json.gz").read_bytes()))
    arrays = np.load(golden / "reference.npz")
    ghn = released(golden / f"{name}_seeded.pt")
    images = torch.from_numpy(arrays["input_images"])
    keys = [k for k in reference if k.startswith("deepnets:") and k.split(":")[1] not in ("DARTS", "dense")]
    assert len(keys) >= 14
    for key in keys:
        _, split, *index = key.split(":")
        if index:
            meta = shared / "golden" / "deepnets1m" / f"deepnets1m_{split}_meta.json"
            config = DeepNetConfig.from_record(json.loads(meta.read_text())[split]["nets"][int(index[0])])
        else:
            config = VIT
        graph = Emitter(make_plan(config)).graph()
        recorded = reference[key]
        names = [node["name"] for node in recorded["nodes"]]
        assert sorted(map(str, names)) == sorted(map(str, graph.param_names))
        assert recorded["n_edges_distance_1"] == graph.edge_index.shape[1]

        embeddings = arrays[f"{key}/{name}/node_embeddings"]
        states = ghn.node_states(graph).numpy()
        for i, parameter in enumerate(graph.param_names):
            if parameter:
                expected = embeddings[names.index(parameter)]
                assert np.abs(states[i] - expected).max() <= 1e-4 * np.abs(embeddings).max()
        predicted = ghn.predict(graph)
        assert predicted.keys() == recorded[f"{name}_parameters"].keys()
        for parameter, facts in recorded[f"{name}_parameters"].items():
            flat = predicted[parameter].double().flatten()
            assert float(flat.norm()) == pytest.approx(facts["l2"], rel=1e-4)
            assert flat[:4].tolist() == pytest.approx(facts["first"], rel=1e-3, abs=1e-5)
            assert flat[-4:].tolist() == pytest.approx(facts["last"], rel=1e-3, abs=1e-5)
        network = use_batch_statistics(DeepNet(config).eval())
        with torch.no_grad():
            logits = run(network, predicted, images)
        assert np.abs(logits.numpy() - arrays[f"{key}/{name}/logits"]).max() < 1e-3
