"""Kendall's τ of single columns with a target, and of probes with several targets, each with its interval."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from archrep.data.labels import Labels
from archrep.errors import ArchrepError
from archrep.probe.encoders import Context
from archrep.probe.pairs import bootstrap_weights, interval, weighted_tau_b
from archrep.probe.report import run_probe
from archrep.probe.splits import grouped
from archrep.probe.task import NOTHING, make_task

REPETITIONS = 1000  # of the bootstrap


def correlate(columns: pd.DataFrame, y: np.ndarray, groups: np.ndarray | None = None, seed: int = 0) -> pd.DataFrame:
    """τ-b of every column with y, without learning anything.

    Args:
        columns: (n, …) numbers. y: (n,).
        groups: (n,) what the bootstrap draws; default: single architectures. seed: of the bootstrap.

    Returns:
        Columns `encoder` (the column's name), `tau`, `tau_low`, `tau_high` (95 %) and `n`, in the order of columns.

    Raises:
        ArchrepError: for values that are not finite, or fewer than three architectures.
    """
    values = columns.to_numpy(dtype=float)
    if len(y) < 3 or len(y) != len(values) or not (np.isfinite(values).all() and np.isfinite(y).all()):
        raise ArchrepError(f"τ needs three or more finite values on both sides; got {len(values)} and {len(y)}.")
    everyone = np.arange(len(y))
    weights = bootstrap_weights(everyone if groups is None else groups, REPETITIONS, seed)
    rows = []
    for name, column in zip(columns, values.T, strict=True):
        folds = [(everyone, column)]
        low, high = interval(weighted_tau_b(y, folds, weights))
        tau = float(weighted_tau_b(y, folds)[0])
        rows.append({"encoder": str(name), "tau": tau, "tau_low": low, "tau_high": high, "n": len(y)})
    return pd.DataFrame(rows)


def probe_targets(
    labels: Labels,
    targets: Sequence[str],
    specs: Sequence[str],
    context: Context,
    probe: str = "ridge",
    repeats: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """How well every encoder predicts every target: τ of grouped cross-validation, with its interval.

    Args:
        specs: encoders, the first one being the reference. probe: see `archrep.probe.select`.
        repeats: of the five folds.

    Returns:
        Columns `target`, `encoder`, `tau`, `tau_low`, `tau_high`, `delta`, `delta_low`, `delta_high`, `p_holm` (against
        the reference), `n` and `ceiling` (NaN where the noise of the labels is not known). A target that is constant
        has no rows.
    """
    rows = []
    for name in targets:
        if labels.table[name].nunique() < 2:
            continue
        task = make_task(labels, name, specs, context)
        scheme = grouped(task.groups, repeats, seed)
        report = run_probe(task, scheme, probe, seed, control=False, fit=False)
        ceiling = report.ceiling.tau if report.ceiling else float("nan")
        fields = ("encoder", "tau", "tau_low", "tau_high", "delta", "delta_low", "delta_high", "p_holm")
        rows += [
            {"target": name, **{field: getattr(score, field) for field in fields}, "n": len(task.y), "ceiling": ceiling}
            for score in report.scores
            if score.encoder in specs and score.encoder != NOTHING
        ]
    return pd.DataFrame(rows)
