"""Speed of embedding and parameter prediction, beside what bounds them, measured in one run.

    python -m benchmarks.speed --out benchmarks/speed-cpu.md

Every figure is the median of several repetitions with its range; what is compared takes turns, so that a
busy machine slows both. `--device cuda` measures the same on a GPU, and that its results agree with the CPU's.
"""

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from archrep import GHN, ArchGraph, architectures, capture, predict_parameters
from archrep.errors import ArchrepError
from archrep.ghn import kernel
from archrep.space.deepnets import DeepNetConfig, Emitter, make_plan, sample
from archrep.space.resnet import resnet50
from benchmarks.oracle import sequential_states

PROJECT = Path(__file__).parents[1]
Row = tuple[str, str, str]  # what, figure with range, beside what


class Clock:
    """Times functions in turns; on a GPU it waits for the device."""

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device, self.repeats = device, repeats

    def times(self, *functions: Callable[[], object], repeats: int | None = None) -> list[np.ndarray]:
        """Seconds of every repetition, for each function; the first one, a warm-up, is not counted."""
        seconds: list[list[float]] = [[] for _ in functions]
        for _ in range(1 + (repeats or self.repeats)):
            for function, taken in zip(functions, seconds, strict=True):
                self._wait()
                start = time.perf_counter()
                function()
                self._wait()
                taken.append(time.perf_counter() - start)
        return [np.array(taken[1:]) for taken in seconds]

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def embedding(ghn: GHN, graphs: Sequence[ArchGraph], clock: Clock) -> Iterator[Row]:
    """Graphs per second at several batch sizes, the sequential oracle's beside them."""
    on_cpu = clock.device.type == "cpu"
    few = graphs[::10]
    oracle_ghn = GHN.untrained()

    @torch.no_grad()
    def oracle() -> None:
        for graph in few:
            sequential_states(oracle_ghn, graph)

    def embed_all(size: int) -> Callable[[], object]:
        return (lambda: [ghn.embed([g]) for g in graphs]) if size == 1 else (lambda: ghn.embed(graphs, size))

    sizes = (1, 16, 64) if on_cpu else (1, 16, 64, 256)
    taken = clock.times(oracle, *map(embed_all, sizes), repeats=3)
    slow = len(few) / taken[0]
    yield "sequential oracle", rate(slow), ""
    for size, seconds in zip(sizes, taken[1:], strict=True):
        fast = len(graphs) / seconds
        yield f"`ghn.embed`, batch {size}", rate(fast), f"{np.median(fast) / np.median(slow):.0f}× the oracle"
    if on_cpu:
        yield "the same in torch, level by level, batch 64", rate(len(graphs) / level_by_level(ghn, graphs, clock)), ""
    else:
        gap = (ghn.embed(graphs) - GHN.untrained().embed(graphs)).abs().max()
        yield "largest difference to the CPU", f"{gap:.1e}", ""


def level_by_level(ghn: GHN, graphs: Sequence[ArchGraph], clock: Clock) -> np.ndarray:
    """Seconds of embedding on a CPU without the compiled kernel."""
    applies, kernel.applies = kernel.applies, lambda gnn, states: False
    try:
        return clock.times(lambda: ghn.embed(graphs), repeats=3)[0]
    finally:
        kernel.applies = applies


def embedding_growth(ghn: GHN, graphs: Sequence[ArchGraph], clock: Clock) -> Iterator[Row]:
    """Time by nodes; time and memory by the number of graphs."""
    for cells in (5, 10, 20, 36, 72):
        graph = graph_of_cells(cells)
        seconds = clock.times(lambda g=graph: ghn.embed([g]))[0]
        yield f"one graph of {len(graph.primitive):,} nodes", milliseconds(seconds), ""
    for count in (100, 1000):
        many = (list(graphs) * 10)[:count]
        seconds = clock.times(lambda given=many: ghn.embed(given), repeats=3)[0]
        yield f"{count:,} graphs", milliseconds(seconds), f"peak memory + {memory(f'embed-{count}') / 2**20:.1f} MiB"


def graph_of_cells(cells: int) -> ArchGraph:
    """A dense DeepNets architecture with another number of cells."""
    given = sample("deepnets", "dense", 0)
    fields = {name: getattr(given, name) for name in given.__dataclass_fields__} | {"n_cells": cells}
    return Emitter(make_plan(DeepNetConfig(**fields))).graph()


def prediction(ghn: GHN, clock: Clock) -> Iterator[Row]:
    """All parameters of networks: the graph given, from the nn.Module, and what no implementation can save."""
    network = resnet50(num_classes=10)
    graph = capture(network)
    count = graph.num_params
    multiply = matrix_products(ghn, graph)

    def floor() -> list[torch.Tensor]:
        multiply()
        return [torch.empty(shape, device=ghn.device).fill_(1.0) for shape in graph.param_shapes.values()]

    def whole() -> tuple[str, ...]:
        return predict_parameters(network, ghn)

    predict, least = clock.times(lambda: ghn.predict(graph), floor)
    seen, both = clock.times(lambda: capture(network), whole)
    name = f"ResNet-50, {count / 1e6:.1f} M parameters"
    ratio = np.median(predict) / np.median(least)
    yield f"{name}: allocate, fill, and the decoder's matrix products", milliseconds(least), ""
    yield f"{name}: `ghn.predict(graph)`", milliseconds(predict), f"{ratio:.2f}× that"
    yield f"{name}: `capture(network)`", milliseconds(seen), ""
    yield f"{name}: `predict_parameters(network, ghn)`", milliseconds(both), "capture included"
    yield (
        f"{name}: peak memory of `ghn.predict(graph)`",
        f"{memory('predict') / (4 * count):.2f}×",
        "the parameters' own",
    )


@torch.no_grad()
def matrix_products(ghn: GHN, graph: ArchGraph) -> Callable[[], object]:
    """The matrix products of one prediction, recorded, to be repeated alone."""
    products: list[tuple] = []
    linear = torch.nn.functional.linear

    def record(*operands: torch.Tensor) -> torch.Tensor:
        products.append(operands)
        return linear(*operands)

    states, forward = ghn([graph]), GHN.forward
    torch.nn.functional.linear, GHN.forward = record, lambda self, graphs, batch=None: states
    try:
        ghn.predict(graph)
    finally:
        torch.nn.functional.linear, GHN.forward = linear, forward
    return torch.no_grad()(lambda: [linear(*operands) for operands in products])


def prediction_growth(ghn: GHN, clock: Clock) -> Iterator[Row]:
    """From a constructed network to all its parameters, by their number."""
    specs = ["deepnets:test:0", "deepnets:wide:0", "torchvision:resnet18", "torchvision:resnet152"]
    specs += ["torchvision:densenet201", "torchvision:efficientnet_b7", "torchvision:convnext_base"]
    for spec in specs:
        try:
            architecture = next(iter(architectures(spec)))
        except ArchrepError:  # torchvision is not installed
            continue
        network = architecture.build()
        seconds = clock.times(lambda n=network, a=architecture: predict_parameters(n, ghn, a.input_shape), repeats=3)[0]
        count = sum(p.numel() for p in network.parameters())
        yield f"{spec}, {count / 1e6:.1f} M parameters", milliseconds(seconds), "capture included"


def memory(job: str) -> int:
    """Bytes that a job needs at most, on a CPU, in a process of its own (see benchmarks/memory.py)."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", job], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    return int(done.stdout)


def rate(values: np.ndarray) -> str:
    """Median and range of graphs per second."""
    return f"{np.median(values):,.0f} graphs/s ({values.min():,.0f} – {values.max():,.0f})"


def milliseconds(seconds: np.ndarray) -> str:
    """Median and range in ms."""
    low, middle, high = (1e3 * f(seconds) for f in (np.min, np.median, np.max))
    return f"{middle:,.1f} ms ({low:,.1f} – {high:,.1f})"


def measure(device: torch.device, threads: int, repeats: int) -> Iterator[tuple[str, list[Row]]]:
    """All sections for one number of CPU threads."""
    torch.set_num_threads(threads)
    clock = Clock(device, repeats)
    ghn = GHN.untrained().to(device)
    graphs = [a.graph for a in architectures("deepnets:test:0-99")]
    nodes = np.mean([len(g.primitive) for g in graphs])
    virtual = np.mean([len(g.distances) for g in graphs])
    yield (
        f"Embedding 100 DeepNets test graphs (mean {nodes:.0f} nodes, {virtual:,.0f} virtual edges), graphs given",
        list(embedding(ghn, graphs, clock)),
    )
    yield "Embedding: growth", list(embedding_growth(ghn, graphs, clock))
    yield "Prediction", list(prediction(ghn, clock))
    yield "Prediction: growth", list(prediction_growth(ghn, clock))


def main() -> None:
    """Measures and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, help="file for the tables (Markdown)")
    options = parser.parse_args()
    device = torch.device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {platform.machine()}"
    command = f"python -m benchmarks.speed --device {options.device} --threads {' '.join(map(str, options.threads))}"
    lines = [
        "# Speed",
        "",
        f"`{command} --repeats {options.repeats}` on {name}; torch {torch.__version__}, Python "
        f"{platform.python_version()}. Untrained GHN-2 for CIFAR-10 (seed 0).",
        "Medians, with the range over repetitions.",
    ]
    for threads in options.threads:
        for title, rows in measure(device, threads, options.repeats):
            lines += ["", f"## {title}; {threads} thread{'s' * (threads > 1)}", "", "| | | |", "|---|--:|---|"]
            lines += [f"| {' | '.join(row)} |" for row in rows]
            print("\n".join(lines[-len(rows) - 4 :]), flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
