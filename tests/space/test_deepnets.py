"""DeepNets: names are stable, splits are disjoint and networks run (recorded networks: test_official.py)."""

import dataclasses

import pytest
import torch

import archrep
from archrep.errors import ArchrepError
from archrep.space.deepnets import DeepNet, DeepNetConfig, Emitter, make_plan, sample


def test_names_never_change():
    """These are part of the published labels: a change here renames every architecture."""
    first = sample("deepnets-small", "test", 0)
    assert (first.n_cells, first.channels, first.fc_dim, first.genotype.normal[0]) == NAMES["deepnets-small"]
    first = sample("deepnets", "test", 0)
    assert (first.n_cells, first.channels, first.fc_dim, first.genotype.normal[0]) == NAMES["deepnets"]


NAMES = {
    "deepnets-small": (5, 8, 192, ("skip_connect", 1)),
    "deepnets": (14, 64, 64, ("conv_7x7", 1)),
}


def test_an_index_stands_alone():
    alone = sample("deepnets-small", "val", 7)
    assert [sample("deepnets-small", "val", i) for i in range(9)][7] == alone
    torch.manual_seed(1)
    assert sample("deepnets-small", "val", 7) == alone
    assert sample("deepnets-small", "test", 7) != alone


def test_no_evaluation_architecture_occurs_in_train():
    def hashes(*specs):
        return {a.graph.hash(shapes=False) for a in archrep.architectures(*specs)}

    train = hashes("deepnets-small:train:0-149")
    val, test = hashes("deepnets-small:val:0-29"), hashes("deepnets-small:test:0-29")
    ood = hashes("deepnets-small:bnfree:0-19", "deepnets-small:dense:0-9", "deepnets-small:deep:0-9")
    assert not train & (val | test | ood)
    assert not val & test


def test_wide_is_test_with_more_channels():
    narrow, wide = sample("deepnets", "test", 3), sample("deepnets", "wide", 3)
    assert wide == dataclasses.replace(narrow, channels=4 * narrow.channels)


def test_paper_size_evaluation_networks_have_enough_parameters():
    for i in range(5):
        assert Emitter(make_plan(sample("deepnets", "val", i))).num_params >= 2_500_000


@pytest.mark.parametrize("split", ["train", "val", "test", "wide", "deep", "dense", "bnfree", "search"])
def test_networks_of_every_split_run(split):
    for architecture in archrep.architectures(f"deepnets-small:{split}:0-4"):
        network = architecture.build()
        assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)
        has_norm = any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
        assert not (split == "bnfree" and has_norm)


def test_imagenet_stems_run():
    for split, index in (("val", 0), ("val", 1), ("test", 2)):
        config = dataclasses.replace(sample("deepnets-small", split, index), glob_avg=True)
        network = DeepNet(config, num_classes=5, imagenet=True).eval()
        assert network(torch.randn(1, 3, 224, 224)).shape == (1, 5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("deepnest-small:test", "Did you mean 'deepnets-small'"),
        ("deepnets-small:tset", "Did you mean 'test'"),
        ("deepnets-small:predefined", "Unknown split of deepnets-small"),
        ("deepnets:predefine", "Did you mean 'predefined'"),
        ("deepnets:predefined:2", "0 … 1"),
        ("deepnets-small:test:500", "0 … 499"),
        ("deepnets-small:test:9-3", "0 … 499"),
        ("deepnets-small:test:x", "expected"),
        ("nowhere.csv", "no such table"),
        ("", "Unknown space"),
    ],
)
def test_bad_specs(spec, message):
    with pytest.raises(ArchrepError, match=message):
        archrep.architectures(spec)


def test_specs_name_each_architecture_once(tmp_path):
    table = tmp_path / "archs.csv"
    table.write_text("arch,note\ndeepnets-small:test:1,x\ndeepnets-small:test:3,y\n")
    found = [a.id for a in archrep.architectures("deepnets-small:test:0-1", str(table))]
    assert found == [f"deepnets-small:test:{i}" for i in (0, 1, 3)]


def test_disconnected_and_foreign_genotypes_are_refused():
    config = sample("deepnets-small", "test", 0)
    genotype = dataclasses.replace(config.genotype, normal=(("none", 0), ("none", 1)), normal_concat=(2,))
    genotype = dataclasses.replace(genotype, reduce=(("none", 0), ("none", 1)), reduce_concat=(2,))
    with pytest.raises(ArchrepError, match="disconnected"):
        make_plan(dataclasses.replace(config, genotype=genotype))
    with pytest.raises(ArchrepError, match="Not an edge"):
        make_plan(dataclasses.replace(config, genotype=dataclasses.replace(genotype, normal=(("conv_9x9", 0),) * 2)))
    with pytest.raises(ArchrepError, match="Not an architecture record"):
        DeepNetConfig.from_record({"genotype": {}})


RECORD = {
    "genotype": {
        "normal": [["conv_3x3", 0], ["sep_conv_3x3", 1]],
        "normal_concat": [2],
        "reduce": [["conv_3x3", 0], ["max_pool_3x3", 1]],
        "reduce_concat": [2],
    },
    **{"n_cells": 4, "C_mult": 2, "stem_type": 0, "ks": 3, "stem_pool": False, "norm": "bn", "preproc": True},
    **{"glob_avg": True, "fc_layers": 1},
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n_cells", 10**9),
        ("n_cells", -1),
        ("C", 10**12),
        ("fc_dim", float("inf")),
        ("normal", [["conv_3x3", 0], ["conv_3x3", 7]]),
        ("normal", [["conv_3x3", 0], ["conv_3x3", -1]]),
        ("normal", [["conv_3x3", 0]]),
        ("reduce", [["rm -rf", 0], ["conv_3x3", 1]]),
        ("reduce", [["conv_3x3", 0]] * 10_000),
        ("reduce_concat", [9]),
        ("normal_concat", []),
    ],
)
def test_records_of_no_possible_network_are_refused(key, value):
    assert make_plan(DeepNetConfig.from_record(RECORD)).steps
    record = RECORD | {key: value} if key in ("n_cells", "C", "fc_dim") else None
    record = record or RECORD | {"genotype": RECORD["genotype"] | {key: value}}
    with pytest.raises(ArchrepError, match="Not an architecture record"):
        DeepNetConfig.from_record(record)
