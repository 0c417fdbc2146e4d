"""Probes: supervised models from an encoding (n, d) to a transformed target (n,).

Every probe chooses its hyper-parameters by the folds inside its training data and says what it predicts there out of
fold: from that, encoders and probes are chosen (select.py) and intervals are made (conformal.py). The folds' residuals
come after the hyper-parameters were chosen on them, and standardisation sees all folds: small optimism that stays
inside the training data.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from archrep.errors import ArchrepError
from archrep.probe.gp import fit_gp, gp_out_of_fold, tune

ALPHAS = 10.0 ** np.arange(-2, 4.5, 0.5)
SVR_GRID = [{"C": c, "gamma": g} for c in (1.0, 10.0) for g in (0.3, 1.0)]  # gamma in 1 / d
SVR_WIDE = [  # of the protocol ppuda
    {"C": c, "gamma": gamma, "epsilon": epsilon}
    for c in (0.1, 1.0, 10.0, 100.0)
    for gamma in (0.1, 1.0, 10.0)
    for epsilon in (0.01, 0.1, 0.3)
]
NEIGHBOURS = (1, 3, 5, 10, 20)
LARGEST = {"gp": 3000, "svr": 5000, "svr-wide": 2000}  # architectures to train on; more would take minutes per fit


@dataclass(frozen=True)
class Fitted:
    """A fitted probe.

    Attributes:
        model: a scikit-learn estimator from (n, d) to the transformed target.
        out_of_fold: (n,) predictions of the training data, each without the fold it is in.
        settings: the chosen hyper-parameters.
    """

    model: Any
    out_of_fold: np.ndarray
    settings: dict = field(default_factory=dict)


Fit = Callable[[np.ndarray, np.ndarray, Sequence[np.ndarray], int], Fitted]  # (x, t, folds, seed)


def fit_ridge(x: np.ndarray, t: np.ndarray, folds: Sequence[np.ndarray], seed: int) -> Fitted:
    """Ridge regression; α by the squared error over the folds, which a singular value decomposition gives at once.

    With H the hat matrix and F a fold, the fold's residual is (I - H_FF)⁻¹ (t - H t)_F. H is R Rᵀ with a column for
    every singular value and one for the intercept, so that (I - R Rᵀ)⁻¹ = I + R (I - Rᵀ R)⁻¹ Rᵀ (Woodbury) needs no
    matrix of the fold's size.
    """
    z = StandardScaler().fit_transform(x)
    u, s, _ = np.linalg.svd(z, full_matrices=False)  # (n, r), (r,)
    centred = t - t.mean()
    u = np.concatenate([u, np.full((len(t), 1), len(t) ** -0.5)], axis=1)
    crossed = [u[f].T @ u[f] for f in folds]  # (r + 1, r + 1) each
    best: tuple[float, float, np.ndarray] | None = None
    for alpha in ALPHAS:
        shrink = np.append(s**2 / (s**2 + alpha), 1.0)
        residual = centred - u @ (shrink * (u.T @ centred))
        root = np.sqrt(shrink)
        out = np.empty(len(t))
        for f, inner in zip(folds, crossed, strict=True):
            left = np.eye(len(root)) - root[:, None] * inner * root
            out[f] = residual[f] + u[f] @ (root * np.linalg.solve(left, root * (u[f].T @ residual[f])))
        error = float((out**2).mean())
        if best is None or error < best[0]:
            best = (error, float(alpha), out)
    assert best is not None
    _, alpha, out = best
    return Fitted(make_pipeline(StandardScaler(), Ridge(alpha)).fit(x, t), t - out, {"alpha": alpha})


def fit_gp_probe(x: np.ndarray, t: np.ndarray, folds: Sequence[np.ndarray], seed: int) -> Fitted:
    """Gaussian process with prior mean 0; its kernel by the marginal likelihood of the training data (see gp.py).

    Of more than `LARGEST` architectures it learns from so many, drawn at random; the others are predicted from them.
    """
    used = np.sort(np.random.default_rng(seed).permutation(len(t))[: LARGEST["gp"]])
    rest = np.setdiff1d(np.arange(len(t)), used)
    place = np.full(len(t), -1)
    place[used] = np.arange(len(used))
    inside = [kept for fold in folds if len(kept := place[fold][place[fold] >= 0])]
    scale = StandardScaler().fit(x[used])
    z = scale.transform(x[used])
    kernel = tune(z, t[used], seed)
    process = fit_gp(z, t[used], kernel)
    model = make_pipeline(scale, process)
    out = np.empty(len(t))
    out[used] = gp_out_of_fold(process, t[used], inside)
    if len(rest):
        out[rest] = model.predict(x[rest])
    return Fitted(model, out, {"kernel": str(kernel)})


def _search(grid: Iterable[dict], make: Callable[..., Any]) -> Fit:
    """A probe whose settings are those of the grid with the least squared error over the folds."""

    def fit(x: np.ndarray, t: np.ndarray, folds: Sequence[np.ndarray], seed: int) -> Fitted:
        best: tuple[float, dict, np.ndarray] | None = None
        for settings in grid:
            out = np.empty(len(t))
            for f in folds:
                train = np.setdiff1d(np.arange(len(t)), f)
                out[f] = make(len(train), x.shape[1], seed, **settings).fit(x[train], t[train]).predict(x[f])
            error = float(((out - t) ** 2).mean())
            if best is None or error < best[0]:
                best = (error, settings, out)
        assert best is not None
        _, settings, out = best
        return Fitted(make(*x.shape, seed, **settings).fit(x, t), out, settings)

    return fit


def _svr(n: int, d: int, seed: int, C: float, gamma: float, epsilon: float = 0.1):  # noqa: N803 - scikit-learn's name
    return make_pipeline(StandardScaler(), SVR(C=C, gamma=gamma / d, epsilon=epsilon))


def _knn(n: int, d: int, seed: int, k: int):
    return make_pipeline(StandardScaler(), KNeighborsRegressor(min(k, n), weights="distance"))


def _boosting(n: int, d: int, seed: int):
    if n > 2000:
        return HistGradientBoostingRegressor(
            max_iter=200, learning_rate=0.07, max_leaf_nodes=15, max_features=0.3, random_state=seed
        )
    return GradientBoostingRegressor(
        n_estimators=150, learning_rate=0.07, max_depth=4, subsample=0.7, max_features=0.3, random_state=seed
    )


def _forest(n: int, d: int, seed: int):
    return ExtraTreesRegressor(150, max_features=0.4, min_samples_leaf=2, random_state=seed)


def fit_mean(x: np.ndarray, t: np.ndarray, folds: Sequence[np.ndarray], seed: int) -> Fitted:
    """The mean predictor, which orders nothing."""
    return Fitted(DummyRegressor().fit(x, t), np.full(len(t), t.mean()))


PROBES: dict[str, Fit] = {
    "ridge": fit_ridge,
    "svr": _search(SVR_GRID, _svr),
    "svr-wide": _search(SVR_WIDE, _svr),
    "gp": fit_gp_probe,
    "boosting": _search([{}], _boosting),
    "forest": _search([{}], _forest),
    "knn": _search([{"k": k} for k in NEIGHBOURS], _knn),
}
AUTO = ("ridge", "svr", "gp")  # what `auto` and `ensemble` choose from: fast, and at least as good as the others


def fit_probe(name: str, x: np.ndarray, t: np.ndarray, folds: Sequence[np.ndarray], seed: int) -> Fitted:
    """Fits one probe by name; an encoding without columns gives the mean predictor.

    Args:
        x: (n, d), finite. t: (n,), transformed target. folds: positions, each once.

    Raises:
        ArchrepError: for more training data than this probe can take.
    """
    if x.shape[1] == 0:
        return fit_mean(x, t, folds, seed)
    if name != "gp" and len(x) > LARGEST.get(name, len(x)):
        raise ArchrepError(
            f"The probe {name!r} takes at most {LARGEST[name]:,} training architectures, got {len(x):,}. "
            "Choose --probe boosting or ridge, or a --train-size."
        )
    return PROBES[name](x, t, folds, seed)


__all__ = ["AUTO", "PROBES", "Fitted", "fit_probe"]
