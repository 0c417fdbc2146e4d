"""DeepNets on disk: how fast it is generated and read, how much room it takes, and what is in it.

    for split in val test wide deep dense bnfree; do archrep sample --split $split --out graphs/$split; done
    archrep sample --split train -n 50000 --out graphs/train
    python -m benchmarks.deepnets --stores graphs/{train,val,test,wide,deep,dense,bnfree} --out benchmarks/deepnets.md

A rate is the median over repetitions, the best one, and what one second of a core gets done (of all processes
together), which others that use the machine hardly change; the machine's load before is beside it.
"""

import argparse
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import h5py
import numpy as np
import pyarrow
import torch
import torch_geometric
from torch.utils.data import DataLoader
from torch_geometric.data import Batch

import archrep
from archrep.graph.archgraph import ArchGraph
from archrep.graph.batch import GraphBatch
from archrep.space.dataset import DeepNets, virtual_edges
from archrep.space.deepnets import Store, generate
from archrep.space.deepnets.statistics import shared, statistics
from archrep.space.official import Official
from archrep.space.official_writer import write_official
from archrep.train.meta_batches import MetaBatches

WORKERS = 2
READS = 8192  # random architectures per repetition
BATCH = 64
TABLE = ("| | bar | median | best | per core | load |", "|---|--:|--:|--:|--:|--:|")
Row = tuple[str, ...]  # what, bar, median, best, per second of a core, load


def ready(graphs: Sequence[ArchGraph]) -> tuple[Batch, GraphBatch]:
    """What `GHN.forward` takes: the graphs, and their distances and order of nodes."""
    return Batch.from_data_list(graphs), GraphBatch.from_graphs(graphs)


def rates(work: Callable[[], int], repeats: int) -> tuple[str, str, str, str]:
    """Median and best of what `work` gets done per second, per second of a core, and the load before."""
    wall, core, load = [], [], []
    for _ in range(repeats):
        load.append(os.getloadavg()[0])
        start, used = time.perf_counter(), core_seconds()
        done = work()
        wall.append(done / (time.perf_counter() - start))
        for child in active_children():  # what it used counts when it has ended
            child.join()
        core.append(done / (core_seconds() - used))
    return (*(f"{rate:,.0f}/s" for rate in (np.median(wall), max(wall), np.median(core))), f"{np.median(load):.1f}")


def core_seconds() -> float:
    """Processor time of this process and of those that it has started and that have ended."""
    return sum(os.times()[:4])


def generating(folder: Path, size: int, repeats: int) -> Iterator[Row]:
    """Generating and storing, with start-up of the processes."""
    runs = iter(range(repeats))

    def run() -> int:
        return len(generate(folder / f"train-{next(runs)}", "deepnets", "train", size, WORKERS))

    yield f"generated and stored, {size:,} of train, {WORKERS} processes", "≥ 150/s", *rates(run, repeats)
    stored = sum(path.stat().st_size for path in (folder / "train-0").glob("*.arrow"))
    yield "bytes per architecture", "≤ 4,096", f"{stored / size:,.0f}", "", "", ""


def reading(store: Store, repeats: int) -> Iterator[Row]:
    """Random architectures of a store as batches for the GHN."""
    plain, with_edges = DeepNets(store), DeepNets(store, transform=virtual_edges)
    draw = random.Random(0)

    def alone() -> int:
        chosen = [draw.randrange(len(store)) for _ in range(READS)]
        for i in range(0, READS, BATCH):
            ready([plain[j] for j in chosen[i : i + BATCH]])
        return READS

    def loaded(dataset: DeepNets, collate: Callable, n: int) -> int:
        chosen = [draw.randrange(len(store)) for _ in range(n)]
        return BATCH * sum(
            1 for _ in DataLoader(dataset, BATCH, sampler=chosen, num_workers=WORKERS, collate_fn=collate)
        )

    def visits() -> int:
        steps = MetaBatches(store, steps=64, meta_batch=8, seed=draw.randrange(1000))
        return sum(map(len, DataLoader(steps, batch_size=None, num_workers=WORKERS)))

    alone()  # compiles, and opens the shards
    what = f"random reads as batches of {BATCH}, ready for the GHN"
    yield f"{what}, one process", "≥ 2,000/s", *rates(alone, repeats)
    run = partial(loaded, plain, ready, READS)
    yield f"{what}, DataLoader with {WORKERS} workers", "≥ 2,000/s", *rates(run, repeats)
    run = partial(loaded, with_edges, Batch.from_data_list, READS // 8)
    yield "the same as torch_geometric batches with virtual edges as pairs", "", *rates(run, repeats)
    yield f"training's visits: width drawn anew, DataLoader with {WORKERS} workers", "", *rates(visits, repeats)


def official_files(store: Store, folder: Path, repeats: int) -> Iterator[Row]:
    """The released format, one process."""
    n = 300

    def write() -> int:
        write_official(store, folder, n, force=True)
        return n

    yield "official files, written", "", *rates(write, repeats)
    dataset = DeepNets(Official(folder, store.split))
    draw = random.Random(0)
    yield (
        "official files, random reads",
        "",
        *rates(lambda: len([dataset[draw.randrange(n)] for _ in range(n)]), repeats),
    )


def contents(stores: Sequence[Store]) -> Iterator[str]:
    """A line per split beside what is published, and duplicates between them."""
    yield "| split | n | nodes | published | edges | params/M at C = 32 | path length | ViT | cse | duplicates |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for store in stores:
        row = statistics(store)
        published = "{:.1f} ± {:.1f}".format(*row["published_nodes"]) if row["published_nodes"] else ""
        cells = [row["split"], f"{row['architectures']:,}", mean_sd(row["nodes"]), published, mean_sd(row["edges"])]
        cells += [mean_sd(row["params"], 1e6, 2), mean_sd(row["path_length"])]
        cells += [f"{row['shares'][name]:.2f}" for name in ("attention", "squeeze_excite")] + [f"{row['duplicates']:,}"]
        yield f"| {' | '.join(cells)} |"
    predefined = [len(a.graph.primitive) for a in archrep.architectures("deepnets:predefined")]
    yield f"| predefined | 2 | {predefined[0]}, {predefined[1]} | 126, 129 | | | | | | |"
    pairs = shared(stores)
    names = {str(store.path): store.split for store in stores}
    common = [f"{p['shared']} of {names[p['first']]} in {names[p['second']]}" for p in pairs if p["shared"]]
    yield ""
    yield "Mean ± standard deviation. Duplicates: architectures with the graph of an earlier one, shapes ignored."
    yield f"Graphs in common, of {len(pairs)} pairs of splits: {'; '.join(common) or 'none'}."
    yield "More in [figures/deepnets-statistics](../figures/deepnets-statistics.png):"
    yield f"`archrep info graphs/{{{','.join(names.values())}}} --out figures/deepnets-statistics`"


def mean_sd(d: dict[str, float], unit: float = 1, digits: int = 1) -> str:
    """Mean ± standard deviation."""
    return f"{d['mean'] / unit:.{digits}f} ± {d['sd'] / unit:.{digits}f}"


def main() -> None:
    """Measures and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=8000, help="architectures that are generated")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--stores", type=Path, nargs="*", default=[], help="folders whose contents are described")
    parser.add_argument("--out", type=Path, help="file for the tables (Markdown)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = ["# DeepNets on disk", "", *conditions(options), "", *TABLE]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lines += show(generating(folder, options.size, options.repeats))
        store = Store(folder / "train-0")
        lines += show(reading(store, options.repeats))
        lines += show(official_files(store, folder, options.repeats))
    if options.stores:
        lines += ["", "## What is in it", "", *contents([Store(path) for path in options.stores])]
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def conditions(options: argparse.Namespace) -> Iterator[str]:
    """Command, hardware and versions."""
    stores = f" --stores graphs/{{{','.join(path.name for path in options.stores)}}}" if options.stores else ""
    versions = {"torch": torch, "torch-geometric": torch_geometric, "pyarrow": pyarrow, "h5py": h5py}
    yield f"`python -m benchmarks.deepnets --size {options.size} --repeats {options.repeats}{stores}`"
    yield (
        f"on CPU, {platform.machine()}, {len(os.sched_getaffinity(0))} cores; Python {platform.python_version()}, "
        f"{', '.join(f'{name} {module.__version__}' for name, module in versions.items())}."
    )
    yield f"{options.repeats} repetitions; per core: what all processes get done in one second of processor time. Where"
    yield "the load is above the number of cores, others used the machine: per core × cores estimates its own speed."


def show(rows: Iterator[Row]) -> list[str]:
    """Rows of a table, printed as soon as they are there."""
    lines = []
    for row in rows:
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
    return lines


if __name__ == "__main__":
    main()
