"""`archrep measure`."""

import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archrep.cli import completion, options
from archrep.errors import ArchrepError, lookup

if TYPE_CHECKING:
    from archrep.measure import Outcome, Run

ENGINES = ("local", "ray")
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 60.0}
BYTES = {"M": 2**20, "G": 2**30}


def measure(
    archs: options.Archs = None,
    out: Annotated[Path, typer.Option(help="Label table to write (Parquet); its journal lies beside it.")] = Path(
        "labels.parquet"
    ),
    protocol: Annotated[
        str,
        typer.Option(
            help="Training protocol: quick (CPU), quick-8x, paper (GPU), or smoke for a trial.",
            autocompletion=completion.one("measuring protocol"),
        ),
    ] = "quick",
    data: options.Data = "cifar10",
    seed: Annotated[list[int] | None, typer.Option(help="Seed of everything random; may be repeated.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs per architecture, with seeds --seed, --seed + 1, …")] = 1,
    seeds_on: Annotated[
        int | None,
        typer.Option(min=1, help="Architectures, spread evenly over --archs, that get all seeds; others the first."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="local (processes of this machine) or ray (a cluster).", autocompletion=completion.one("engine")
        ),
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Ray cluster, HOST:PORT or auto; default: one on this machine, for this run.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time; default: 1, of a Ray cluster all of its processors.")
    ] = None,
    threads: options.Threads = 1,
    device: options.Device = "auto",
    time_limit: Annotated[
        str | None, typer.Option(help="Stop after this long, such as 10m or 2h; the same command continues.")
    ] = None,
    run_limit: Annotated[
        str | None, typer.Option(help="Record a run that takes longer than this, such as 10m, as failed.")
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option(help="Memory for the networks of a worker, such as 4G; what needs more is failed.")
    ] = None,
    limit: options.Limit = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Train architectures from scratch and record accuracy, robustness, trainability, latency, size and memory.

    Example: `archrep measure --archs deepnets-small:test:0-9 --data ~/cifar10 --out labels.parquet --workers 2`

    Stopped in the middle, the same command continues: every finished run is in the journal. A run whose worker dies is
    tried again; one that fails is recorded with its reason, and the rest goes on. On a GPU, many workers share it.
    """
    from archrep.data import load_images
    from archrep.files import to_json
    from archrep.measure import PROTOCOLS, Limits, measure_all

    if not archs:
        raise ArchrepError("Nothing to measure: give --archs, for example --archs deepnets-small:test:0-9.")
    chosen = lookup(PROTOCOLS, protocol, "protocol")
    all_seeds = _seeds(seed or [0], seeds)
    seconds, run_seconds = _seconds(time_limit, "--time-limit"), _seconds(run_limit, "--run-limit")
    make_crew = _engine(engine, address, workers, threads or 1, _bytes(memory_limit))
    where = device if engine == "ray" and device != "auto" else str(options.torch_device(device, None))
    runs = _runs([a.id for a in options.select(archs, limit)], all_seeds, seeds_on)
    images = load_images(data)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's warning is an interrupt
    with _progress(len(runs)) as show, redirect_stdout(sys.stderr):  # Ray tells there of workers that die
        outcome = measure_all(
            *(runs, chosen, images, out, make_crew),
            limits=Limits(run_seconds, seconds),
            device=where,
            threads=threads or 1,
            force=force,
            progress=show,
        )
    if outcome.failures and not (outcome.measured or outcome.left):
        first = outcome.failures[0]
        raise ArchrepError(
            f"All {len(outcome.failures)} runs failed; the first one, {first['arch']}: {first['error']}. "
            f"All reasons are in {out.with_suffix('.jsonl')}."
        )
    options.print_failures(outcome.failures)
    if json:
        print(to_json({**vars(outcome), "out": str(out), "measured": len(outcome.measured)}))
    else:
        _tell(outcome, len(runs), out, time.monotonic() - began)
    if outcome.interrupted:
        raise typer.Exit(130)


def _tell(outcome: "Outcome", runs: int, out: Path, seconds: float) -> None:
    journal = out.with_suffix(".jsonl")
    if outcome.damaged:
        print(f"{outcome.damaged} damaged lines of {journal} lie in {out.with_suffix('.damaged.jsonl')} now")
    diverged = sum(bool(row["diverged"]) for row in outcome.measured)
    failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
    print(f"Measured: {len(outcome.measured)} of {runs} runs ({diverged} diverged){failed}, {seconds / 60:.1f} min")
    if outcome.left:
        print(f"Left: {outcome.left} runs; the same command continues.")
    print(f"Labels: {out}" if out.exists() else f"No run has finished yet; the journal is {journal}")


def _seeds(given: list[int], count: int) -> list[int]:
    if len(given) > 1 and count > 1:
        raise ArchrepError("Give either several --seed or one --seed with --seeds N.")
    if len(set(given)) < len(given):
        raise ArchrepError(f"--seed repeats a seed: {', '.join(map(str, given))}. Give each once.")
    return given if len(given) > 1 else list(range(given[0], given[0] + count))


def _runs(archs: Sequence[str], seeds: Sequence[int], seeds_on: int | None) -> "list[Run]":
    """Seed by seed: whatever moment this is stopped at, all architectures have about as many seeds."""
    from archrep.measure import Run

    several = set(archs)
    if seeds_on is not None and seeds_on < len(archs):
        several = {archs[i * len(archs) // seeds_on] for i in range(seeds_on)}
    return [Run(a, s) for s in seeds for a in archs if s == seeds[0] or a in several]


def _engine(name: str, address: str | None, workers: int | None, threads: int, memory: int | None) -> Callable:
    """What makes the crew."""
    from archrep.measure import LocalCrew

    lookup(dict.fromkeys(ENGINES), name, "engine")
    if name == "ray":
        from archrep.measure.ray_crew import RayCrew

        return partial(RayCrew, threads=threads, memory=memory, workers=workers, address=address)
    if address:
        raise ArchrepError("--address is of a Ray cluster: add --engine ray, or leave it out.")
    return partial(LocalCrew, threads=threads, memory=memory, workers=workers)


def _seconds(text: str | None, option: str) -> float:
    """Seconds of a duration; a number alone is minutes."""
    if text is None:
        return float("inf")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not match or float(match[1]) == 0:
        raise ArchrepError(f"{option} {text!r} is no duration; give one such as 90s, 10m or 2h.")
    return float(match[1]) * SECONDS[match[2]]


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([MG])B?", text.strip())
    if not match or float(match[1]) == 0:
        raise ArchrepError(f"--memory-limit {text!r} is no size; give one such as 500M or 4G.")
    return int(float(match[1]) * BYTES[match[2]])


@contextmanager
def _progress(total: int) -> Iterator[Callable[[dict, bool], None]]:
    """A bar on stderr with rate and time left; what an earlier run measured counts as done, not as fast."""
    from tqdm import tqdm

    with tqdm(total=total, unit="run", smoothing=0, disable=not sys.stderr.isatty()) as bar:

        def show(row: dict, fresh: bool) -> None:
            if not (fresh or bar.disable):
                bar.initial += 1
            bar.update()
            bar.set_postfix(arch=row["arch"], accuracy=row.get("accuracy", "failed"))

        yield show
