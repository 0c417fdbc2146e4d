"""Generating a store: shard after shard, in several processes; complete shards stay when it is interrupted."""

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from archrep.errors import ArchrepError
from archrep.files import alone, atomic, provenance, to_json
from archrep.space.deepnets.sampler import VERSIONS, limits
from archrep.space.deepnets.shard import FORMAT, Shard, write_shard
from archrep.space.deepnets.store import STORE, Request, Store, read_request, shard_path
from archrep.workers import in_processes

Progress = Callable[[int], None]  # called with the number of architectures that are new on disk


def generate(
    folder: str | Path,
    space: str,
    split: str,
    size: int | None = None,
    workers: int | None = None,
    force: bool = False,
    progress: Progress = lambda count: None,
) -> Store:
    """Writes the first `size` architectures of a split into a folder, or completes it.

    What is written does not depend on the number of workers, nor on whether a run was interrupted.

    Args:
        size: default: the published size of the split; more continue it.
        workers: processes; default: one per core.
        force: replaces a store of something else.

    Raises:
        ArchrepError: if the folder holds something else, a shard in it is damaged, or it cannot be written.
    """
    folder = Path(folder)
    size = limits(space, split).size if size is None else size
    if size < 1:
        raise ArchrepError(f"A store holds at least 1 architecture; got {size}.")
    if workers is not None and workers < 1:
        raise ArchrepError(f"At least 1 worker is needed; got {workers}.")
    request = Request(space, split, size, VERSIONS[space])
    if folder.exists() and not folder.is_dir():
        raise ArchrepError(f"{folder} is a file; --out names the folder of a store.")
    with alone(folder / STORE):
        _generate(folder, request, workers, force, progress)
    return Store(folder)


def _generate(folder: Path, request: Request, workers: int | None, force: bool, progress: Progress) -> None:
    _prepare(folder, request, force)
    missing = [i for i in range(request.shards) if not _present(folder, request, i)]
    progress(request.size - sum(request.contents(i).rows for i in missing))
    workers = min(workers or len(os.sched_getaffinity(0)), len(missing))
    write = partial(_write, folder, request)
    if workers > 1:
        for _, count in in_processes(write, [(shard,) for shard in missing], workers):
            progress(count)
    else:
        for shard in missing:
            progress(write(shard))


def _prepare(folder: Path, request: Request, force: bool) -> None:
    """Makes the folder hold the description of the request, and nothing of another one."""
    for left_by_a_kill in (*folder.glob(".store-*.json"), *folder.glob(".shard-*.arrow")):
        left_by_a_kill.unlink()
    if any(not path.name.startswith(".") for path in folder.iterdir()):
        found = read_request(folder)
        if found == request:
            return
        if not force:
            raise ArchrepError(
                f"{folder} holds {found}, not {request}. Choose another --out, or replace it with --force."
            )
        for shard in folder.glob("shard-*.arrow"):
            shard.unlink()
    with atomic(folder / STORE, force=True) as temporary:
        record = {"format": FORMAT, **asdict(request), "provenance": provenance()}
        temporary.write_text(to_json(record), encoding="utf-8")


def _present(folder: Path, request: Request, shard: int) -> bool:
    """Whether a shard is there; it is checked."""
    path = shard_path(folder, shard)
    if path.exists():
        Shard(path, request.contents(shard))
    return path.exists()


def _write(folder: Path, request: Request, shard: int) -> int:
    contents = request.contents(shard)
    write_shard(shard_path(folder, shard), contents)
    return contents.rows
