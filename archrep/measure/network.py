"""Trains one architecture from scratch and measures it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archrep.data.images import Images, ImageSet, noisy
from archrep.graph.cost import count_params
from archrep.measure.latency import device_name, latency_ms, processor_name
from archrep.measure.memory import activation_memory
from archrep.measure.protocol import Protocol
from archrep.measure.training import train
from archrep.seeding import seeded
from archrep.space.architecture import Architecture
from archrep.space.deepnets import fitted

EVAL_BATCH = 256


@dataclass(frozen=True)
class Measuring:
    """The work of measuring; picklable, one copy serves a process for all its architectures.

    Attributes:
        device: where networks are trained and timed.
    """

    protocol: Protocol
    images: ImageSet
    device: str = "cpu"

    def __call__(self, architecture: Architecture, seed: int) -> dict[str, object]:
        """One row of a label table: accuracies in %, trainability, latency, parameters, FLOPs, activation memory.

        On a CPU deterministic for the same seed and number of threads, except for the times. Batch norm uses running
        statistics, as in ordinary training. A network whose loss stops being finite is measured as it then is, with
        `diverged` set. Leaves the global random state alone.

        Raises:
            ArchrepError: if the architecture cannot take the images.
        """
        began, cpu_began = time.perf_counter(), time.process_time()
        protocol, images, device = self.protocol, self.images, torch.device(self.device)
        architecture = fitted(architecture, images.num_classes, images.image_size)
        with seeded(seed, device):  # initialisation and dropout
            network = architecture.build().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            latency = latency_ms(network, protocol, images.test, device)
            training = train(network, protocol, images.train, seed, device)
        test = _subset(images.test, protocol.test_images)
        return {
            "device": device_name(device),
            "accuracy": accuracy(network, test, device),
            "accuracy_val": accuracy(network, _subset(images.val, protocol.val_images), device),
            "robustness": accuracy(network, _subset(test, protocol.noise_images), device, protocol.noise),
            **training.row(protocol),
            "latency_ms": latency,
            "params": count_params(network),
            "flops": architecture.flops,
            "activation_memory": activation_memory(network, architecture.input_shape),
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu_began,
            "processor": processor_name(),
        }


def _subset(images: Images, size: int) -> Images:
    return images.subset(size) if size else images


@torch.inference_mode()
def accuracy(network: nn.Module, images: Images, device: torch.device, noise: float = 0.0) -> float:
    """Top-1 in % in evaluation mode; logits that are not finite are wrong.

    Args:
        noise: standard deviation of Gaussian noise on pixels in [0, 1], see `Protocol`; the same for all networks.
    """
    network.eval()
    correct = 0
    for x, y in _batches(images, noise):
        logits: Tensor = network(x.to(device)).cpu()
        correct += int(((logits.argmax(dim=1) == y) & logits.isfinite().all(dim=1)).sum())
    return 100 * correct / len(images)


def _batches(images: Images, noise: float) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for index in torch.arange(len(images)).split(EVAL_BATCH):
        x, y = images.batch(index)
        yield (noisy(x, images, noise, generator) if noise else x), y
