"""What is read from the genotype equals what the built network has, on random architectures of every split."""

import dataclasses
import random

import pytest
import torch

import archrep
from archrep.graph.cost import count_flops, count_params
from archrep.space.deepnets import LIMITS, DeepNet, Emitter, Generated, generate, make_plan
from archrep.space.deepnets.sampler import standard

SPLITS = [(preset, split) for preset, splits in LIMITS.items() for split in splits]


def random_indices(preset, split, n):
    return random.Random(f"{preset}/{split}").sample(range(len(Generated(preset, split))), n)


@pytest.mark.parametrize(("preset", "split"), SPLITS)
def test_graph_shapes_parameters_and_flops(preset, split):
    source = Generated(preset, split)
    for index in random_indices(preset, split, 3):
        architecture, emitter = source.architecture(index), Emitter(make_plan(source.config(index)))
        with torch.device("meta"):
            network = architecture.build()
        for vocabulary in ("released", "extended"):
            direct, captured = architecture.graph_in(vocabulary), archrep.capture(network, vocabulary=vocabulary)
            assert direct.hash() == captured.hash(), architecture.id
            assert direct.param_shapes == captured.param_shapes, architecture.id
            assert sorted(direct.primitives) == sorted(captured.primitives)
            assert set(direct.unused) == set(captured.unused)
        assert emitter.param_shapes == {name: tuple(p.shape) for name, p in network.named_parameters()}
        assert emitter.num_params == count_params(network)
        assert 2 * emitter.macs == count_flops(network), architecture.id


@pytest.mark.parametrize(("preset", "split"), SPLITS)
def test_standard_parameter_counts(preset, split):
    """At 32 channels and fc_dim 256, with either stem."""
    config = Generated(preset, split).config(random_indices(preset, split, 1)[0])
    for imagenet in (False, True):
        with torch.device("meta"):
            network = DeepNet(dataclasses.replace(config, channels=32, fc_dim=256), imagenet=imagenet)
        assert standard(config, imagenet).num_params == count_params(network)


@pytest.mark.parametrize("n", [4, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
@pytest.mark.parametrize("split", list(LIMITS["deepnets"]))
def test_all_build_and_run(split, n, tmp_path):
    """All random architectures run at batch 2 and have the stored parameters; default weights take too long to draw."""
    store = generate(tmp_path / split, "deepnets", split, n, workers=1)
    for i, counted in enumerate(store.shard(0).columns["params"]):
        architecture = store.architecture(i)
        with torch.device("meta"):
            network = architecture.build()
        assert count_params(network) == counted, architecture.id
        network.to_empty(device="cpu")
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(1 / parameter[0].numel())  # of the fan-in: a layer gives means
            assert network(torch.ones(2, 3, 32, 32)).shape == (2, 10), architecture.id
