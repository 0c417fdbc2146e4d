"""The probe report: every encoder on the same folds, with intervals and paired differences."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from archrep.data.embeddings import Embeddings
from archrep.data.labels import Labels
from archrep.data.targets import Target
from archrep.errors import ArchrepError, first_line
from archrep.ghn import GHNConfig
from archrep.probe import encoders
from archrep.probe.pairs import bootstrap_weights, interval, weighted_tau_b
from archrep.probe.probe import Predictions, cross_validate, fit, make_folds
from archrep.space import architectures

GHN_EMBEDDING = "GHN embedding"
BOOTSTRAP = 2000


@dataclass(frozen=True)
class Score:
    """Kendall τ of one encoder, its 95 % interval, and its distance behind the GHN embedding, paired."""

    encoder: str
    dimensions: int
    tau: float
    tau_low: float
    tau_high: float
    r2: float
    delta: float
    delta_low: float
    delta_high: float


@dataclass(frozen=True)
class Report:
    """Scores of all encoders, the GHN embedding's out-of-fold predictions, and the probe fitted on all data."""

    target: Target
    scores: list[Score]
    table: pd.DataFrame  # arch, measured, predicted
    probe: object
    excluded: dict[str, int]  # reason → architectures left out
    facts: dict[str, object]


def run_probe(embeddings: Embeddings, labels: Labels, target_name: str, seed: int = 0, repeats: int = 5) -> Report:
    """Probes a target from the embeddings and from the baselines, on the same grouped folds.

    Raises:
        ArchrepError: unknown target; labels that match no embedding; too few, or constant, labels.
    """
    target = labels.target(target_name)
    archs, x, y, excluded = _join(embeddings, labels, target_name)
    chosen = list(architectures(*archs))
    if [a.id for a in chosen] != archs:
        odd = next(name for name in archs if name not in {a.id for a in chosen})
        raise ArchrepError(
            f"{labels.path}: {odd!r} is not the canonical name of one architecture (see `archrep embed`)."
        )
    graphs = [a.graph for a in chosen]
    groups = np.array([g.hash(shapes=False) for g in graphs])
    folds = make_folds(groups, repeats, seed)
    try:
        config = GHNConfig(**embeddings.header.get("ghn", {}))
    except TypeError as error:
        raise ArchrepError(
            f"The embedding table's GHN configuration is of another version ({first_line(error)})."
        ) from error
    encodings = {
        GHN_EMBEDDING: x,
        "untrained GHN": encoders.untrained_ghn(graphs, config, seed),
        "op counts": encoders.op_counts(graphs),
        "params + FLOPs": encoders.params_and_flops(chosen, labels.table.loc[archs]),
        "mean predictor": np.empty((len(y), 0)),
    }
    predictions = {name: cross_validate(e, y, groups, folds, seed) for name, e in encodings.items()}
    weights = np.concatenate([np.ones((1, len(y)), dtype=int), bootstrap_weights(groups, BOOTSTRAP, seed)])
    taus = {name: _taus(y, p, weights) for name, p in predictions.items()}
    scores = [
        _score(name, encodings[name].shape[1], taus[name], taus[GHN_EMBEDDING], y, predictions[name])
        for name in encodings
    ]
    table = pd.DataFrame({"arch": archs, "measured": y, "predicted": predictions[GHN_EMBEDDING].mean})
    facts = {
        "n": len(y),
        "groups": len(np.unique(groups)),
        "folds": len(folds[0]),
        "repeats": repeats,
        "bootstrap": BOOTSTRAP,
        "seed": seed,
        "split": "grouped by graph hash without shapes",
    }
    return Report(target, scores, table, fit(x, y, groups, seed), excluded, facts)


def _join(
    embeddings: Embeddings, labels: Labels, target: str
) -> tuple[list[str], np.ndarray, np.ndarray, dict[str, int]]:
    """Architectures with both an embedding and a finite label."""
    known = [a for a in embeddings.table.index if a in labels.table.index]
    if not known:
        raise ArchrepError(
            f"{labels.path}: none of its {len(labels.table)} architectures has an embedding "
            f"(labels: {labels.table.index[0]}, …; embeddings: {embeddings.table.index[0]}, …). Embed them first."
        )
    y = labels.table.loc[known, target].to_numpy(dtype=float)
    finite = np.isfinite(y)
    archs = [a for a, keep in zip(known, finite, strict=True) if keep]
    rows = embeddings.table.index.get_indexer(pd.Index(archs))
    y = y[finite]
    if len(y) == 0 or np.ptp(y) == 0:
        raise ArchrepError(
            f"{labels.path}: target {target!r} is {'missing' if len(y) == 0 else 'constant'}; there is nothing to rank."
        )
    excluded = {
        "labels without embedding": len(labels.table) - len(known),
        "embeddings without label": len(embeddings.table) - len(known),
        "labels that are not finite": int((~finite).sum()),
    }
    return archs, embeddings.values[rows].astype(np.float64), y, excluded


def _taus(y: np.ndarray, predictions: Predictions, weights: np.ndarray) -> np.ndarray:
    pairs = [
        (fold, values[fold])
        for values, folds in zip(predictions.values, predictions.folds, strict=True)
        for fold in folds
    ]
    return weighted_tau_b(y, pairs, weights)


def _score(
    name: str, dimensions: int, taus: np.ndarray, reference: np.ndarray, y: np.ndarray, predictions: Predictions
) -> Score:
    """The first τ is that of the data itself, the others of its bootstrap; R² is the mean over repeats."""
    residual = ((y - predictions.values) ** 2).sum(axis=1)  # (repeats,)
    r2 = 1 - float(residual.mean() / ((y - y.mean()) ** 2).sum())
    difference = taus - reference
    return Score(
        name, dimensions, float(taus[0]), *interval(taus[1:]), r2, float(difference[0]), *interval(difference[1:])
    )
