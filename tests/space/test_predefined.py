"""deepnets:predefined: ResNet-50 and the ViT, archrep's own, equal to torchvision's and the recorded one."""

import gzip
import json
from collections import Counter

import pytest
import torch

import archrep
from archrep.space.resnet import resnet50
from archrep.space.zoo import import_torchvision


def test_names_and_node_counts():
    found = list(archrep.architectures("deepnets:predefined"))
    assert [a.id for a in found] == ["deepnets:predefined:0", "deepnets:predefined:1"]
    assert [len(a.graph.primitives) for a in found] == [126, 129]  # as in the paper
    assert [a.graph.num_params for a in found] == [23_520_842, 1_012_234]
    for architecture in found:
        before = torch.get_rng_state()
        assert architecture.graph.hash() == archrep.capture(architecture.build().eval()).hash()
        torch.set_rng_state(before)
        assert architecture.build().eval()(torch.randn(1, 3, 32, 32)).shape == (1, 10)


def test_resnet50_is_torchvisions():
    ours, theirs = archrep.architectures("deepnets:predefined:0", "torchvision:resnet50@cifar10")
    assert ours.graph.hash() == theirs.graph.hash()
    assert ours.graph.param_names == theirs.graph.param_names
    assert torch.equal(ours.graph.edge_index, theirs.graph.edge_index)
    for mine, other, size in (
        (ours.build(), theirs.build(), 32),
        (resnet50(), import_torchvision().resnet50(weights=None), 64),
    ):
        assert list(mine.state_dict()) == list(other.state_dict())
        mine.load_state_dict(other.state_dict())
        images = torch.randn(2, 3, size, size)
        with torch.no_grad():
            assert torch.equal(mine.eval()(images), other.eval()(images))


@pytest.mark.shared
def test_recorded_graphs(shared):
    reference = json.loads(gzip.decompress((shared / "golden" / "ghn" / "reference.json.gz").read_bytes()))
    keys = "torchvision:resnet50:cifar10", "deepnets:ViT"
    for key, architecture in zip(keys, archrep.architectures("deepnets:predefined"), strict=True):
        nodes = Counter((node["name"], node["primitive"]) for node in reference[key]["nodes"])
        assert Counter(zip(architecture.graph.param_names, architecture.graph.primitives, strict=True)) == nodes
        assert architecture.graph.edge_index.shape[1] == reference[key]["n_edges_distance_1"]
