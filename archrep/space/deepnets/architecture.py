"""The architecture of a DeepNets configuration, and the form of an architecture for a data set."""

from dataclasses import replace
from functools import partial

import torch

from archrep.errors import ArchrepError
from archrep.graph.archgraph import ArchGraph
from archrep.graph.run import forward, parameters_on
from archrep.space.architecture import Architecture
from archrep.space.deepnets.config import DeepNetConfig
from archrep.space.deepnets.graph import Emitter
from archrep.space.deepnets.network import DeepNet
from archrep.space.deepnets.plan import make_plan

CIFAR10, IMAGENET = 32, 224  # sizes of the images that DeepNets are planned for


def deepnet_of(config: DeepNetConfig, name: str, space: str, split: str) -> Architecture:
    """The architecture of a configuration: the one that `name` names, or a variant with other channels."""
    make_graph, make_network = partial(emitted, config), partial(DeepNet, config)
    return Architecture(
        name, space, split, make_graph, make_network, config=config, make_flops=partial(flops_of, config)
    )


def flops_of(config: DeepNetConfig, num_classes: int = 10, imagenet: bool = False) -> int:
    """Floating-point operations per image of a configuration's network, read from its plan; errors as in `emitted`."""
    return 2 * Emitter(make_plan(config, num_classes, imagenet)).checked().macs


def emitted(
    config: DeepNetConfig,
    vocabulary: str = "released",
    contracted: frozenset[str] = frozenset(),
    num_classes: int = 10,
    imagenet: bool = False,
) -> ArchGraph:
    """The computational graph of a configuration; `contracted` as in `Emitter`, the rest as in `make_plan`.

    Raises:
        ArchrepError: if it is disconnected, or larger than that of any split.
    """
    return Emitter(make_plan(config, num_classes, imagenet), contracted).checked().graph(vocabulary)


def fitted(architecture: Architecture, num_classes: int, image_size: int) -> Architecture:
    """The form of an architecture for images (3, image_size, image_size) of `num_classes` classes.

    A DeepNets architecture gets the stem and the classifier of that data set: the forms for CIFAR-10 (32 pixels) and
    ImageNet (224 pixels) of the released code, in which networks of the split wide have 2× instead of 4× the channels
    of test on ImageNet. Others are returned as they are if they take such images and give so many logits.

    Args:
        architecture: as its spec gives it: a DeepNets architecture in its form for CIFAR-10.

    Raises:
        ArchrepError: if it cannot take these images or classes.
    """
    config = architecture.config
    if config is None:
        return _checked(architecture, num_classes, image_size)
    if (num_classes, image_size) == (10, CIFAR10):
        return architecture
    if image_size not in (CIFAR10, IMAGENET):
        raise ArchrepError(
            f"{architecture.id}: DeepNets take images of {CIFAR10} or {IMAGENET} pixels; these have {image_size}."
        )
    imagenet = image_size == IMAGENET
    if imagenet and architecture.split == "wide" and architecture.space != "deepnets-small":
        config = replace(config, channels=config.channels // 2)
    return replace(
        architecture,
        config=config,
        make_graph=partial(emitted, config, num_classes=num_classes, imagenet=imagenet),
        make_network=partial(DeepNet, config, num_classes, imagenet),
        input_shape=(3, image_size, image_size),
        make_flops=partial(flops_of, config, num_classes, imagenet),
    )


def _checked(architecture: Architecture, num_classes: int, image_size: int) -> Architecture:
    """The architecture itself, if it takes these images and gives as many logits as there are classes.

    Raises:
        ArchrepError: if it does not.
    """
    wanted = (3, image_size, image_size)
    if tuple(architecture.input_shape) != wanted:
        takes = "×".join(map(str, architecture.input_shape)) or "no images"
        raise ArchrepError(
            f"{architecture.id}: takes {takes}, the images are 3×{image_size}×{image_size}. Choose an architecture "
            "made for them (torchvision:NAME for ImageNet, torchvision:NAME@cifar10 for CIFAR-10) or other --data."
        )
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                network = architecture.build()
        except RuntimeError:  # its constructor computes with values
            network = architecture.build()
    logits = forward(network, parameters_on("meta", network), torch.empty(2, *wanted, device="meta"))
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape != (2, num_classes):
        raise ArchrepError(
            f"{architecture.id}: gives {shape} for 2 images; expected logits (2, {num_classes}), one per class. "
            "Choose an architecture made for this data set, or other --data."
        )
    return architecture
