"""Regret of simulated searches: how far the selected architecture stays behind the best of the pool."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from archrep.probe.comparison import compare, mean_interval, paired_t
from archrep.search.pool import Pool
from archrep.search.simulate import Trajectory

COLUMNS = ("strategy", "run", "query", "regret_valid", "regret_test")
MARKS = (10, 20, 50, 100, 150)  # numbers of queries that tables show, besides the last; more would not fit a terminal


def regret_table(pool: Pool, trajectories: Sequence[Trajectory], budget: int) -> pd.DataFrame:
    """One row per strategy, run and query, columns `COLUMNS`; both regrets in the target's unit, at least 0.

    After every query the architecture with the best selection label so far is selected (the first of several).
    `regret_valid` is what its selection label lacks to the best of the pool, `regret_test` the same of the reported
    label. A strategy that ran out keeps what it has.
    """
    value, test = pool.sign * pool.value, pool.sign * pool.test
    parts = []
    for t in trajectories:
        selected = np.array(_selected(value, t.queried, budget))
        parts.append(
            pd.DataFrame(
                {
                    "strategy": t.strategy,
                    "run": t.run,
                    "query": np.arange(1, budget + 1),
                    "regret_valid": value.max() - value[selected],
                    "regret_test": test.max() - test[selected],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _selected(value: np.ndarray, queried: Sequence[int], budget: int) -> list[int]:
    """(budget,) the selected position after every query."""
    best, selected = queried[0], []
    for position in queried:
        best = position if value[position] > value[best] else best
        selected.append(best)
    return selected + [best] * (budget - len(selected))


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over the runs with its 95 % interval (Student), per strategy and query.

    Returns:
        Columns `strategy`, `query`, and `NAME`, `NAME_low`, `NAME_high` of both regrets.
    """
    rows = []
    for (strategy, query), part in table.groupby(["strategy", "query"], sort=False):
        row: dict = {"strategy": strategy, "query": query}
        for name in ("regret_valid", "regret_test"):
            low, high = mean_interval(part[name].to_numpy())
            row |= {name: part[name].mean(), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def differences(table: pd.DataFrame, query: int) -> pd.DataFrame:
    """Paired differences of `regret_valid` between all pairs of strategies after some queries, over the runs.

    Returns:
        Columns `first`, `second`, `query`, `delta` (first minus second), `low`, `high`, `p`, `p_holm`.
    """
    at = table[table["query"] == query].pivot(index="run", columns="strategy", values="regret_valid")
    names = list(dict.fromkeys(table["strategy"]))
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    # rounded, so that runs that agree but for the last digit agree
    found = compare([paired_t(np.round(at[a] - at[b], 9).to_numpy(), np.zeros(len(at))) for a, b in pairs])
    rows = [{"first": a, "second": b, "query": query, **vars(d)} for (a, b), d in zip(pairs, found, strict=True)]
    return pd.DataFrame(rows, columns=["first", "second", "query", "delta", "low", "high", "p", "p_holm"])


def marks(budget: int) -> list[int]:
    """Numbers of queries that a table shows."""
    return [*(mark for mark in MARKS if mark < budget), budget]
