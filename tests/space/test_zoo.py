"""torchvision's classifiers: recorded graphs, the CIFAR-10 adaptation, no weights allocated, clear errors."""

import gzip
import json
import sys
from collections import Counter

import pytest
import torch

import archrep
from archrep.errors import ArchrepError
from archrep.space import zoo


def one(spec):
    (architecture,) = archrep.architectures(spec)
    return architecture


@pytest.mark.shared
def test_recorded_graphs(shared):
    reference = json.loads(gzip.decompress((shared / "golden" / "ghn" / "reference.json.gz").read_bytes()))
    keys = [key for key in reference if key.startswith("torchvision:")]
    assert len(keys) == 6
    for key in keys:
        graph = one(key.replace(":cifar10", "@cifar10")).graph
        recorded = reference[key]
        nodes = Counter((node["name"], node["primitive"]) for node in recorded["nodes"])
        assert Counter(zip(graph.param_names, graph.primitives, strict=True)) == nodes, key
        assert graph.edge_index.shape[1] == recorded["n_edges_distance_1"]
        assert {name: list(shape) for name, shape in graph.param_shapes.items()} == recorded["param_shapes"]


def test_names_globs_and_shapes():
    ids = [a.id for a in archrep.architectures("torchvision:resnet1*", "torchvision:resnet18@cifar10")]
    assert ids == [f"torchvision:resnet{n}" for n in ("101", "152", "18", "18@cifar10")]
    every = list(archrep.architectures("torchvision:*"))
    assert len(every) > 70
    assert not any("fcos" in a.id or "quantized" in a.id for a in every)
    shapes = {a.id.partition(":")[2]: a.input_shape for a in every}
    assert shapes["resnet18"] == (3, 224, 224)
    assert shapes["inception_v3"] == (3, 299, 299)
    assert one("torchvision:resnet18@cifar10").input_shape == (3, 32, 32)


# Height of the feature maps behind the first convolutions, for 32×32 images.
SIZES = {
    "resnext50_32x4d": [32] * 11,
    "densenet121": [32] * 14,
    "mobilenet_v2": [32] * 14,
    "mobilenet_v3_small": [32] * 8,
    "alexnet": [26, 26, 12],  # an 11×11 kernel
    "mnasnet0_5": [32, 32, 32, 32, 16],
    "shufflenet_v2_x0_5": [32, 16],
    "googlenet": [32, 32, 32, 16],
    "convnext_tiny": [29, 29],  # a 4×4 kernel
    "squeezenet1_1": [15],
}


@pytest.mark.parametrize("name", SIZES)
def test_adapted_networks_keep_the_resolution(name):
    network = one(f"torchvision:{name}@cifar10").build().eval()
    sizes = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _, __, out: sizes.append(out.shape[-1]))
    with torch.no_grad():
        assert network(torch.randn(1, 3, 32, 32)).shape == (1, 10)
    maps = [size for size in sizes if size > 1]  # squeeze-and-excitation works on 1×1
    assert maps[: len(SIZES[name])] == SIZES[name]


def test_the_kernels_centre_is_kept():
    torch.manual_seed(4)
    adapted = one("torchvision:resnet18@cifar10").build()
    torch.manual_seed(4)
    plain = zoo.import_torchvision().resnet18(num_classes=10)
    assert torch.equal(adapted.conv1.weight, plain.conv1.weight[:, :, 2:5, 2:5])
    assert torch.equal(adapted.fc.weight, plain.fc.weight)
    assert isinstance(adapted.maxpool, torch.nn.Identity)


def test_vgg_loses_only_its_early_pools():
    def pools(spec):
        with torch.device("meta"):
            features = one(spec).build().features
        return [i for i, layer in enumerate(features) if isinstance(layer, torch.nn.MaxPool2d)]

    assert pools("torchvision:vgg11") == [2, 5, 10, 15, 20]
    assert pools("torchvision:vgg11@cifar10") == [10, 15, 20]


@pytest.mark.parametrize("name", ["regnet_y_400mf", "swin_t", "inception_v3", "efficientnet_b0", "squeezenet1_1"])
def test_graphs_need_no_weights(name):
    architecture = one(f"torchvision:{name}")
    before = torch.get_rng_state()
    graph = architecture.graph
    assert torch.equal(torch.get_rng_state(), before)
    assert graph.unused == ()
    own = {name: tuple(p.shape) for name, p in architecture.build().named_parameters()}
    assert graph.param_shapes == own


def test_huge_networks_stay_on_the_meta_device(monkeypatch):
    networks = []
    monkeypatch.setattr(zoo, "capture", lambda network, shape, vocabulary: networks.append(network))
    _ = one("torchvision:regnet_y_128gf").graph
    (network,) = networks
    real = [p.numel() for p in network.parameters() if not p.is_meta]
    assert sum(p.numel() for p in network.parameters()) > 6e8
    assert sum(real) == 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("torchvision:resnet5", "Did you mean 'resnet50'"),
        ("torchvision:foo*", "Unknown torchvision network"),
        ("torchvision:", "Unknown torchvision network ''"),
        ("torchvision:fcos_resnet50_fpn", "Unknown torchvision network"),
        ("torchvision:resnet50@cifar", "Did you mean 'cifar10'"),
        ("torchvision:resnet50@", "Available: cifar10"),
        ("torchvison:resnet50", "Did you mean 'torchvision'"),
    ],
)
def test_bad_specs(spec, message):
    with pytest.raises(ArchrepError, match=message):
        archrep.architectures(spec)


def test_networks_that_need_larger_images_say_so():
    with pytest.raises(ArchrepError, match=r"torchvision:vit_b_16@cifar10: .*\(3, 32, 32\)"):
        _ = one("torchvision:vit_b_16@cifar10").graph


def test_without_torchvision(monkeypatch):
    monkeypatch.delitem(sys.modules, "torchvision.models", raising=False)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ArchrepError, match=r"pip install 'archrep\[vision\]'"):
        archrep.architectures("torchvision:resnet18")


def test_operators_are_declared_only_where_they_are_missing(monkeypatch):
    declared, failures = [], ["operator torchvision::nms does not exist"]

    def fails_first(name):
        if failures:
            raise RuntimeError(failures.pop())
        return name

    monkeypatch.setattr(zoo, "import_module", fails_first)
    monkeypatch.setattr(zoo, "_declare_operators", lambda: declared.append(1))
    assert zoo.import_torchvision() == "torchvision.models"
    assert declared == [1]
    failures.append("something else")
    with pytest.raises(RuntimeError, match="something else"):
        zoo.import_torchvision()
    assert declared == [1]


def test_timm():
    first, adapted = (one(f"timm:{name}") for name in ("resnet18", "resnet18@cifar10"))
    assert (first.id, first.input_shape) == ("timm:resnet18", (3, 224, 224))
    published = one("torchvision:resnet18")
    assert first.graph.hash() == published.graph.hash()
    assert adapted.graph.hash() == one("torchvision:resnet18@cifar10").graph.hash()
    vit = one("timm:vit_tiny_patch16_224@cifar10")
    assert vit.input_shape == (3, 32, 32)
    assert vit.graph.primitives.count("msa") == 12
    assert len(list(archrep.architectures("timm:convnextv2_*"))) > 5
    with pytest.raises(ArchrepError, match="Did you mean"):
        archrep.architectures("timm:resnet5O")


def test_transformers(tmp_path):
    config = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    own = one(f"transformers:{tmp_path / 'config.json'}")
    assert own.graph.primitives.count("msa") == 2
    assert own.graph.unused == ()
    by_class, by_type = (one(f"transformers:{n}") for n in ("ViTConfig", "vit"))
    assert by_class.graph.hash() == by_type.graph.hash()
    (tmp_path / "broken.json").write_text("{}")
    for name, message in (
        (tmp_path / "broken.json", "not a configuration"),
        (tmp_path / "none.json", "not a configuration"),
        ("brt", "Did you mean"),
    ):
        with pytest.raises(ArchrepError, match=message):
            archrep.architectures(f"transformers:{name}")


def test_constructors_that_run_a_part_of_the_network():
    hybrid = one("timm:vit_tiny_r_s16_p8_224").graph
    assert hybrid.unused == ()
    assert hybrid.primitives.count("msa") == 12

    def broken():
        raise RuntimeError("no such width")

    with pytest.raises(RuntimeError, match="no such width"):
        _ = zoo._without_weights("timm:broken", "timm", broken, (3, 32, 32)).graph
