"""Work in several processes that end with their parent, however it ends."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.forkserver import ensure_running
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from archrep.errors import ArchrepError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

T = TypeVar("T")
_work: Callable[..., Any] | None = None  # what a worker process calls


def process_context() -> "ForkServerContext | SpawnContext":
    """Where worker processes come from: forks of a clean process that has done the slow imports once.

    They start at once and share the memory of what was imported. Systems without forks start processes anew.
    The server is started here, as `python -c …`, which would look for its modules in the current folder first: a
    torch.py that lies beside data would run. Workers look where this process does.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["archrep.graph"])  # torch and torch_geometric
    with _environment("PYTHONSAFEPATH", "1"):
        ensure_running()
    return context


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """An environment variable for processes that start inside."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def in_processes(
    work: Callable[..., T], jobs: Sequence[tuple], workers: int, threads: int = 1
) -> Iterator[tuple[int, T]]:
    """Calls `work(*job)` for every job in worker processes; yields (position of the job, result) as they finish.

    Args:
        work: picklable; every process gets one copy for all its jobs, tensors in shared memory.
        threads: CPU threads of each process.

    Raises:
        ArchrepError: if a process dies.
    """
    pool = ProcessPoolExecutor(workers, process_context(), initializer=_start, initargs=(work, threads))
    try:
        futures = {pool.submit(_call, job): position for position, job in enumerate(jobs)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise ArchrepError(
            "A worker process died (killed, or out of memory). What had finished is kept; run it again, with fewer "
            "--workers."
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _start(work: Callable[..., Any], threads: int) -> None:
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt ends it at once, without a traceback
    torch.set_num_threads(threads)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(job: tuple) -> Any:
    assert _work is not None
    return _work(*job)
