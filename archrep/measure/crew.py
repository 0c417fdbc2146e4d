"""Hands runs to workers, whatever the workers are: those that die are replaced, their runs tried again.

An engine is a `Crew`: processes of this machine (local.py) or actors of a Ray cluster (ray_crew.py). Everything that
decides what becomes of a run is here, so that engines cannot differ in it.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from archrep.errors import ArchrepError, first_line
from archrep.measure.network import Measuring
from archrep.space.specs import architectures

ATTEMPTS = 3  # with a run whose worker dies
STARTING = 300.0  # seconds in which some worker must have started


class Run(NamedTuple):
    """One training: an architecture spec and a seed."""

    arch: str
    seed: int


class Event(NamedTuple):
    """What a worker reports: that it is ready (both None), the row of its run, or that it died and why."""

    row: dict | None = None
    death: str | None = None


class Crew(Protocol):
    """Workers that measure one run at a time. What stands for a worker is the crew's own business.

    Attributes:
        workers: how many work at a time.
    """

    workers: int

    def start(self) -> Any:
        """Starts a worker; it reports once when it is ready."""
        ...

    def give(self, worker: Any, run: Run) -> None:
        """Hands a run to a ready worker, which reports its row."""
        ...

    def wait(self, workers: Sequence[Any], timeout: float | None) -> list[tuple[Any, Event]]:
        """What workers that start or work report; empty after `timeout` seconds."""
        ...

    def end(self, worker: Any) -> None:
        """Ends a worker at once, whatever it does."""
        ...

    def close(self) -> None:
        """Gives back what the crew holds beside its workers."""
        ...


@dataclass(frozen=True)
class Limits:
    """Attributes: seconds for one run, which fails if it takes longer; seconds for everything."""

    run_seconds: float = math.inf
    seconds: float = math.inf


def attempt(work: Measuring, run: Run) -> dict[str, object]:
    """A run's row, or `{"error": reason}`; called inside workers."""
    try:
        return work(next(iter(architectures(run.arch))), run.seed)
    except ArchrepError as error:
        return {"error": str(error).removeprefix(f"{run.arch}: ")}
    except Exception as error:  # noqa: BLE001 - a network's own code may raise anything
        return {"error": ("out of memory: " if _no_memory(error) else "") + first_line(error)}


def _no_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(s in str(error) for s in ("allocate memory", "out of memory"))


def measure_runs(crew: Crew, runs: Sequence[Run], limits: Limits) -> Generator[tuple[Run, dict], None, None]:
    """Yields every run with its row, as they finish, until the time is over; failures have rows with `error`.

    A run whose worker dies (killed, out of memory, crashed) is tried again, after the others, `ATTEMPTS` times in all;
    one that raises or takes too long would do so again and is not. Workers end with the iteration, however it ends.

    Raises:
        ArchrepError: if workers do not start.
    """
    shift = _Shift(crew, runs, limits)
    try:
        while shift.waiting or shift.busy:
            if time.monotonic() >= shift.deadline:
                return
            shift.staff()
            yield from shift.listen()
    finally:
        for worker in [*shift.starting, *shift.busy]:
            crew.end(worker)
        crew.close()


class _Shift:
    """The state of `measure_runs`: which runs wait, which worker does what since when."""

    def __init__(self, crew: Crew, runs: Sequence[Run], limits: Limits) -> None:
        self.crew, self.limits = crew, limits
        self.waiting = deque(runs)
        self.deaths: Counter[Run] = Counter()
        self.starting: dict[Any, float] = {}  # when it began
        self.busy: dict[Any, tuple[Run, float]] = {}
        self.deadline = time.monotonic() + limits.seconds
        self.failed_starts = 0

    def staff(self) -> None:
        """Starts workers while there is more to do than workers to do it."""
        while len(self.starting) < min(self.crew.workers - len(self.busy), len(self.waiting)):
            self.starting[self.crew.start()] = time.monotonic()

    def listen(self) -> Iterator[tuple[Run, dict]]:
        """Waits for reports, hands out runs, yields rows."""
        for worker, event in self.crew.wait([*self.starting, *self.busy], self._patience()):
            began = self.starting.pop(worker, None)
            run, _ = self.busy.pop(worker, (None, 0.0))
            if event.death is None:
                self.failed_starts = 0
                self._next(worker)
            else:
                self.crew.end(worker)
                if began is not None:
                    self._failed_start(event.death)
            if run is not None and event.row is not None:
                yield run, event.row
            elif run is not None and event.death is not None:
                yield from self._died(run, event.death)
        yield from self._overdue()

    def _patience(self) -> float | None:
        """Seconds until something must be done though no worker reports; None if that never is."""
        moments = [began + self.limits.run_seconds for _, began in self.busy.values()]
        moments += [began + STARTING for began in self.starting.values() if not self.busy]
        first = min([self.deadline, *moments])
        return None if first == math.inf else max(first - time.monotonic(), 0.0)

    def _next(self, worker: Any) -> None:
        if self.waiting:
            run = self.waiting.popleft()
            self.busy[worker] = run, time.monotonic()
            self.crew.give(worker, run)
        else:
            self.crew.end(worker)

    def _died(self, run: Run, reason: str) -> Iterator[tuple[Run, dict]]:
        self.deaths[run] += 1
        if self.deaths[run] < ATTEMPTS:
            self.waiting.append(run)
        else:
            yield run, {"error": f"its worker died in each of {ATTEMPTS} attempts ({reason})"}

    def _overdue(self) -> Iterator[tuple[Run, dict]]:
        now = time.monotonic()
        for worker, (run, began) in list(self.busy.items()):
            if now - began >= self.limits.run_seconds:
                del self.busy[worker]
                self.crew.end(worker)
                yield run, {"error": f"took longer than the limit of {self.limits.run_seconds:g} s"}
        if not self.busy and any(now - began >= STARTING for began in self.starting.values()):
            raise ArchrepError(
                f"No worker started within {STARTING:.0f} s; is there a machine with enough free processors?"
            )

    def _failed_start(self, reason: str) -> None:
        self.failed_starts += 1
        if self.failed_starts >= ATTEMPTS:
            raise ArchrepError(f"Workers do not start ({reason}); try fewer --workers, or a higher --memory-limit.")
