"""Meta-batches: deterministic in (seed, step), from stores as from the generator, through a DataLoader's workers."""

import dataclasses

import pytest
import torch
from torch.utils.data import DataLoader

from archrep.errors import ArchrepError
from archrep.space.deepnets import Emitter, Generated, generate, limits, make_plan
from archrep.train import PRESETS
from archrep.train.meta_batches import MetaBatches, meta_batches


def ids(batch):
    return [a.id for a in batch]


def graphs(batch):
    return [a.graph.hash() for a in batch]


def test_depend_on_seed_and_step_only():
    split = Generated("deepnets-small", "train")
    drawn = MetaBatches(split, steps=9, meta_batch=2)
    torch.manual_seed(9)
    again = MetaBatches(split, steps=5, meta_batch=2)
    assert graphs(drawn[4]) == graphs(again[4])
    assert ids(drawn[4]) != ids(drawn[5])
    assert ids(MetaBatches(split, steps=9, meta_batch=2, seed=1)[4]) != ids(drawn[4])
    assert len(drawn) == 9
    with pytest.raises(IndexError, match="0 … 4"):
        again[5]


def test_budget_of_nodes():
    batches = MetaBatches(Generated("deepnets-small", "train"), steps=4, meta_batch=2, max_nodes=120)
    for step in range(4):
        assert sum(len(a.graph.primitive) for a in batches[step]) <= 120


def test_small_networks_first():
    config = dataclasses.replace(
        PRESETS["ghn2-cifar10-small"], steps=10, meta_batch=8, small_first=0.2, small_macs=2 * 10**6
    )
    drawn = meta_batches(config)
    macs = [[Emitter(make_plan(a.config)).macs for a in drawn[step]] for step in range(4)]
    assert max(macs[0] + macs[1]) <= 2 * 10**6
    assert max(macs[2] + macs[3]) > 2 * 10**6
    with pytest.raises(ArchrepError, match=r"more than 10 multiply-accumulates\. Raise --small-macs"):
        meta_batches(dataclasses.replace(config, small_macs=10, archs="deepnets-small:search:4"))[0]


def test_networks_for_imagenet():
    """The same architectures, with the stem and the classifier of ImageNet."""
    config = dataclasses.replace(PRESETS["ghn2-imagenet"], steps=1, meta_batch=2)
    for_cifar10 = meta_batches(dataclasses.replace(PRESETS["ghn2-cifar10"], steps=1, meta_batch=2))[0]
    for architecture, other in zip(meta_batches(config, 224)[0], for_cifar10, strict=True):
        assert architecture.id == other.id
        assert architecture.input_shape == (3, 224, 224)
        assert [*architecture.graph.param_shapes.values()][-1] == (1000,)


def test_channels_are_drawn_at_every_visit(tmp_path):
    """One architecture, many visits: its graph stays, its width follows the paper's grid for its size."""
    generate(tmp_path / "one", "deepnets", "train", size=1, workers=1)
    config = dataclasses.replace(PRESETS["ghn2-cifar10"], archs=f"deepnets:{tmp_path / 'one'}", meta_batch=1)
    batches = meta_batches(config)
    visits = [batches[step][0] for step in range(40)]
    assert {a.id for a in visits} == {"deepnets:train:0"}
    assert len({a.graph.hash(shapes=False) for a in visits}) == 1
    assert len({a.graph.hash() for a in visits}) > 2


def test_wider_networks_are_drawn_only_where_they_are_small():
    drawn = MetaBatches(Generated("deepnets", "train"), steps=30, meta_batch=4)
    grid = limits("deepnets", "train").channels
    channels = [a.make_network.args[0].channels for step in range(30) for a in drawn[step]]
    assert set(channels) <= set(grid[:7])
    assert 32 in channels
    assert max(channels) > 64


def test_a_store_draws_what_the_generator_does(tmp_path):
    store = generate(tmp_path / "wide", "deepnets-small", "wide", workers=1)
    stored = MetaBatches(store, steps=3, meta_batch=3)
    made = MetaBatches(Generated("deepnets-small", "wide"), steps=3, meta_batch=3)
    for step in range(3):
        assert ids(stored[step]) == ids(made[step])
        assert graphs(stored[step]) == graphs(made[step])


def test_ranges_and_bad_specs():
    config = dataclasses.replace(PRESETS["ghn2-cifar10-small"], archs="deepnets-small:search:4-5")
    drawn = {a.id for step in range(5) for a in meta_batches(config)[step]}
    assert drawn == {"deepnets-small:search:4", "deepnets-small:search:5"}
    with pytest.raises(ArchrepError, match="Unknown DeepNets space"):
        meta_batches(dataclasses.replace(config, archs="timm:resnet18"))


def test_prefetched_by_workers(tmp_path):
    """A loader's workers give what the dataset gives, in order; networks can be built from it."""
    store = generate(tmp_path / "wide", "deepnets-small", "wide", size=9, workers=1)
    batches = MetaBatches(store, steps=6, meta_batch=2)
    loader = DataLoader(batches, batch_size=None, num_workers=2, sampler=range(2, 6), multiprocessing_context="spawn")
    prefetched = list(loader)
    assert [graphs(b) for b in prefetched] == [graphs(batches[step]) for step in range(2, 6)]
    assert prefetched[0][0].build()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
