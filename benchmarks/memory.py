"""Peak memory of one job, in a process of its own: prints the bytes by which the process grew at most.

python -m benchmarks.memory predict        all parameters of ResNet-50 (94 MB)
python -m benchmarks.memory embed-1000     as many DeepNets test architectures (500 of them, repeated)
python -m benchmarks.memory train:ghn2-cifar10-small:8   training on the first eight architectures, so many at a time
"""

import ctypes
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from archrep import GHN, architectures, capture, load_images
from archrep.space.resnet import resnet50
from archrep.train.config import PRESETS
from archrep.train.loop import Trainer


def job(name: str) -> Callable[[], object]:
    """The job, prepared."""
    if name.startswith("train:"):
        return training(*name.split(":")[1:])
    ghn = GHN.untrained()
    few = [a.graph for a in architectures("deepnets:test:0-3")]
    ghn.embed(few)  # machine code is made and loaded before
    ghn.predict(few[0])
    kind, _, count = name.partition("-")
    if kind == "predict":
        with torch.device("meta"):  # no weights in memory before
            graph = capture(resnet50(num_classes=10))
        return lambda: ghn.predict(graph)
    graphs = [a.graph for a in architectures("deepnets:test")]
    graphs = (graphs * (int(count) // len(graphs) + 1))[: int(count)]
    return lambda: ghn.embed(graphs)


def training(preset: str, meta_batch: str) -> Callable[[], object]:
    """Steps on the same eight architectures and images, so many at a time."""
    config = replace(PRESETS[preset], meta_batch=8)
    trainer = Trainer(config, load_images("digits").train)
    step, size = trainer.steps[0], int(meta_batch)
    trainer.advance(replace(step, architectures=step.architectures[:1], images=step.images[:2], labels=step.labels[:2]))
    torch.set_num_threads(1)

    def run() -> None:
        for i in range(0, 8, size):
            trainer.advance(replace(step, architectures=step.architectures[i : i + size]))

    return run


def growth(function: Callable[[], object]) -> int:
    """Bytes above the memory in use before (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)  # gives freed memory back
    before = _status("VmRSS")
    function()
    return _status("VmHWM") - before


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


if __name__ == "__main__":
    print(growth(job(sys.argv[1])))
