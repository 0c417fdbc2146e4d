"""A search as rows of a table and as Markdown."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from archrep.probe.render import markdown
from archrep.search.pool import Pool
from archrep.search.simulate import Trajectory


def title(pool: Pool, space: str, runs: int, seed: int) -> str:
    """What was searched, and how often."""
    return (
        f"Search of {space} for {pool.target.name} · {len(pool.names):,} architectures, {pool.classes:,} functional "
        f"classes · {runs} runs · seed {seed}"
    )


def strategy_rows(
    summary: pd.DataFrame, trajectories: Sequence[Trajectory], marks: Sequence[int], budget: int
) -> list[dict]:
    """One row per strategy: mean regret with its 95 % interval after so many queries, duplicates, runs that ran out."""
    rows = []
    for strategy, part in summary.groupby("strategy", sort=False):
        at = part.set_index("query")
        row: dict = {"strategy": strategy}
        for query in marks:
            row[f"@{query}"] = _interval(at.loc[query], "regret_valid")
        row[f"test @{budget}"] = _interval(at.loc[budget], "regret_test")
        own = [t for t in trajectories if t.strategy == strategy]
        row["duplicates"] = f"{100 * np.mean([t.duplicate_rate for t in own]):.0f} %"
        row["ran out"] = sum(len(t.queried) < budget for t in own)
        rows.append(row)
    return rows


def _interval(row: pd.Series, name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.3f}" + ("" if np.isnan(low) else f" ± {(high - low) / 2:.3f}")


def difference_line(row: Mapping) -> str:
    """A paired difference in words."""
    interval = "" if np.isnan(row["low"]) else f" [{row['low']:+.3f}, {row['high']:+.3f}], p = {row['p_holm']:.2g}"
    return f"Regret @{row['query']}, {row['first']} - {row['second']}: {row['delta']:+.3f}{interval}"


def meaning(pool: Pool, budget: int) -> list[str]:
    """What the numbers are."""
    unit = f" ({pool.target.unit})" if pool.target.unit else ""
    return [
        f"@N: mean over the runs of the regret{unit} after N queries, ± half of its 95 % interval: how far "
        f"{pool.selected_by} of the selected architecture stays behind the best of the pool.",
        f"test @{budget}: the same of its {pool.target.name}, against the best of the pool.",
        "A functional class is paid for once, at the label of its first member that is proposed; duplicates: share of "
        "the proposals that were paid for already. Differences are paired over the runs, p after Holm's correction.",
    ]


def as_markdown(name: str, rows: list[dict], compared: pd.DataFrame, notes: Sequence[str], command: str) -> str:
    """The table and what it means."""
    head = list(rows[0])
    differences = "\n".join(f"- {difference_line(row)}" for row in compared.to_dict("records"))
    cells = [[str(row[column]) for column in head] for row in rows]
    return markdown(name, head, cells, [*notes, *filter(None, [differences])], command)
