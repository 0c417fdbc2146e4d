"""Peak memory of one job, in a process of its own: prints the bytes by which the process grew at most.

python -m benchmarks.memory predict        all parameters of ResNet-50 (94 MB)
python -m benchmarks.memory embed-1000     as many DeepNets test architectures (500 of them, repeated)
"""

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from archrep import GHN, architectures, capture
from archrep.space.resnet import resnet50


def job(name: str) -> Callable[[], object]:
    """The job, prepared."""
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
