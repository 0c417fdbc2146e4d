"""Latency of a network on the device at hand, and what that device is."""

import platform
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from archrep.data.images import Images
from archrep.measure.protocol import Protocol


@torch.inference_mode()
def latency_ms(network: nn.Module, protocol: Protocol, images: Images, device: torch.device) -> float:
    """Median time in ms of a forward pass of `protocol.latency_batch` images in evaluation mode, after a warm-up.

    On one CPU thread the thread's own time is taken: what it waits for a busy machine does not count. On an idle one
    that is the time that passes.
    """
    x, _ = images.batch(torch.arange(min(protocol.latency_batch, len(images))))
    x = x.to(device)
    network.eval()
    for _ in range(protocol.latency_warmup):
        _timed(network, x)
    return 1000 * statistics.median(_timed(network, x) for _ in range(protocol.latency_repeats))


def _timed(network: nn.Module, x: Tensor) -> float:
    """Seconds of one forward pass, until its result is there."""
    clock = time.thread_time if not x.is_cuda and torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    network(x)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return clock() - began


def device_name(device: torch.device | str = "cpu") -> str:
    """What latencies are measured on: kind of processor and number of threads, or the GPU's name."""
    device = torch.device(device)
    if device.type == "cuda":
        return f"cuda-{torch.cuda.get_device_name(device).replace(' ', '-')}"
    return f"cpu-{platform.machine()}-{torch.get_num_threads()}t"


def processor_name() -> str:
    """The processor's model, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
