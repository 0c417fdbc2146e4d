"""GHN encodings of every layer and pool, the random network, and the accuracy of predicted parameters."""

import numpy as np
import pytest
import torch

import archrep
from archrep.errors import ArchrepError
from archrep.ghn import kernel
from archrep.ghn.layers import LAYERS, node_layers
from archrep.probe.encoders import Context, encode, split_specs


@pytest.fixture(scope="module")
def context(ghn, digits):
    return Context(ghn=ghn, images=digits, seed=1)


def test_layers_and_pools_are_what_their_names_say(small, ghn, context):
    graphs = [a.graph for a in small]
    states = node_layers(ghn, graphs[:1])
    assert list(states) == list(LAYERS)
    assert torch.equal(states["final"], ghn.node_states(graphs[0]))
    for layer, own in states.items():
        own = own.double().numpy()
        got = encode(f"ghn:{layer}:mean,sum,max,ends", small, context)
        assert got.shape == (len(small), 5 * 32)
        wanted = np.concatenate([own.mean(0), own.sum(0), own.max(0), own[0], own[-1]])
        np.testing.assert_allclose(got[0], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(encode("ghn", small, context), encode("ghn:final:mean", small, context))
    np.testing.assert_allclose(encode("ghn", small, context), ghn.embed(graphs), rtol=1e-5, atol=1e-6)
    two = encode("ghn:input,final", small, context)
    np.testing.assert_array_equal(two[:, 32:], encode("ghn", small, context))


def test_sweeps_are_the_same_without_the_kernel(small, ghn, monkeypatch):
    graphs = [a.graph for a in small]
    fast = node_layers(ghn, graphs)
    monkeypatch.setattr(kernel, "applies", lambda gnn, states: False)
    slow = node_layers(ghn, graphs)
    for layer in LAYERS:
        torch.testing.assert_close(fast[layer], slow[layer], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(fast["forward"], fast["backward"])


def test_the_mlp_baseline_has_layers_too(small):
    mlp = archrep.GHN.untrained(archrep.GHN.untrained().config.__class__(gnn="mlp"), seed=0)
    assert encode("ghn:forward:mean", small[:2], Context(ghn=mlp)).shape == (2, 32)


def test_random_network_depends_on_the_seed_only(small, context):
    first = encode("gnn-random", small, context)
    assert first.shape == (len(small), 32)
    np.testing.assert_array_equal(first, encode("gnn-random", small, Context(seed=1)))
    assert not np.allclose(first, encode("gnn-random", small, Context(seed=2)))


def test_accuracy_of_predicted_parameters(ghn, digits, context):
    chosen = list(archrep.architectures("deepnets-small:test:0-1"))
    got = encode("ghn-accuracy", chosen, context)
    assert got.shape == (2, 1)
    assert ((got >= 0) & (got <= 100)).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ghn:las", "Unknown layer of a GHN 'las'"),
        ("ghn:final:median", "Unknown pool 'median'"),
        ("ghn:", "nothing behind the colon"),
    ],
)
def test_unknown_layers_and_pools(small, context, spec, message):
    with pytest.raises(ArchrepError) as error:
        encode(spec, small[:1], context)
    assert message in str(error.value)


@pytest.mark.parametrize("spec", ["ghn", "ghn-accuracy"])
def test_what_is_lacking(small, spec):
    with pytest.raises(ArchrepError, match=r"--(checkpoint|data)"):
        encode(spec, small[:1], Context())


def test_lists_of_specs():
    assert split_specs("ghn:final:mean,max, size ,columns:a,b+size,op-counts") == [
        "ghn:final:mean,max",
        "size",
        "columns:a,b+size",
        "op-counts",
    ]
    assert split_specs("sizes,ghn") == ["sizes", "ghn"]
