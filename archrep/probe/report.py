"""The probe report: every encoder on the same splits, with intervals, paired differences and controls."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from archrep.data.targets import Target
from archrep.probe import evaluation
from archrep.probe.comparison import Difference, compare, mean_interval, paired_bootstrap, paired_t
from archrep.probe.encoders import named
from archrep.probe.evaluation import SELECTED, Tested, Work, run_scheme, taus
from archrep.probe.pairs import bootstrap_weights, interval, weighted_tau_b
from archrep.probe.reference import Ceiling, early_epochs, noise_ceiling, worth
from archrep.probe.saved import FittedProbe, fit_final
from archrep.probe.splits import Scheme, Split, grouped, numbered, permuted_by_group
from archrep.probe.task import NOTHING, Task, with_increments, with_nothing

CONTROLS = {"ghn-untrained", "gnn-random"}  # never chosen for the fitted probe, whatever is added to them
BASES = ("size", "graph-features", "zero-cost", "columns")  # which the reference is added to
PERMUTATIONS = 8
TRANSFORM = "normal-scores"


@dataclass(frozen=True)
class Score:
    """One encoder.

    Attributes:
        tau, tau_low, tau_high: Kendall's τ-b and its 95 % interval.
        spearman … r2: as `metrics.METRICS` defines them, averaged over the splits.
        coverage: share of test architectures in their 90 % intervals. width: median of those, in the target's unit.
        delta …: τ minus the reference's, paired, with p-value after Holm's correction.
        of_ceiling: τ as a share of the noise ceiling, if there is one. epochs: see `reference.worth`, likewise.
        chosen: the most frequent choice inside the training data.
    """

    encoder: str
    dimensions: int
    tau: float
    tau_low: float
    tau_high: float
    spearman: float
    weighted_tau: float
    top_decile_tau: float
    precision_at_k: float
    ndcg_at_k: float
    regret_at_k: float
    r2: float
    coverage: float
    width: float
    delta: float
    delta_low: float
    delta_high: float
    p_holm: float
    of_ceiling: float | None
    epochs: int | None
    chosen: str


@dataclass(frozen=True)
class Report:
    """All that was found; see `Score` for the table.

    Attributes:
        reference: the encoder that the others are compared with.
        table: arch, measured and, per encoder, its mean prediction where it was tested.
        increments: base → what adding the reference to it brings.
        control: τ of the reference on labels permuted between groups, and the selectivity.
        early: epochs, column, τ. calibration: of the reference, per level.
        probe: fitted on all labels.
    """

    target: Target
    reference: str
    scores: list[Score]
    table: pd.DataFrame
    increments: dict[str, Difference]
    control: dict[str, float] | None
    ceiling: Ceiling | None
    early: list[tuple[int, str, float]]
    calibration: list[dict[str, float]]
    probe: FittedProbe | None
    excluded: dict[str, int]
    facts: dict[str, Any]


def run_probe(
    task: Task,
    scheme: Scheme | None = None,
    probe: str = "auto",
    seed: int = 0,
    workers: int = 1,
    reference: str | None = None,
    control: bool = True,
    fit: bool = True,
    transform: str = TRANSFORM,
    progress: Callable[[int], Callable[[], None]] = lambda total: lambda: None,
) -> Report:
    """Evaluates every encoding of a task, and their selection, on the splits of a scheme.

    Args:
        scheme: default: five repetitions of grouped five-fold cross-validation.
        probe: a name of `models.PROBES`, `auto` or `ensemble`.
        reference: the encoder that others are compared with; default: the first.
        transform: of the target, a name of `transform.TRANSFORMS`.
        control, fit: whether to run the control task and to fit the final probe.
        progress: gets the number of fits, gives what is to be called after each.

    Raises:
        ArchrepError: too few groups, an unknown probe, or more training data than the probe takes.
    """
    reference = reference or next(iter(task.encodings))
    task, pairs = with_increments(task, reference, BASES)
    task = with_nothing(replace(task, groups=numbered(task.groups)))
    selectable = [spec for spec in task.encodings if spec != NOTHING and not named(spec) & CONTROLS]
    scheme = scheme or grouped(task.groups, seed=seed)
    work = Work(task.encodings, task.y, task.groups, probe, transform, seed)
    permuted = _permuted(scheme) if control else []
    step = progress(len(scheme.splits) * len(task.encodings) + len(permuted))
    shown = selectable if len(selectable) > 1 else []
    tested = run_scheme(work, scheme, shown, workers, step)
    repetitions = 0 if scheme.resampled else 2000 if len(task.y) <= 2000 else 300
    weights = bootstrap_weights(task.groups, repetitions, seed)
    all_taus = {name: taus(task.y, of, scheme, weights) for name, of in tested.items()}
    differences = _differences(all_taus, reference, [n for n in tested if n not in (reference, NOTHING)], scheme)
    raw = [_difference(all_taus[both], all_taus[base], scheme) for base, both in pairs]
    increments = dict(zip((base for base, _ in pairs), compare(raw), strict=True))
    ceiling, early = _held_against(task)
    scores = [_score(n, task, of, all_taus[n], scheme, differences.get(n), ceiling, early) for n, of in tested.items()]
    table = pd.DataFrame({"arch": [a.id for a in task.architectures], "measured": task.y})
    predictions = {name: evaluation.mean_predictions(len(task.y), of) for name, of in tested.items()}
    facts = _facts(task, scheme, work)
    return Report(
        task.target,
        reference,
        scores,
        pd.concat([table, pd.DataFrame(predictions)], axis=1),
        increments,
        _control(work, scheme, permuted, reference, all_taus[reference][0], step) if permuted else None,
        ceiling,
        early,
        evaluation.calibration(task.y, tested[reference]),
        fit_final(work, selectable, task.target, facts) if fit else None,
        task.excluded,
        facts,
    )


def _held_against(task: Task) -> tuple[Ceiling | None, list[tuple[int, str, float]]]:
    """The noise ceiling and the early accuracies of the architectures that are probed."""
    names, runs, name = [a.id for a in task.architectures], task.labels.runs, task.target.name
    ceiling = None if runs is None or name not in runs else noise_ceiling(runs[runs["arch"].isin(names)], name)
    table = task.labels.table.reindex(names)
    return ceiling, early_epochs(table, task.y, task.target.higher_is_better, name)


def _facts(task: Task, scheme: Scheme, work: Work) -> dict[str, Any]:
    return {
        "n": len(task.y),
        "groups": len(np.unique(task.groups)),
        "grouped_by": task.grouped_by,
        "split": scheme.name,
        "splits": len(scheme.splits),
        "train_size": float(np.mean([len(s.train) for s in scheme.splits])),
        "test_size": float(np.mean([len(s.test) for s in scheme.splits])),
        "leaked": scheme.leaked(task.groups),
        "interval": "Student's, over the training sets" if scheme.resampled else "bootstrap over groups",
        "probe": work.probe,
        "transform": work.transform,
        "seed": work.seed,
        "spaces": sorted({a.space for a in task.architectures}),
    }


def _difference(first: np.ndarray, second: np.ndarray, scheme: Scheme) -> tuple[float, float, float, float]:
    return paired_t(first[1:], second[1:]) if scheme.resampled else paired_bootstrap(first, second)


def _differences(
    all_taus: dict[str, np.ndarray], reference: str, names: Sequence[str], scheme: Scheme
) -> dict[str, Difference]:
    raw = [_difference(all_taus[name], all_taus[reference], scheme) for name in names]
    return dict(zip(names, compare(raw), strict=True))


def _score(
    name: str,
    task: Task,
    tested: Sequence[Tested],
    tau: np.ndarray,
    scheme: Scheme,
    difference: Difference | None,
    ceiling: Ceiling | None,
    early: list[tuple[int, str, float]],
) -> Score:
    """τ: entry 0 is that of the data, the others are the resamplings."""
    low, high = mean_interval(tau[1:]) if scheme.resampled else interval(tau[1:])
    metrics = evaluation.mean_metrics(task.y, tested, task.target.higher_is_better)
    at_90 = next(row for row in evaluation.calibration(task.y, tested) if row["level"] == 0.9)
    chosen = Counter(" + ".join(t.chosen) for t in tested).most_common(1)[0][0]
    d = difference or Difference(*[float("nan")] * 5)
    return Score(
        encoder=name,
        dimensions=0 if name == SELECTED else task.encodings[name].shape[1],
        tau=float(tau[0]),
        tau_low=low,
        tau_high=high,
        spearman=metrics["spearman"],
        weighted_tau=metrics["weighted_tau"],
        top_decile_tau=metrics["top_decile_tau"],
        precision_at_k=metrics["precision_at_k"],
        ndcg_at_k=metrics["ndcg_at_k"],
        regret_at_k=metrics["regret_at_k"],
        r2=metrics["r2"],
        coverage=at_90["coverage"],
        width=at_90["width"],
        delta=d.delta,
        delta_low=d.low,
        delta_high=d.high,
        p_holm=d.p_holm,
        of_ceiling=float(tau[0] / ceiling.tau) if ceiling and ceiling.tau > 0 else None,
        epochs=worth(float(tau[0]), early) if early else None,
        chosen=chosen,
    )


def _permuted(scheme: Scheme) -> list[tuple[int, list[Split]]]:
    """Permutation number and the splits of one repetition, for every permutation of the control task."""
    repeats = sorted({s.repeat for s in scheme.splits})
    wanted = [(p, repeats[p % len(repeats)]) for p in range(PERMUTATIONS)]
    return [(p, [s for s in scheme.splits if s.repeat == r]) for p, r in wanted]


def _control(
    work: Work,
    scheme: Scheme,
    permuted: list[tuple[int, list[Split]]],
    reference: str,
    tau: float,
    step: Callable[[], None],
) -> dict[str, float]:
    """τ on permuted labels: the mean over permutations, and the interval in which one such τ lies in 95 % of them.

    It is that of test architectures without a twin in training, about which permuted labels say nothing. On all test
    architectures, `with_twins`, a probe that remembers does better; selectivity is what τ is above that.
    """
    found, with_twins = [], []
    encodings = {reference: work.encodings[reference]}
    for number, splits in permuted:
        y = permuted_by_group(work.y, work.groups, work.seed + number)
        tested = run_scheme(replace(work, encodings=encodings, y=y), replace(scheme, splits=splits))[reference]
        alone = [~np.isin(work.groups[s.test], work.groups[s.train]) for s in splits]
        kept = [(t.index[a], t.predicted[a]) for t, a in zip(tested, alone, strict=True) if a.sum() > 1]
        found.append(weighted_tau_b(y, kept)[0] if kept else np.nan)
        with_twins.append(weighted_tau_b(y, [(t.index, t.predicted) for t in tested])[0])
        step()
    mean, p = float(np.mean(found)), len(found)
    half = float(stats.t.ppf(0.975, p - 1) * np.std(found, ddof=1) * np.sqrt(1 + 1 / p))
    remembered = float(np.mean(with_twins))
    return {"tau": mean, "low": mean - half, "high": mean + half, "permutations": p} | {
        "with_twins": remembered,
        "selectivity": float(tau) - remembered,
    }
