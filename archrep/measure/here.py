"""Measuring in this process: no start-up, but what kills a network kills everything, and no limit holds."""

from collections.abc import Sequence

from archrep.measure.crew import Event, Run, attempt
from archrep.measure.network import Measuring


class HereCrew:
    """One worker, which is this process; for a few runs of trusted networks, one call after another."""

    workers = 1

    def __init__(self, work: Measuring) -> None:
        self._work = work
        self._event = Event()

    def start(self) -> str:
        """Ready at once."""
        return "here"

    def give(self, worker: str, run: Run) -> None:
        """Measures."""
        self._event = Event(row=attempt(self._work, run))

    def wait(self, workers: Sequence[str], timeout: float | None) -> list[tuple[str, Event]]:
        """What was measured."""
        return [(worker, self._event) for worker in workers]

    def end(self, worker: str) -> None:
        """Nothing to end."""

    def close(self) -> None:
        """Nothing to give back."""
