"""Evaluating encoders on the splits of a scheme: everything is chosen inside each training set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from archrep.probe.conformal import LEVELS, intervals, radius
from archrep.probe.metrics import evaluate
from archrep.probe.pairs import kendall_tau, weighted_tau_b
from archrep.probe.select import Candidate, choose, fit_candidates, mean_of, probes_of
from archrep.probe.splits import Scheme, Split, inner_folds
from archrep.probe.transform import TRANSFORMS
from archrep.workers import in_processes

SELECTED = "selected"


@dataclass(frozen=True)
class Tested:
    """What one split said.

    Attributes:
        index: (m,) positions of the test architectures. predicted: (m,) in the target's unit.
        chosen: `encoder · probe` of the averaged members.
        low, high: (levels, m) ends of the intervals of `conformal.LEVELS`.
    """

    index: np.ndarray
    predicted: np.ndarray
    chosen: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Work:
    """Fits one encoder's probes on one split; picklable, so that worker processes can do it."""

    encodings: Mapping[str, np.ndarray]
    y: np.ndarray
    groups: np.ndarray
    probe: str
    transform: str
    seed: int

    def __call__(self, split: Split, encoder: str) -> list[Candidate]:
        """Candidates with predictions for the split's test architectures, without their models."""
        x, train = self.encodings[encoder], split.train
        t = TRANSFORMS[self.transform](self.y[train]).forward(self.y[train])
        folds = inner_folds(self.groups[train], self.seed)
        probes = probes_of(self.probe, len(train))
        fitted = fit_candidates(encoder, x[train], t, folds, probes, self.seed)
        return [
            Candidate(c.encoder, c.probe, c.out_of_fold, c.tau, None, c.model.predict(x[split.test])) for c in fitted
        ]


def run_scheme(
    work: Work,
    scheme: Scheme,
    selectable: Sequence[str] = (),
    workers: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, list[Tested]]:
    """What every encoder predicts on every split, and under `SELECTED` the choice among several encoders.

    Args:
        selectable: encoders that the choice is from; none for no such row.
        progress: called after every encoder of every split.
    """
    jobs = [(split, encoder) for split in scheme.splits for encoder in work.encodings]
    results: list[list[Candidate]] = [[] for _ in jobs]
    if workers > 1 and len(jobs) > 1:
        stream = in_processes(work, jobs, min(workers, len(jobs)))
    else:
        stream = ((position, work(*job)) for position, job in enumerate(jobs))
    for position, candidates in stream:
        results[position] = candidates
        progress()
    names = [*work.encodings, *([SELECTED] if selectable else [])]
    tested: dict[str, list[Tested]] = {name: [] for name in names}
    for i, split in enumerate(scheme.splits):
        of_split = results[i * len(work.encodings) : (i + 1) * len(work.encodings)]
        by_encoder = dict(zip(work.encodings, of_split, strict=True))
        if selectable:
            by_encoder[SELECTED] = [c for name in selectable for c in by_encoder[name]]
        for name, candidates in by_encoder.items():
            tested[name].append(_test(work, split, candidates))
    return tested


def _test(work: Work, split: Split, candidates: list[Candidate]) -> Tested:
    transform = TRANSFORMS[work.transform](work.y[split.train])
    t = transform.forward(work.y[split.train])
    members = choose(candidates, t, work.probe)
    predicted = mean_of(members, "tested")
    residuals = t - mean_of(members, "out_of_fold")
    ends = [intervals(predicted, radius(residuals, work.groups[split.train], level), transform) for level in LEVELS]
    return Tested(
        split.test,
        transform.inverse(predicted),
        tuple(f"{m.encoder} · {m.probe}" for m in members),
        np.array([low for low, _ in ends]),
        np.array([high for _, high in ends]),
    )


def taus(y: np.ndarray, tested: Sequence[Tested], scheme: Scheme, weights: np.ndarray) -> np.ndarray:
    """τ of the data, then of every resampling.

    Returns:
        With a resampled scheme (1 + splits,): the mean over the splits, then each split's. Otherwise (1 + r,): over
        all within-split pairs, then the same for each of the r weightings, (r, n), of the bootstrap.
    """
    if scheme.resampled:
        each = [kendall_tau(y[s.index], s.predicted) for s in tested]
        return np.array([np.mean(each), *each])
    folds = [(s.index, s.predicted) for s in tested]
    return np.concatenate([weighted_tau_b(y, folds), weighted_tau_b(y, folds, weights)])


def mean_metrics(y: np.ndarray, tested: Sequence[Tested], higher_is_better: bool) -> dict[str, float]:
    """Metrics averaged over the splits, each weighted by its test architectures; all but τ, which `taus` gives."""
    rows = [evaluate(y[s.index], s.predicted, higher_is_better) for s in tested]
    size = [len(s.index) for s in tested]
    return {name: float(np.average([row[name] for row in rows], weights=size)) for name in rows[0] if name != "tau"}


def calibration(y: np.ndarray, tested: Sequence[Tested]) -> list[dict[str, float]]:
    """Per level of the intervals: the share of test architectures inside, and the median width in the target's unit."""
    rows = []
    for i, level in enumerate(LEVELS):
        inside = [(s.low[i] <= y[s.index]) & (y[s.index] <= s.high[i]) for s in tested]
        width = np.concatenate([s.high[i] - s.low[i] for s in tested])
        rows.append(
            {"level": level, "coverage": float(np.concatenate(inside).mean()), "width": float(np.median(width))}
        )
    return rows


def mean_predictions(n: int, tested: Sequence[Tested]) -> np.ndarray:
    """(n,): every architecture's prediction averaged over the splits that tested it; NaN where none did."""
    total, count = np.zeros(n), np.zeros(n)
    for s in tested:
        total[s.index] += s.predicted
        count[s.index] += 1
    return np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
