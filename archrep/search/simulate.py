"""Runs a strategy against labels or against training: every functional class is paid for once."""

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from archrep.journal import Journal
from archrep.search.pool import Pool
from archrep.search.state import Candidates, Search, Strategy
from archrep.search.strategies import make_strategy
from archrep.workers import in_processes

PATIENCE = 1000  # proposals in a row, besides two for every architecture, that may be known before a strategy is stuck


@dataclass(frozen=True)
class Trajectory:
    """What one run of a strategy paid for.

    Attributes:
        queried: positions in the pool, in order; fewer than the budget if the strategy ran out of architectures.
        duplicates: proposals whose functional class had been paid for.
    """

    strategy: str
    run: int
    queried: list[int]
    duplicates: int

    @property
    def duplicate_rate(self) -> float:
        """Share of the proposals that were duplicates."""
        return self.duplicates / max(1, self.duplicates + len(self.queried))


def search(
    candidates: Candidates, spec: str, budget: int, evaluate: Callable[[int], float], seed: int = 0, run: int = 0
) -> Trajectory:
    """One run.

    Args:
        spec: of the strategy. budget: queries to pay for.
        evaluate: trains and measures the architecture at a position; more is better, NaN if it failed.
        seed, run: the random order of the pool depends on these alone, so all strategies begin alike.
    """
    order = np.random.default_rng([seed, run]).permutation(len(candidates.classes))
    state = Search(candidates, order, np.random.default_rng([seed, run, zlib.crc32(spec.encode())]))
    return Trajectory(spec, run, *_run(state, make_strategy(spec), budget, evaluate))


def _run(state: Search, strategy: Strategy, budget: int, evaluate: Callable[[int], float]) -> tuple[list[int], int]:
    """Positions that were paid for, and the number of duplicates."""
    queried: list[int] = []
    duplicates = in_a_row = 0
    while len(queried) < budget and in_a_row < PATIENCE + 2 * len(state.known):
        position = strategy.propose(state)
        if position is None:
            break
        if state.known[position]:
            duplicates += 1
            in_a_row += 1
            continue
        in_a_row = 0
        queried.append(int(position))
        state.pay(position, evaluate(position))
    return queried, duplicates


@dataclass(frozen=True)
class Lookup:
    """One simulated run; picklable, so that worker processes can do it."""

    candidates: Candidates
    value: np.ndarray  # (n,) more is better
    budget: int
    seed: int

    def __call__(self, spec: str, run: int) -> Trajectory:
        """The run of a strategy against the labels."""
        return search(self.candidates, spec, self.budget, lambda i: float(self.value[i]), self.seed, run)


def simulate(
    pool: Pool,
    specs: Sequence[str],
    runs: int,
    budget: int,
    seed: int = 0,
    workers: int = 1,
    journal: Journal | None = None,
    progress: Callable[[], None] = lambda: None,
) -> list[Trajectory]:
    """All runs of all strategies against the labels of a pool.

    Args:
        journal: keeps every finished run; what it holds is not done again (see `journal_header`).
        progress: called after every run.

    Returns:
        By strategy, then by run.
    """
    done = {(t.strategy, t.run): t for t in (Trajectory(**row) for row in (journal.rows if journal else []))}
    jobs = [(spec, run) for run in range(runs) for spec in specs if (spec, run) not in done]
    work = Lookup(pool.candidates, pool.sign * pool.value, budget, seed)
    for _ in range(len(specs) * runs - len(jobs)):
        progress()
    if workers > 1 and len(jobs) > 1:
        stream = in_processes(work, jobs, min(workers, len(jobs)))
    else:
        stream = ((position, work(*job)) for position, job in enumerate(jobs))
    for _, trajectory in stream:
        done[trajectory.strategy, trajectory.run] = trajectory
        if journal:
            journal.append(asdict(trajectory))
        progress()
    return [done[spec, run] for spec in specs for run in range(runs)]


def journal_header(pool: Pool, budget: int, seed: int) -> dict:
    """What a journal of simulated runs is of; encodings are digested as well, strategies may be added later."""
    digest = hashlib.sha256("\n".join(pool.names).encode())
    for values in (pool.value, pool.candidates.classes, pool.candidates.neighbours.index):
        digest.update(np.ascontiguousarray(values).tobytes())
    return {"journal": 1, "search": {"pool": digest.hexdigest()[:16], "budget": budget, "seed": seed}}
