"""A training step beside what bounds it: the same networks' plain forward and backward, measured in the same run.

    python -m benchmarks.training --out benchmarks/training.md

What is compared takes turns, so that a busy machine slows both; medians, with the range over repetitions.
"""

import argparse
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archrep import load_images
from archrep.data.images import Images
from archrep.space.architecture import Architecture
from archrep.space.deepnets import attention
from archrep.train.config import PRESETS, TrainConfig
from archrep.train.loop import Trainer
from archrep.train.steps import Step
from benchmarks.speed import Clock, Row, memory, milliseconds

JOBS: dict[str, TrainConfig] = {
    "ghn2-cifar10-small, small networks first": PRESETS["ghn2-cifar10-small"],
    "ghn2-cifar10-small, all networks": replace(PRESETS["ghn2-cifar10-small"], small_first=0.0),
    "ghn2-cifar10, meta-batch 4": replace(PRESETS["ghn2-cifar10"], meta_batch=4),
}
STEPS = 3  # different ones, timed together: networks differ a lot


def plain(architecture: Architecture, layout: torch.memory_format = torch.channels_last) -> nn.Module:
    """The network with weights of its own."""
    return architecture.build().train().to(memory_format=layout)


def forward_backward(network: nn.Module, x: Tensor, y: Tensor) -> None:
    """What training a network takes, but for the optimiser."""
    network.zero_grad()
    F.cross_entropy(network(x), y).backward()


class Job:
    """Some training steps of a preset, prepared."""

    def __init__(self, config: TrainConfig, images: Images) -> None:
        self.trainer = Trainer(replace(config, steps=10**6), images)
        self.steps = [self.trainer.steps[i] for i in range(STEPS)]
        self.networks = [[plain(a) for _, a in step.architectures] for step in self.steps]

    def draw(self) -> list[Step]:
        """Architectures with their graphs, and images."""
        return [self.trainer.steps[i] for i in range(STEPS)]

    def whole(self) -> None:
        """Everything, from drawing to the optimiser."""
        for step in self.draw():
            self.trainer.advance(step)

    def plain_networks(self) -> None:
        """The same networks on the same images, without a GHN."""
        for step, networks in zip(self.steps, self.networks, strict=True):
            for network in networks:
                forward_backward(network, step.images, step.labels)

    def predict(self) -> list[list[dict[str, Tensor]]]:
        """Forward through the GHN."""
        return [self.trainer.ghn.predict_many([a.graph for _, a in step.architectures]) for step in self.steps]

    def predict_and_update(self) -> None:
        """Forward and backward through the GHN."""
        for step in self.predict():
            values = [value for parameters in step for value in parameters.values()]
            torch.autograd.backward(values, [torch.ones_like(value) for value in values])


def parts(job: Job, clock: Clock) -> Iterator[Row]:
    """A step and its parts, beside the plain networks."""
    functions: dict[str, Callable[[], object]] = {
        "plain networks, forward and backward": job.plain_networks,
        "whole step": job.whole,
        "draw architectures, graphs, images": job.draw,
        "GHN forward": job.predict,
        "GHN forward and backward": job.predict_and_update,
    }
    taken = [seconds / STEPS for seconds in clock.times(*functions.values())]
    base = np.median(taken[0])
    for name, seconds in zip(functions, taken, strict=True):
        yield name, milliseconds(seconds), f"{np.median(seconds) / base:.2f}× the plain networks"


def tried(job: Job, clock: Clock) -> Iterator[Row]:
    """What makes the networks themselves faster or slower on a CPU."""
    pairs = [(step, a) for step in job.steps for _, a in step.architectures]
    contiguous = [(step, plain(a, torch.contiguous_format)) for step, a in pairs]
    half = torch.autocast("cpu", torch.bfloat16)

    def run_contiguous() -> None:
        for step, network in contiguous:
            forward_backward(network, step.images.contiguous(), step.labels)

    def run_half() -> None:
        with half:
            job.plain_networks()

    def run_torch_attention() -> None:
        with widest_head(0):
            job.plain_networks()

    functions = {
        "as they are: channels last, float32, attention by our kernel": job.plain_networks,
        "channels first": run_contiguous,
        "attention by torch": run_torch_attention,
        "bfloat16 (autocast)": run_half,
    }
    taken = clock.times(*functions.values(), repeats=3)
    base = np.median(taken[0])
    for name, seconds in zip(functions, taken, strict=True):
        yield name, milliseconds(seconds / STEPS), f"{np.median(seconds) / base:.2f}×"


@contextmanager
def widest_head(channels: int) -> Iterator[None]:
    """Which heads our attention takes."""
    before, attention.WIDEST = attention.WIDEST, channels
    try:
        yield
    finally:
        attention.WIDEST = before


def by_meta_batch() -> Iterator[Row]:
    """Peak memory of training on the same eight architectures, one by one and together."""
    for name in PRESETS:
        if not name.endswith("imagenet"):
            alone, together = memory(f"train:{name}:1"), memory(f"train:{name}:8")
            yield name, f"{alone / 2**20:,.0f} MiB, {together / 2**20:,.0f} MiB", f"{together / alone:.2f}×"


def table(title: str, head: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """A Markdown table."""
    lines = ["", f"## {title}", "", f"| {' | '.join(head)} |", "|---|--:|---|"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def measure(threads: Sequence[int], repeats: int) -> Iterator[list[str]]:
    """All tables."""
    images = load_images("digits").train
    for count in threads:
        torch.set_num_threads(count)
        clock = Clock(torch.device("cpu"), repeats)
        after = f"{count} thread{'s' * (count > 1)}"
        for name, config in JOBS.items():
            job = Job(config, images)
            yield table(f"One step of {name}; {after}", ("", "ms a step", ""), list(parts(job, clock)))
            if "all networks" in name:
                head = ("networks of a step, forward and backward", "ms a step", "")
                yield table(f"What was tried; {name}, {after}", head, list(tried(job, clock)))
    yield table(
        "Peak memory above what is loaded before", ("preset", "meta-batch 1, 8", "8 beside 1"), list(by_meta_batch())
    )


def main() -> None:
    """Measures and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="file for the tables (Markdown)")
    options = parser.parse_args()
    lines = [
        "# Training",
        "",
        f"`python -m benchmarks.training --threads {' '.join(map(str, options.threads))} --repeats {options.repeats}` "
        f"on a CPU ({platform.machine()}); torch {torch.__version__}, Python {platform.python_version()}.",
        f"GHN-2, 64 images; means over {STEPS} different steps, medians over repetitions with their range.",
    ]
    print("\n".join(lines), flush=True)
    for more in measure(options.threads, options.repeats):
        print("\n".join(more), flush=True)
        lines += more
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
