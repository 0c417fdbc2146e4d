"""Search by training: what a strategy proposes is measured, and its label is on disk before the next proposal.

The one place where search meets `archrep.measure`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from archrep.data.images import ImageSet
from archrep.data.labels import read_labels
from archrep.errors import ArchrepError, lookup
from archrep.measure import PROTOCOLS, measure_all
from archrep.search.simulate import Trajectory, search
from archrep.search.state import Candidates
from archrep.space import Architecture

SELECT, REPORT = "accuracy_val", "accuracy"


@dataclass
class Measured:
    """Trains architectures of a pool when asked for their labels; one label serves all strategies and runs.

    Attributes:
        out: label table; its journal beside it holds what is measured, also for the next call.
        progress: gets every row, trained or read.
        rows: position in the pool → its labels; a failed one has `error` instead.
    """

    architectures: Sequence[Architecture]
    protocol: str
    images: ImageSet
    out: Path
    seed: int
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
        """Its row of the label table, or the reason why there is none."""
        name = architecture.id
        try:
            failed = measure_all([architecture], PROTOCOLS[self.protocol], self.images, self.out, self.seed)
        except ArchrepError as error:
            if "could be measured" not in str(error):
                raise
            return {"arch": name, "error": self._reason(name)}
        if failed:
            return {"arch": name, "error": str(failed[0]["error"])}
        labels = read_labels(self.out).table.loc[name]
        return {"arch": name, SELECT: float(labels[SELECT]), REPORT: float(labels[REPORT])}

    def _reason(self, name: str) -> str:
        """Why the first of all failed: there is a journal, but no table yet."""
        import json

        lines = self.out.with_suffix(".jsonl").read_text().splitlines()[1:]
        reasons = [row["error"] for row in map(json.loads, lines) if row.get("arch") == name and "error" in row]
        return reasons[-1] if reasons else "it could not be measured"


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
