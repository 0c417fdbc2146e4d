"""The Ray engine: workers are actors of a Ray cluster (extra `dist`), on this machine or anywhere.

Machines of a cluster need archrep installed, and the files of users' own networks under the same paths; images travel
through Ray's object store.
"""

import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from archrep.errors import ArchrepError, first_line
from archrep.measure.crew import ATTEMPTS, Event, Run, attempt
from archrep.measure.local import limit_memory
from archrep.measure.network import Measuring


@dataclass(eq=False)
class Worker:
    """An actor and what it is to report."""

    actor: Any
    report: Any


class RayCrew:
    """Actors with so many processors each; they end with this process."""

    def __init__(
        self,
        work: Measuring,
        threads: int = 1,
        memory: int | None = None,
        workers: int | None = None,
        address: str | None = None,
    ) -> None:
        """Connects to a cluster, or starts one on this machine.

        Args:
            threads, memory: of each worker, as in `LocalCrew`.
            workers: how many there will be at a time; default: as many as fit.
            address: of a running cluster, `HOST:PORT` or `auto`; default: a new one on this machine.

        Raises:
            ArchrepError: if Ray is not installed or there is no cluster at that address.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as error:
            raise ArchrepError("--engine ray needs Ray: pip install 'archrep[dist]', or use --engine local.") from error
        self._ray = ray
        self._connect(address, threads * (workers or max((os.cpu_count() or 1) // threads, 1)))
        resources = ray.cluster_resources()
        self.workers = workers or max(int(resources.get("CPU", 1)) // threads, 1)
        gpus = min(resources.get("GPU", 0) / self.workers, 1.0) if work.device.startswith("cuda") else 0
        self._work = ray.put(work)
        self._threads, self._memory = threads, memory
        self._actor = ray.remote(num_cpus=threads, num_gpus=gpus, max_restarts=0, max_task_retries=0)(Measurer)

    def _connect(self, address: str | None, processors: int) -> None:
        _refuse_unreachable(address or "")
        before = signal.getsignal(signal.SIGTERM)
        own = {} if address else {"num_cpus": processors, "include_dashboard": False}
        for attempts_left in range(1 if address else ATTEMPTS, 0, -1):  # a busy machine is sometimes too slow for Ray
            try:
                self._ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **own)
                signal.signal(signal.SIGTERM, before)  # Ray's would end this process with work undone
                return
            except Exception as error:
                self._ray.shutdown()
                if attempts_left == 1:
                    where = f"at {address}" if address else "starts on this machine"
                    raise ArchrepError(f"No Ray cluster {where} ({first_line(error)}).") from error

    def start(self) -> Worker:
        """Asks for an actor."""
        actor = self._actor.remote(self._work, self._threads, self._memory, os.getcwd())
        return Worker(actor, actor.ready.remote())

    def give(self, worker: Worker, run: Run) -> None:
        """Calls the actor."""
        worker.report = worker.actor.measure.remote(tuple(run))

    def wait(self, workers: Sequence[Worker], timeout: float | None) -> list[tuple[Worker, Event]]:
        """Reports of the actors, and deaths."""
        done, _ = self._ray.wait([w.report for w in workers], num_returns=1, timeout=timeout)
        return [(w, self._event(w)) for w in workers if w.report in done]

    def end(self, worker: Worker) -> None:
        """Kills the actor."""
        self._ray.kill(worker.actor)

    def close(self) -> None:
        """Leaves the cluster; one that was started here ends."""
        self._ray.shutdown()

    def _event(self, worker: Worker) -> Event:
        try:
            return Event(row=self._ray.get(worker.report))
        except self._ray.exceptions.RayError as error:
            return Event(death=first_line(error))


def _refuse_unreachable(address: str) -> None:
    """Asks at once what Ray would ask for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise ArchrepError(f"No Ray cluster at {address} ({first_line(error)}).") from error


class Measurer:
    """What an actor does."""

    def __init__(self, work: Measuring, threads: int, memory: int | None, folder: str) -> None:
        if os.path.isdir(folder):  # users' own networks are named by paths from there
            os.chdir(folder)
        torch.set_num_threads(threads)
        limit_memory(memory, work.device)
        self._work = work

    def ready(self) -> None:
        """Returns when the actor is there."""

    def measure(self, run: tuple[str, int]) -> dict[str, object]:
        """The run's row, or its failure."""
        return attempt(self._work, Run(*run))
