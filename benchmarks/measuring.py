"""What the local engine of `archrep measure` costs, and how steady what it measures is.

    python -m benchmarks.measuring --data FOLDER --out benchmarks/measuring.md

On a machine with nothing else to do; it says how busy it was. Nothing is compared with an earlier run.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch

from archrep import architectures, load_images
from archrep.data.images import ImageSet
from archrep.measure import PROTOCOLS, Limits, LocalCrew, Measuring, Run
from archrep.measure.crew import measure_runs
from archrep.measure.latency import latency_ms, processor_name
from archrep.probe.render import markdown_table
from archrep.space.architecture import Architecture
from archrep.space.deepnets import fitted

QUICK = PROTOCOLS["quick"]
CPU = torch.device("cpu")
ARCHITECTURE = "deepnets-small:test:3"
SEEDS = 10  # runs of one architecture take equally long: no worker waits for the last one
TIMED = "deepnets-small:test:0-19"


def timed_runs(images: ImageSet, workers: int) -> tuple[float, list[dict]]:
    """Seconds from the start of the first run to the end of the last one, and the rows in the order of their seeds."""
    runs = [Run(ARCHITECTURE, seed) for seed in range(SEEDS)]
    rows, started = {}, []
    for run, row in measure_runs(LocalCrew(Measuring(QUICK, images), workers=workers), runs, Limits()):
        rows[run.seed] = row
        started.append(time.monotonic() - float(row["seconds"]))
    return time.monotonic() - min(started), [rows[seed] for seed in range(SEEDS)]


def latencies(chosen: list[Architecture], images: ImageSet) -> np.ndarray:
    """(n,) ms per batch."""
    networks = [fitted(a, images.num_classes, images.image_size).build() for a in chosen]
    networks = [network.to(memory_format=torch.channels_last) for network in networks]
    return np.array([latency_ms(network, QUICK, images.test, CPU) for network in networks])


def main() -> None:
    """Measures all and prints the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CIFAR-10")
    parser.add_argument("--out", type=Path, help="file for the page (Markdown)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    busy = os.getloadavg()[0]
    images = load_images(options.data)
    one, alone = timed_runs(images, 1)
    two, together = timed_runs(images, 2)
    seconds_alone, seconds_together = (sum(row["seconds"] for row in rows) for rows in (alone, together))
    same = sum(a["accuracy"] == b["accuracy"] for a, b in zip(alone, together, strict=True))
    chosen = list(architectures(TIMED))
    first, second = latencies(chosen, images), latencies(chosen, images)
    apart = np.abs(second / first - 1)
    beside = np.median([row["latency_ms"] for row in together]) / np.median([row["latency_ms"] for row in alone])
    rows = [
        ("efficiency of 2 workers: time of one / (2 × time of two)", f"{one / (2 * two):.1%}"),
        ("of it the engine: time in runs / (2 × time of two)", f"{seconds_together / (2 * two):.1%}"),
        ("of it the machine: time of a run alone / beside another", f"{seconds_alone / seconds_together:.1%}"),
        ("runs with the same accuracy in both", f"{same} of {SEEDS}"),
        ("latency measured twice, apart: median", f"{np.median(apart):.1%}"),
        ("latency measured twice, apart: largest", f"{apart.max():.1%}"),
        ("latencies within 10 % of each other", f"{(apart <= 0.1).sum()} of {len(chosen)}"),
        ("latency of the runs above beside another run / alone", f"{beside:.2f}"),
    ]
    page = "\n\n".join(
        [
            "# Measuring",
            "`python -m benchmarks.measuring --data FOLDER --out benchmarks/measuring.md`",
            f"`{ARCHITECTURE}` under `quick`, seeds 0 … {SEEDS - 1} ({seconds_alone / SEEDS:.1f} s a run alone); "
            f"latencies of {TIMED}, all once and then all again. {processor_name()}, one thread a worker, "
            f"{os.cpu_count()} processors, load {busy:.2f} before.",
            markdown_table(["", "measured"], rows),
        ]
    )
    print(page)
    if options.out:
        options.out.write_text(page + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
