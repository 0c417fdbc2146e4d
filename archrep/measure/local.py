"""The local engine: worker processes of this machine, which end with their parent, however it ends."""

import os
import resource
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing import connection, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from archrep.measure.crew import Event, Run, attempt
from archrep.measure.network import Measuring
from archrep.workers import process_context


@dataclass(frozen=True, eq=False)
class Worker:
    """A process and our end of its pipe."""

    process: BaseProcess
    pipe: Any


class LocalCrew:
    """Processes; images are in memory that all of them share.

    With a GPU, all of them use it at once: small networks leave most of it idle. Several GPUs are taken in turn.
    """

    def __init__(
        self, work: Measuring, threads: int = 1, memory: int | None = None, workers: int | None = None
    ) -> None:
        """A crew without workers yet.

        Args:
            workers: how many there will be at a time; default: one.
            threads: CPU threads of each worker.
            memory: bytes that each may take beyond what it has at its start; on a GPU, of the GPU.
        """
        self.workers = workers or 1
        self._work, self._threads, self._memory = work, threads, memory
        self._context = process_context()
        self._number = count()

    def start(self) -> Worker:
        """Starts a process."""
        ours, theirs = self._context.Pipe()
        work = on_gpu(self._work, next(self._number))
        process = self._context.Process(target=_serve, args=(theirs, work, self._threads, self._memory), daemon=True)
        process.start()
        theirs.close()
        return Worker(process, ours)

    def give(self, worker: Worker, run: Run) -> None:
        """Sends a run; if the process is dead by now, `wait` says so."""
        with suppress(OSError):
            worker.pipe.send(tuple(run))

    def wait(self, workers: Sequence[Worker], timeout: float | None) -> list[tuple[Worker, Event]]:
        """Reports of the processes, and deaths."""
        signals = {waitable: w for w in workers for waitable in (w.pipe, w.process.sentinel)}
        reporting = dict.fromkeys(signals[ready] for ready in connection.wait(list(signals), timeout))
        return [(worker, _event(worker)) for worker in reporting]

    def end(self, worker: Worker) -> None:
        """Kills the process."""
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()

    def close(self) -> None:
        """Nothing is left to give back."""


def _event(worker: Worker) -> Event:
    try:
        return Event(row=worker.pipe.recv())
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Event(death=f"{how}; SIGKILL often means that the machine ran out of memory" if code == -9 else how)


def _serve(pipe: Any, work: Measuring, threads: int, memory: int | None) -> None:
    """What a worker process does: reports that it is ready, then the row of every run it gets."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    limit_memory(memory, work.device)
    pipe.send(None)
    with suppress(EOFError, BrokenPipeError):
        while True:
            pipe.send(attempt(work, Run(*pipe.recv())))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def on_gpu(work: Measuring, number: int) -> Measuring:
    """The work of worker `number`: several GPUs, asked for as `cuda`, are taken in turn."""
    if work.device != "cuda":
        return work
    return Measuring(work.protocol, work.images, f"cuda:{number % max(torch.cuda.device_count(), 1)}")


def limit_memory(memory: int | None, device: str) -> None:
    """Makes allocations of this process fail that go beyond its present memory by more than `memory` bytes."""
    if memory is None:
        return
    if torch.device(device).type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(memory / total, 1.0), device)
        return
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    present = 1024 * int(status["VmData"].split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (present + memory, hard))
