"""Probes: supervised models from an encoding to a target, evaluated by nested, grouped cross-validation.

Hyper-parameters are chosen inside the training folds. Architectures with the same graph (shapes ignored)
never stand on both sides of a split.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from archrep.errors import ArchrepError

FOLDS = 5
GRID = [
    {"regressor__model": [Ridge()], "regressor__model__alpha": [1.0, 10.0, 100.0]},
    {"regressor__model": [SVR(epsilon=0.1)], "regressor__model__C": [1.0, 10.0]},
]


@dataclass(frozen=True)
class Predictions:
    """Out-of-fold predictions (repeats, n) and, per repeat, the test folds."""

    values: np.ndarray
    folds: list[list[np.ndarray]]

    @property
    def mean(self) -> np.ndarray:
        """(n,): averaged over repeats."""
        return self.values.mean(axis=0)


def make_folds(groups: np.ndarray, repeats: int, seed: int) -> list[list[np.ndarray]]:
    """Test folds of every repeat; a group is never divided.

    Raises:
        ArchrepError: if there are fewer groups than folds need.
    """
    distinct = len(np.unique(groups))
    if distinct < 4 * FOLDS:
        raise ArchrepError(
            f"{distinct} different architectures have labels and embeddings; "
            f"a probe needs at least {4 * FOLDS}. Measure more."
        )
    splitters = [GroupKFold(FOLDS, shuffle=True, random_state=seed + r) for r in range(repeats)]
    return [[test for _, test in s.split(groups, groups=groups)] for s in splitters]


def cross_validate(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray, folds: list[list[np.ndarray]], seed: int
) -> Predictions:
    """Predicts every architecture from models that have not seen its group.

    Args:
        x: (n, d) encoding; d = 0 gives the mean predictor. y: (n,) target.
    """
    values = np.empty((len(folds), len(y)))
    for repeat, tests in enumerate(folds):
        for test in tests:
            train = np.setdiff1d(np.arange(len(y)), test)
            values[repeat, test] = fit(x[train], y[train], groups[train], seed).predict(x[test])
    return Predictions(values, folds)


def fit(x: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int):
    """Fits ridge or SVR, whichever predicts best inside the given data, on standardised encodings and targets."""
    if x.shape[1] == 0:
        return DummyRegressor().fit(x, y)
    pipeline = Pipeline([("scale", StandardScaler()), ("model", Ridge())])
    model = TransformedTargetRegressor(pipeline, transformer=StandardScaler())
    inner = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    search = GridSearchCV(model, GRID, cv=inner, scoring="neg_mean_squared_error")
    return search.fit(x, y, groups=groups).best_estimator_
