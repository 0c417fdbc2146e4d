"""Learning curves: how τ grows with the number of labelled architectures. Every point is journalled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from archrep.errors import ArchrepError
from archrep.journal import Journal
from archrep.probe.comparison import mean_interval
from archrep.probe.evaluation import Work
from archrep.probe.metrics import evaluate
from archrep.probe.select import fit_candidates
from archrep.probe.splits import CURVE_SIZES, Split, inner_folds, subsets
from archrep.probe.task import NOTHING, Task
from archrep.probe.transform import TRANSFORMS
from archrep.workers import in_processes

CURVE_PROBES = ("ridge", "gp")
MANY, FEW, MANY_UP_TO = 20, 5, 156  # resamplings up to that size, and above
KEY = ("encoder", "probe", "n", "resampling")


@dataclass(frozen=True)
class CurveWork:
    """All probes on one encoder and one training set; picklable."""

    work: Work
    probes: Sequence[str]
    higher_is_better: bool

    def __call__(self, split: Split, encoder: str) -> list[dict]:
        """One row per probe: what identifies it, and all metrics."""
        y, train, test = self.work.y, split.train, split.test
        transform = TRANSFORMS[self.work.transform](y[train])
        t = transform.forward(y[train])
        folds = inner_folds(self.work.groups[train], self.work.seed)
        x = self.work.encodings[encoder]
        rows = []
        for c in fit_candidates(encoder, x[train], t, folds, self.probes, self.work.seed):
            metrics = evaluate(y[test], transform.inverse(c.model.predict(x[test])), self.higher_is_better)
            key = {"encoder": encoder, "probe": c.probe, "n": len(train), "resampling": split.repeat}
            rows.append(key | metrics | {"test": len(test)})
        return rows


def curve_sizes(n: int) -> list[int]:
    """The sizes of the curve that leave a fifth of n architectures to test on.

    Raises:
        ArchrepError: if not even the smallest does.
    """
    sizes = [size for size in CURVE_SIZES if size <= 0.8 * n]
    if not sizes:
        raise ArchrepError(
            f"A learning curve needs at least {CURVE_SIZES[0] * 5 // 4} labelled architectures, got {n}."
        )
    return sizes


def learning_curve(
    task: Task,
    journal: Journal,
    keep_groups: bool = True,
    probes: Sequence[str] = CURVE_PROBES,
    resamplings: int | None = None,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int], Callable[[], None]] = lambda total: lambda: None,
) -> pd.DataFrame:
    """Rows (encoder, probe, n, resampling) with all metrics, of every encoder and size.

    Args:
        journal: rows that it has are not computed again; more `resamplings` than before are added to it.
        keep_groups: training sets of whole groups, tested on other groups.
        resamplings: of the training set; default: 20 up to 156 architectures, 5 above.

    Raises:
        ArchrepError: if there are too few architectures.
    """
    encodings = {spec: x for spec, x in task.encodings.items() if spec != NOTHING}
    base = Work(encodings, task.y, task.groups, "auto", "normal-scores", seed)
    work = CurveWork(base, probes, task.target.higher_is_better)
    done = {tuple(row[k] for k in KEY) for row in journal.rows}
    jobs: list[tuple[Split, str]] = []
    for n in curve_sizes(len(task.y)):
        count = resamplings or (MANY if n <= MANY_UP_TO else FEW)
        for split in subsets(task.groups, n, count, seed, keep_groups).splits:
            missing = [e for e in encodings if any((e, p, n, split.repeat) not in done for p in probes)]
            jobs += [(split, encoder) for encoder in missing]
    step = progress(len(jobs))
    if workers > 1 and len(jobs) > 1:
        # The largest first, so that no worker ends long after the others.
        jobs.sort(key=lambda job: -len(job[0].train))
        stream = in_processes(work, jobs, min(workers, len(jobs)))
    else:
        stream = ((i, work(*job)) for i, job in enumerate(jobs))
    for _, rows in stream:
        for row in rows:
            if tuple(row[k] for k in KEY) not in done:
                journal.append(row)
        step()
    wanted = {(n, r) for n in curve_sizes(len(task.y)) for r in range(resamplings or 10**6)}
    table = pd.DataFrame([row for row in journal.rows if (row["n"], row["resampling"]) in wanted])
    return table.sort_values(list(KEY), kind="stable").reset_index(drop=True)


def summarize_curve(rows: pd.DataFrame, metric: str = "tau") -> pd.DataFrame:
    """Per encoder, probe and size: mean, its 95 % Student interval over the training sets, their spread and number."""
    summary = []
    for (encoder, probe, n), of in rows.groupby(["encoder", "probe", "n"], sort=False):
        values = of[metric].to_numpy(dtype=float)
        low, high = mean_interval(values)
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
        summary.append(
            {"encoder": encoder, "probe": probe, "n": n, "mean": float(values.mean())}
            | {"low": low, "high": high, "sd": sd, "resamplings": len(values)}
        )
    return pd.DataFrame(summary)
