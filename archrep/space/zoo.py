"""Published networks: `torchvision:NAME`, `torchvision:NAME@cifar10`, `timm:NAME`, `timm:NAME@cifar10`; globs.

Without suffix: ImageNet networks, with the image size they were made for. With `@cifar10`: 10 classes, 32×32 images,
and the early strides taken out as the GHN-2 authors' code does it, see `ADAPT`.
"""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from types import ModuleType

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from archrep.errors import ArchrepError, lookup
from archrep.graph.archgraph import ArchGraph, Shape
from archrep.graph.capture import capture
from archrep.space.architecture import Architecture

CIFAR10_SHAPE = (3, 32, 32)
IMAGENET_SHAPES: dict[str, Shape] = {"inception_v3": (3, 299, 299)}  # the others: (3, 224, 224)
# Without their auxiliary classifiers these two return logits in training too, as the others do.
ARGUMENTS = {name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")}


def torchvision_networks(space: str, rest: str) -> Iterable[Architecture]:
    """Architectures of torchvision's classifiers.

    Raises:
        ArchrepError: if torchvision is missing, or for an unknown name or suffix.
    """
    models = import_torchvision()
    chosen, suffix = _select(space, rest, models.list_models(module=models))
    return [_torchvision(f"{space}:{name}{suffix}", models, name, cifar10=bool(suffix)) for name in chosen]


def timm_networks(space: str, rest: str) -> Iterable[Architecture]:
    """Architectures of timm's models, without pretrained weights.

    Raises:
        ArchrepError: if timm is missing, or for an unknown name.
    """
    timm = import_timm()
    chosen, suffix = _select(space, rest, timm.list_models())
    return [_timm(f"{space}:{name}{suffix}", timm, name, cifar10=bool(suffix)) for name in chosen]


def _timm(spec: str, timm: ModuleType, name: str, cifar10: bool) -> Architecture:
    shape = CIFAR10_SHAPE if cifar10 else tuple(timm.get_pretrained_cfg(name).input_size)

    def build() -> nn.Module:
        if not cifar10:
            return timm.create_model(name)
        try:  # transformers are made for an image size
            network = timm.create_model(name, num_classes=10, img_size=shape[-1])
        except TypeError:
            network = timm.create_model(name, num_classes=10)
        ADAPT.get(type(network).__name__, _unchanged)(network)
        return network

    return _without_weights(spec, "timm", build, shape)


def _select(space: str, rest: str, names: list[str]) -> tuple[list[str], str]:
    """Names that a pattern means, and the suffix `@cifar10` or nothing."""
    pattern, at, suffix = rest.partition("@")
    if at:
        lookup({"cifar10": None}, suffix, f"adaptation in {space}:{rest}:")
    chosen = [name for name in names if fnmatchcase(name, pattern)]
    if not chosen:
        lookup(dict.fromkeys(names), pattern, f"{space} network")
    return chosen, at + suffix


def import_timm() -> ModuleType:
    """The module `timm`.

    Raises:
        ArchrepError: if timm or torchvision is not installed.
    """
    import_torchvision()  # timm imports it, and it may need help
    return import_extra("timm", "vision")


def import_extra(package: str, extra: str) -> ModuleType:
    """A package that an extra of archrep installs; a space of the same name needs it.

    Raises:
        ArchrepError: if it is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != package:
            raise
        raise ArchrepError(
            f"The space {package!r} needs the package {package}. Install it: pip install 'archrep[{extra}]'"
        ) from error


def _torchvision(spec: str, models: ModuleType, name: str, cifar10: bool) -> Architecture:
    shape = CIFAR10_SHAPE if cifar10 else IMAGENET_SHAPES.get(name, (3, 224, 224))

    def build() -> nn.Module:
        more = ARGUMENTS.get(name, {})
        network = models.get_model(name, weights=None, num_classes=10 if cifar10 else 1000, **more)
        if cifar10:
            ADAPT.get(type(network).__name__, _unchanged)(network)
        return network

    return _without_weights(spec, "torchvision", build, shape)


def _without_weights(spec: str, space: str, build: Callable[[], nn.Module], shape: Shape) -> Architecture:
    """An architecture whose graph is captured from a network that has no memory for weights."""

    def graph(vocabulary: str) -> ArchGraph:
        with torch.random.fork_rng(devices=[]):
            try:
                with _WithoutWeights():
                    network = build()
            except RuntimeError as error:
                if "meta" not in str(error).lower():
                    raise
                network = build()  # its constructor runs a part of it on real tensors: hybrid transformers of timm
        return capture(network, shape, vocabulary=vocabulary)

    return Architecture(spec, space, "", graph, build, shape)


class _WithoutWeights(TorchFunctionMode):
    """Layers get their weights on the meta device; what a constructor computes with tensors stays real (RegNet)."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        return func(*args, **(kwargs | {"device": "meta"} if func is torch.empty else kwargs))


def import_torchvision() -> ModuleType:
    """The module `torchvision.models`.

    With a CPU build of torch, torchvision 0.28 fails at import because two operators of its compiled part are
    missing. Then, and only then, they are declared; no classifier calls them.

    Raises:
        ArchrepError: if torchvision is not installed.
    """
    try:
        import_extra("torchvision", "vision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        _declare_operators()
    return import_module("torchvision.models")


@cache  # the declarations last as long as this object
def _declare_operators() -> torch.library.Library:
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def _unchanged(network: nn.Module) -> None:
    """SqueezeNet, EfficientNet, …: as they are."""


def _small_first_kernel(network: nn.Module) -> None:
    """First convolution 3×3 with stride 1 and padding 1, the centre of its kernel; no max pooling after it."""
    conv = _stride_1_without_pool(network)
    top, left = (size // 2 - 1 for size in conv.kernel_size)
    conv.weight = nn.Parameter(conv.weight.detach()[:, :, top : top + 3, left : left + 3].clone())
    conv.kernel_size, conv.padding = (3, 3), (1, 1)


def _stride_1_without_pool(network: nn.Module) -> nn.Conv2d:
    """First convolution with stride 1; a max pooling before the second convolution becomes the identity."""
    convolutions = 0
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            convolutions += 1
            if convolutions == 2:
                break
            first = module
        elif isinstance(module, nn.MaxPool2d) and convolutions == 1:
            network.set_submodule(name, nn.Identity())
    first.stride = (1, 1)
    return first


def _stride_1_in_five_blocks(network: nn.Module) -> None:
    """Stride 1 in every convolution of the first five feature blocks."""
    for block in list(network.get_submodule("features").children())[:5]:
        for module in block.modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)


def _no_early_pools(network: nn.Module) -> None:
    """Max poolings among the first ten feature layers become identities."""
    for name, module in list(network.get_submodule("features").named_children())[:10]:
        if isinstance(module, nn.MaxPool2d):
            network.set_submodule(f"features.{name}", nn.Identity())


# By class of the network, so that ResNeXt and wide ResNets count as ResNets; the others stay unchanged.
ADAPT: dict[str, Callable[[nn.Module], object]] = {
    "ResNet": _small_first_kernel,
    "DenseNet": _small_first_kernel,
    "MobileNetV2": _stride_1_in_five_blocks,
    "MobileNetV3": _stride_1_in_five_blocks,
    "VGG": _no_early_pools,
    "AlexNet": _stride_1_without_pool,
    "MNASNet": _stride_1_without_pool,
    "ShuffleNetV2": _stride_1_without_pool,
    "GoogLeNet": _stride_1_without_pool,
    "ConvNeXt": _stride_1_without_pool,
}
