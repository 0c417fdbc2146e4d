"""Choosing encoder and probe inside the training labels, by Kendall's τ of out-of-fold predictions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archrep.errors import ArchrepError, unknown
from archrep.probe.models import AUTO, LARGEST, PROBES, fit_probe
from archrep.probe.pairs import kendall_tau
from archrep.probe.splits import inner_folds

CHOICES = ("auto", "ensemble", *PROBES)
MEMBERS = 4  # at most so many are averaged
GAIN = 0.002  # of τ inside the training labels, for a further member


@dataclass(frozen=True)
class Candidate:
    """One probe on one encoder, fitted on the training labels.

    Attributes:
        out_of_fold: (n,) predictions of the transformed training labels, each without its fold.
        tau: Kendall's τ of those.
        model: the fitted estimator, where it is kept. tested: (m,) its predictions of test architectures, likewise.
    """

    encoder: str
    probe: str
    out_of_fold: np.ndarray
    tau: float
    model: Any = None
    tested: np.ndarray | None = None


def probes_of(choice: str, n: int) -> tuple[str, ...]:
    """The probes to fit for a choice of `--probe` on n training labels.

    Raises:
        ArchrepError: for an unknown choice.
    """
    if choice in PROBES:
        return (choice,)
    if choice not in CHOICES:
        raise unknown("probe", choice, CHOICES)
    return tuple(name for name in AUTO if name != "svr" or n <= LARGEST["svr"])


def fit_candidates(
    encoder: str, x: np.ndarray, t: np.ndarray, folds: Sequence[np.ndarray], probes: Iterable[str], seed: int
) -> list[Candidate]:
    """Fits probes on one encoding, (n, d), of transformed labels (n,)."""
    candidates = []
    for name in probes if x.shape[1] else ["mean"]:
        fitted = fit_probe(name, x, t, folds, seed)
        tau = kendall_tau(t, fitted.out_of_fold) if x.shape[1] else -1.0
        candidates.append(Candidate(encoder, name, fitted.out_of_fold, tau, fitted.model))
    return candidates


def choose(candidates: Sequence[Candidate], t: np.ndarray, choice: str = "auto") -> list[Candidate]:
    """The candidates whose average is used, best first.

    Args:
        choice: `auto` starts from the best by τ and adds others while the average's τ rises by `GAIN`; `ensemble`
            averages the best three whatever it brings; the name of a probe takes the best alone.

    Raises:
        ArchrepError: if there are no candidates.
    """
    if not candidates:
        raise ArchrepError("No encoder is left to choose from; name one with --encoders.")
    ranked = sorted(candidates, key=lambda c: -c.tau)
    if choice == "ensemble":
        return ranked[:3]
    chosen = ranked[:1]
    if choice != "auto":
        return chosen
    best = chosen[0].tau
    for candidate in ranked[1 : 4 * MEMBERS]:
        if len(chosen) == MEMBERS:
            break
        tau = kendall_tau(t, mean_of([*chosen, candidate], "out_of_fold"))
        if tau > best + GAIN:
            chosen, best = [*chosen, candidate], tau
    return chosen


def mean_of(members: Sequence[Candidate], what: str) -> np.ndarray:
    """The members' averaged `out_of_fold` or `tested` predictions."""
    return np.mean([getattr(m, what) for m in members], axis=0)


def select(
    encodings: Mapping[str, np.ndarray], t: np.ndarray, groups: np.ndarray, seed: int = 0, choice: str = "auto"
) -> list[Candidate]:
    """Fits every probe that `choice` allows on every encoding and chooses among them.

    Args:
        encodings: spec → (n, d) of the training architectures. t: (n,) transformed labels. groups: (n,).

    Raises:
        ArchrepError: for an unknown probe, or training data that are one group.
    """
    folds = inner_folds(groups, seed)
    probes = probes_of(choice, len(t))
    fitted = [c for spec, x in encodings.items() for c in fit_candidates(spec, x, t, folds, probes, seed)]
    return choose(fitted, t, choice)
