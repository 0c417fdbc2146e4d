"""What is read from the genotype equals what the built network has, on random architectures of every split."""

import dataclasses
import random

import pytest
import torch

import archrep
from archrep.graph.cost import count_flops, count_params
from archrep.space.deepnets import LIMITS, DeepNet, Emitter, Generated, make_plan
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


@pytest.mark.slow
@pytest.mark.parametrize("split", list(LIMITS["deepnets"]))
def test_random_architectures_build_and_run(split, tmp_path):
    """125 of each of the 8 splits, forward at batch 2; the count is the stored one."""
    from archrep.space.deepnets import generate

    folder = "deepnets:{}".format(generate(tmp_path / split, "deepnets", split, 125, workers=1).path)
    shard = archrep.space.deepnets.Store(tmp_path / split).shard(0)
    for row, architecture in enumerate(archrep.architectures(folder)):
        network = architecture.build()
        assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)
        assert count_params(network) == shard.columns["params"][row]
        assert architecture.graph.num_params <= shard.columns["params"][row]
