"""Trains one architecture from scratch and measures it."""

import math
import platform
import statistics
import time

import torch
from torch import Tensor, nn

from archrep.data.images import Images, ImageSet
from archrep.graph.cost import count_flops, count_params
from archrep.measure.protocol import Protocol
from archrep.seeding import seeded
from archrep.space.architecture import Architecture

EVAL_BATCH = 256


def measure(architecture: Architecture, protocol: Protocol, images: ImageSet, seed: int) -> dict[str, object]:
    """One row of a label table: accuracies in %, trainability, latency, parameters and FLOPs.

    Deterministic on one machine for the same seed and number of threads, except for the times. Batch norm
    uses running statistics, as in ordinary training. A network whose loss stops being finite is measured as
    it then is, with `diverged` set. Leaves the global random state alone.
    """
    began = time.perf_counter()
    with seeded(seed):  # initialisation and dropout
        network = architecture.build()
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        latency = latency_ms(network, protocol, images.test)
        curve, diverged = _train(network, protocol, images.train, seed)
    smooth = [statistics.fmean(curve[max(0, i + 1 - protocol.window) : i + 1]) for i in range(len(curve))]
    first = next((i for i in range(protocol.window - 1, len(smooth)) if smooth[i] >= protocol.reach), None)
    return {
        "accuracy": _accuracy(network, images.test.subset(protocol.test_images)),
        "accuracy_val": _accuracy(network, images.val.subset(protocol.val_images)),
        "train_accuracy_mean": sum(curve) / protocol.steps,
        "trainability": 1.0 if first is None else (first + 1) / protocol.steps,
        "trainability_reached": first is not None,
        "diverged": diverged,
        "latency_ms": latency,
        "params": count_params(network),
        "flops": count_flops(network, (3, images.image_size, images.image_size)),
        "seconds": time.perf_counter() - began,
        "curve": [round(v, 2) for v in smooth[protocol.window - 1 :: protocol.window]],
    }


def _train(network: nn.Module, protocol: Protocol, images: Images, seed: int) -> tuple[list[float], bool]:
    """Training accuracy (%) of every step, and whether the loss stopped being finite."""
    optimizer = torch.optim.AdamW(network.parameters(), protocol.lr, weight_decay=protocol.weight_decay)
    generator = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(len(images), generator=generator) for _ in range(_epochs(protocol, images))])
    curve: list[float] = []
    network.train()
    for step in range(protocol.steps):
        x, y = images.batch(order[step * protocol.batch :][: protocol.batch], augment=generator)
        for group in optimizer.param_groups:
            group["lr"] = protocol.lr * _schedule((step + 1) / protocol.steps, protocol.warmup)
        logits = network(x)
        loss = nn.functional.cross_entropy(logits, y)
        if not torch.isfinite(loss):
            return curve, True
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), protocol.clip)
        optimizer.step()
        curve.append(100 * float((logits.argmax(dim=1) == y).float().mean()))
    return curve, False


def _epochs(protocol: Protocol, images: Images) -> int:
    return -(-protocol.steps * protocol.batch // len(images))


def _schedule(done: float, warmup: float) -> float:
    """Factor on the learning rate after a fraction `done` of the budget."""
    return done / warmup if done < warmup else 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


@torch.no_grad()
def _accuracy(network: nn.Module, images: Images) -> float:
    network.eval()
    correct = 0
    for index in torch.arange(len(images)).split(EVAL_BATCH):
        x, y = images.batch(index)
        correct += int((network(x).argmax(dim=1) == y).sum())
    return 100 * correct / len(images)


@torch.no_grad()
def latency_ms(network: nn.Module, protocol: Protocol, images: Images) -> float:
    """Median time of a forward pass in ms, after a warm-up, in eval mode."""
    x, _ = images.batch(torch.arange(protocol.latency_batch))
    network.eval()
    times = [_timed(network, x) for _ in range(3 + protocol.latency_repeats)]
    return 1000 * statistics.median(times[3:])


def _timed(network: nn.Module, x: Tensor) -> float:
    began = time.perf_counter()
    network(x)
    return time.perf_counter() - began


def device_name() -> str:
    """What latencies were measured on: the processor's architecture and the number of threads."""
    return f"cpu-{platform.machine()}-{torch.get_num_threads()}t"
