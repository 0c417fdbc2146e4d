"""Search by training: what a strategy proposes is measured, and its label is on disk before the next proposal.

The one place where search meets `archrep.measure`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from archrep.data.images import ImageSet
from archrep.errors import lookup
from archrep.measure import PROTOCOLS, HereCrew, Run, measure_all
from archrep.search.simulate import Trajectory, search
from archrep.search.state import Candidates
from archrep.space import Architecture

SELECT, REPORT = "accuracy_val", "accuracy"


@dataclass
class Measured:
    """Trains architectures of a pool when asked for their labels; one label serves all strategies and runs.

    Attributes:
        out: label table; its journal beside it holds what is measured, also for the next call.
        force: replaces labels of other work. progress: gets every row, trained or read.
        rows: position in the pool → its labels; a failed one has `error` instead.
    """

    architectures: Sequence[Architecture]
    protocol: str
    images: ImageSet
    out: Path
    seed: int
    force: bool = False
    progress: Callable[[dict], None] = lambda row: None
    rows: dict[int, dict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lookup(PROTOCOLS, self.protocol, "protocol")

    def __call__(self, position: int) -> float:
        """Validation accuracy in %; NaN if the architecture cannot be trained."""
        if position not in self.rows:
            self.rows[position] = self._measure(self.architectures[position])
        self.progress(self.rows[position])
        return float(self.rows[position].get(SELECT, np.nan))

    def _measure(self, architecture: Architecture) -> dict:
        """Its row of the label table; with `error` if it could not be trained.

        Raises:
            KeyboardInterrupt: if that is what ended the training.
        """
        run = Run(architecture.id, self.seed)
        found = measure_all([run], PROTOCOLS[self.protocol], self.images, self.out, HereCrew, force=self.force)
        if not found.measured and not found.failures:
            raise KeyboardInterrupt
        row = (found.measured or found.failures)[0]
        return {key: row[key] for key in ("arch", SELECT, REPORT, "error") if key in row}


def search_live(
    candidates: Candidates, measured: Measured, specs: Sequence[str], runs: int, budget: int, seed: int
) -> tuple[pd.DataFrame, list[Trajectory]]:
    """Runs strategies one after another; an architecture that several of them propose is trained once.

    Returns:
        One row per strategy, run and query: `strategy`, `run`, `query`, `arch`, `accuracy_val`, `accuracy`, `best`
        (the architecture with the best validation accuracy so far) and `error`; and the runs.
    """
    rows, trajectories = [], []
    for run in range(runs):
        for spec in specs:
            trajectory = search(candidates, spec, budget, measured, seed, run)
            trajectories.append(trajectory)
            best: dict | None = None
            for query, position in enumerate(trajectory.queried, 1):
                row = measured.rows[position]
                if "error" not in row and (best is None or row[SELECT] > best[SELECT]):
                    best = row
                rows.append({"strategy": spec, "run": run, "query": query, **row, "best": best and best["arch"]})
    columns = ["strategy", "run", "query", "arch", SELECT, REPORT, "best", "error"]
    return pd.DataFrame(rows, columns=columns), trajectories
