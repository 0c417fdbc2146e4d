"""GHN: its two ways through the graph, the sequential oracle, batches, decoding and gradients."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from archrep import GHN, GHNConfig
from archrep.compiled import COMPILES
from archrep.errors import ArchrepError
from archrep.ghn import kernel
from archrep.ghn.decoder import bounded_bias, bounded_scale, fan_in_scale, tile
from archrep.ghn.encoder import NodeEncoder, known_channels, known_kernels
from archrep.train.functional import run, use_batch_statistics
from benchmarks.oracle import sequential_states


def test_parameter_counts_of_the_paper():
    def count(**config):
        return sum(p.numel() for p in GHN.untrained(GHNConfig(**config)).parameters())

    plain = {"virtual_edges": False, "normalize": False, "layer_norm": False}
    assert count() == 1_620_764
    assert count(num_classes=1000, max_shape=(64, 64, 16, 16)) == 2_319_720
    assert count(**plain) == 1_620_668
    assert count(gnn="mlp") == 1_614_396


@pytest.fixture(params=["kernel", "levelwise"])
def way(request, monkeypatch):
    """Both ways through the graph."""
    assert COMPILES
    if request.param == "levelwise":
        monkeypatch.setattr(kernel, "applies", lambda gnn, states: False)


CONFIGS = [
    GHNConfig(),
    GHNConfig(virtual_edges=False, normalize=False, layer_norm=False),
    GHNConfig(hidden=12, max_shape=(16, 24, 5, 5), num_classes=1000),
]


@pytest.mark.parametrize("config", CONFIGS, ids=["ghn2", "ghn1", "narrow"])
@pytest.mark.usefixtures("way")
def test_equal_to_the_sequential_oracle(small, config):
    ghn = GHN.untrained(config, seed=1)
    for architecture in [*small[:3], small[-1]]:
        with torch.no_grad():
            expected = sequential_states(ghn, architecture.graph)
        states = ghn.node_states(architecture.graph)
        assert states.shape == (len(architecture.graph.primitive), config.hidden)
        assert (states - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_threads_change_nothing(small, ghn):
    graphs = [a.graph for a in small]
    alone = ghn.embed(graphs)
    torch.set_num_threads(2)
    try:
        assert torch.equal(ghn.embed(graphs), alone)
    finally:
        torch.set_num_threads(1)


def test_what_the_kernel_leaves_to_torch(small, ghn):
    states = torch.zeros(2, 32)
    assert kernel.applies(ghn.gnn, states)
    assert not kernel.applies(ghn.gnn, states.double())
    assert not kernel.applies(ghn.gnn, states.to("meta"))
    assert ghn([small[0].graph]).requires_grad
    assert not ghn.node_states(small[0].graph).requires_grad


@pytest.mark.parametrize("config", CONFIGS, ids=["ghn2", "ghn1", "narrow"])
def test_gradients_of_the_kernel(small, config):
    """Those that torch computes level by level, in double precision."""
    graphs, gradients = [a.graph for a in small[:4]], []
    for dtype in (torch.float32, torch.float64):
        ghn = GHN.untrained(config, seed=5).to(dtype)
        assert kernel.applies(ghn.gnn, torch.zeros(1, dtype=dtype)) == (dtype == torch.float32)
        states = ghn(graphs)
        weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
        (states * weights.to(dtype)).sum().backward()
        gradients.append({name: p.grad.double() for name, p in ghn.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert (gradient - gradients[1][name]).norm() <= 1e-5 * gradients[1][name].norm() + 1e-10, name


def test_gradients_with_a_frozen_encoder(small):
    ghn = GHN.untrained()
    ghn.encoder.requires_grad_(False)
    ghn([small[0].graph]).sum().backward()
    assert all(p.grad is not None for p in ghn.gnn.parameters())


@pytest.mark.usefixtures("way")
def test_alone_or_in_any_batch(small, ghn):
    graphs = [a.graph for a in small]
    together = ghn.embed(graphs)
    alone = torch.cat([ghn.embed([g]) for g in graphs])
    reverse = ghn.embed(graphs[::-1]).flip(0)
    twice = ghn.embed(graphs + graphs)[len(graphs) :]
    for other in (alone, reverse, twice, ghn.embed(graphs, batch_size=5)):
        assert (together - other).abs().max() <= 1e-5
    assert together.shape == (len(graphs), 32)
    assert together.dtype == torch.float32
    means = torch.stack([ghn.node_states(g).mean(dim=0) for g in graphs])
    assert (together - means).abs().max() <= 1e-5
    with pytest.raises(ArchrepError, match="at least one"):
        ghn.embed([])
    with pytest.raises(ArchrepError, match="batch_size"):
        ghn.embed(graphs, batch_size=0)


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


def test_gradients_equal_the_oracles(small, monkeypatch):
    """Of a loss on embedding and predicted parameters, in ten networks."""
    ghn = GHN.untrained(seed=5).double()
    fast = GHN.forward
    for architecture in small[:10]:
        generator = torch.Generator().manual_seed(0)
        gradients = []
        for forward in (fast, lambda self, graphs, batch=None: sequential_states(self, graphs[0])):
            monkeypatch.setattr(GHN, "forward", forward)
            generator.manual_seed(0)
            ghn.zero_grad()
            loss = ghn([architecture.graph]).mean(dim=0).sum()
            for value in ghn.predict_many([architecture.graph])[0].values():
                loss = loss + (value * torch.randn(value.shape, generator=generator, dtype=value.dtype)).sum()
            loss.backward()
            gradients.append({name: p.grad.clone() for name, p in ghn.named_parameters() if p.grad is not None})
        assert gradients[0].keys() == gradients[1].keys()
        for name, gradient in gradients[0].items():
            assert (gradient - gradients[1][name]).norm() <= 1e-6 * gradient.norm() + 1e-12, name


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
        rng = np.random.default_rng(0)
        for _ in range(3):
            index = tuple(rng.integers(0, target))
            wrapped = tuple(i % min(s, t) for i, s, t in zip(index, source, target, strict=True))
            assert result[index] == tensor[wrapped]


def test_tile_writes_even_and_uneven_sizes_like_repeat():
    tensor = torch.randn(4, 3, 2, 2, requires_grad=True)
    for shape in ((8, 6, 2, 2), (7, 5, 3, 1), (4, 3, 2, 2), (2, 9, 2, 2)):
        repeats = [-(-want // have) for want, have in zip(shape, tensor.shape, strict=True)]
        expected = tensor.repeat(repeats)[tuple(slice(n) for n in shape)]
        assert torch.equal(tile(tensor, shape), expected)
        weights = torch.randn(shape)
        gradients = [torch.autograd.grad((t * weights).sum(), tensor)[0] for t in (tile(tensor, shape), expected)]
        torch.testing.assert_close(*gradients)


def test_normalisation():
    assert fan_in_scale("conv", (8, 4, 3, 3)) == pytest.approx((2 / 36) ** 0.5)
    assert fan_in_scale("sep_conv", (8, 1, 3, 3)) == pytest.approx((1 / 9) ** 0.5)
    assert fan_in_scale("conv", (8, 4, 1, 7)) == pytest.approx((1 / 28) ** 0.5)
    assert fan_in_scale("conv", (8, 1)) == pytest.approx(2**0.5)
    assert fan_in_scale("pos_enc", (1, 8, 11, 11)) == 1
    assert bounded_scale(torch.zeros(5)).tolist() == [1.0] * 5
    assert bounded_bias(torch.full((5,), 1e4)).tolist() == [1.0] * 5


def test_shape_lookup_takes_the_nearest():
    encoder = NodeEncoder(32, 10, 11)
    channels = known_channels(10)
    looked_up = {c: channels[encoder.channel_index[c]] for c in (1, 3, 4, 5, 7, 9, 10, 65, 71, 73, 8192)}
    expected = {1: 1, 3: 3, 4: 8, 5: 8, 7: 8, 9: 8, 10: 10, 65: 64, 71: 64, 73: 80, 8192: 8192}
    assert looked_up == expected
    kernels = known_kernels(11)
    assert {k: kernels[encoder.kernel_index[k]] for k in (1, 2, 4, 12, 13, 16)} == {
        1: 1,
        2: 3,
        4: 3,
        12: 11,
        13: 14,
        16: 16,
    }
    huge = torch.tensor([[[20000, 9, 25, 2]]])
    assert torch.isfinite(encoder(torch.tensor([[4]]), huge)).all()


def test_extended_vocabulary(small, tmp_path):
    """A GHN takes graphs of its own vocabulary, and keeps it in its checkpoint."""
    ghn = GHN.untrained(GHNConfig(vocabulary="extended"))
    extended, released = small[0].graph_in("extended"), small[0].graph
    assert "linear" in extended.primitives
    assert extended.param_shapes == released.param_shapes
    assert torch.equal(extended.edge_index, released.edge_index)
    assert len(ghn.predict(extended)) == len(extended.param_shapes)
    ghn.save(tmp_path / "ghn.safetensors")
    loaded = GHN.load(tmp_path / "ghn.safetensors")
    assert loaded.config.vocabulary == "extended"
    assert torch.equal(loaded.embed([extended]), ghn.embed([extended]))
    with pytest.raises(ArchrepError, match="vocabulary='extended'"):
        ghn.embed([released])
    with pytest.raises(ArchrepError, match="vocabulary must be"):
        GHNConfig(vocabulary="mine")
