"""Probes: supervised models from an encoding (n, d) to a transformed target (n,).

Every probe chooses its hyper-parameters by the folds inside its training data and says what it predicts there out of
fold: from that, encoders and probes are chosen (select.py) and intervals are made (conformal.py). The folds' residuals
come after the hyper-parameters were chosen on them, and standardisation sees all folds: small optimism that stays
inside the training data.

A model that was read from a file is made again (`restored`): scikit-learn's compiled code trusts its own arrays, so
trees that lead out of theirs, or round in circles, would end the process or keep it busy for ever.
"""

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from sklearn.tree._tree import Tree

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
LARGEST_BOOSTED = 2000  # architectures that are boosted without sorting them into bins
COLUMNS = 1_000_000  # that a model read from a file may claim; encodings have hundreds
SETTINGS = (  # that differ between models of one kind; what else the constructor takes is as archrep sets it
    *("C", "alpha", "epsilon", "gamma", "learning_rate", "max_iter", "n_estimators", "n_neighbors", "random_state"),
)
LEARNED = {  # what predicting reads: attribute → its axes; d: columns, n: architectures, s: support vectors
    StandardScaler: {"mean_": "d", "scale_": "d", "var_": "d"},
    Ridge: {"coef_": "d", "intercept_": ""},
    SVR: {"support_": "s", "support_vectors_": "sd", "_n_support": "2"}
    | {"dual_coef_": "1s", "_dual_coef_": "1s", "intercept_": "1", "_intercept_": "1"},
    GaussianProcessRegressor: {"X_train_": "nd", "y_train_": "n", "L_": "nn", "alpha_": "n"},
    KNeighborsRegressor: {"_fit_X": "nd", "_y": "n"},
    DummyRegressor: {"constant_": "11"},
}


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
    if n > LARGEST_BOOSTED:
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


def stored(model: Any) -> Any:
    """What is saved of a model: all but a search tree, which `restored` makes again from its points."""
    if not isinstance(model, Pipeline) or not isinstance(model[-1], KNeighborsRegressor):
        return model
    name, neighbours = model.steps[-1]
    bare = copy(neighbours)
    bare._tree = None
    return Pipeline([*model.steps[:-1], (name, bare)])


def restored(model: Any) -> Any:
    """A model that was read from a file, made again: an estimator of archrep's own gets what the other has learned.

    Every array has the type and the shape that scikit-learn gives it, every number is finite, and the branches of trees
    lead onwards to nodes and columns that are there. What else the file says is not used.

    Raises:
        ValueError: for anything else.
        Exception: of any other kind where an attribute is missing, or is no array or number at all.
    """
    if type(model) is not Pipeline:
        return _restored(model, vars(model)["n_features_in_"])
    (_, scaler), (_, last) = vars(model)["steps"]
    if type(scaler) is not StandardScaler:
        raise ValueError(f"{type(scaler).__name__} where probes scale their columns")
    d = vars(scaler)["n_features_in_"]
    return make_pipeline(_restored(scaler, d), _restored(last, d))


def _restored(model: Any, d: int) -> Any:
    """An estimator, fitted on three made-up rows, with the settings, the arrays and the d columns of `model`."""
    if type(d) is not int or not 0 <= d <= COLUMNS:
        raise ValueError(f"{reprlib.repr(d)} columns; at most {COLUMNS:,} are read")
    given = vars(model)
    own = _like(model)
    rows, t = np.arange(3.0)[:, None], np.arange(3.0)
    if isinstance(own, HistGradientBoostingRegressor):
        _fill(own.set_params(max_iter=1).fit(rows, t), given, {"_baseline_prediction": "11"}, {"1": 1})
        own._predictors = [[_leading(own._predictors[0][0], tree, d)] for (tree,) in given["_predictors"]]
    elif isinstance(own, ExtraTreesRegressor | GradientBoostingRegressor):
        _grow(own.set_params(n_estimators=1).fit(rows, t), given, d)
    else:
        _fill(own.fit(rows, t), given, LEARNED[type(own)], {"d": d, "1": 1, "2": 2})
    _set(own, given)
    if isinstance(own, SVR):
        own._gamma = own.gamma
    elif isinstance(own, GaussianProcessRegressor):
        own.kernel_ = _kernel(given["kernel_"])
    elif isinstance(own, KNeighborsRegressor):
        own.fit(own._fit_X, own._y)
    own.n_features_in_ = d
    return own


def _like(model: Any) -> Any:
    """The estimator of the same kind that archrep fits, with any settings."""
    if type(model) is GaussianProcessRegressor:
        return GaussianProcessRegressor(_kernel(vars(model)["kernel"]), optimizer=None, alpha=1e-8)
    ours = (
        *(StandardScaler(), Ridge(), DummyRegressor(), _svr(3, 1, 0, 1.0, 1.0)[-1], _knn(3, 1, 0, 3)[-1]),
        *(_forest(3, 1, 0), _boosting(3, 1, 0), _boosting(LARGEST_BOOSTED + 1, 1, 0)),
    )
    for own in ours:
        if type(own) is type(model):
            return own
    raise ValueError(f"{type(model).__name__}, which is no model of a probe")


def _kernel(given: Any) -> Kernel:
    """The kernel that `gp.tune` makes, with the numbers of another one."""
    product, noise = vars(given)["k1"], vars(given)["k2"]
    amplitude, matern = vars(product)["k1"], vars(product)["k2"]
    wanted = ((amplitude, "constant_value"), (matern, "length_scale"), (noise, "noise_level"))
    a, length, n = (float(vars(kernel)[name]) for kernel, name in wanted)
    if not all(0 < number < math.inf for number in (a, length, n)):
        raise ValueError(f"a kernel of {a:g}, {length:g} and {n:g}, which are not all positive and finite")
    return ConstantKernel(a) * Matern(length, nu=1.5) + WhiteKernel(n)


def _set(own: Any, given: Mapping[str, Any]) -> None:
    """Takes over the numbers among `SETTINGS`; all other settings must be equal."""
    for name, value in own.get_params(deep=False).items():
        got = given[name]
        if name in SETTINGS and type(value) in (int, float) and isinstance(got, int | float | np.number):
            if not math.isfinite(got):
                raise ValueError(f"{name} is {got}")
            own.set_params(**{name: type(value)(got)})
        elif type(got) is not type(value) or got != value:
            raise ValueError(f"{type(own).__name__} with {name} = {reprlib.repr(got)}; archrep sets {value!r}")


def _fill(own: Any, given: Mapping[str, Any], learned: Mapping[str, str], sizes: dict[str, int]) -> None:
    """Takes over arrays; letters of their axes that `sizes` does not know yet get a size where they are first met."""
    for name, axes in learned.items():
        got, dtype = given[name], np.asarray(getattr(own, name)).dtype
        if type(got) not in (np.ndarray, np.float64) or got.dtype != dtype or got.ndim != len(axes):
            raise ValueError(f"{name} is no array of {dtype} with {len(axes)} axes")
        expected = tuple(sizes.setdefault(axis, size) for axis, size in zip(axes, got.shape, strict=True))
        if got.shape != expected:
            raise ValueError(f"{name} has the shape {got.shape} instead of {expected}")
        if not np.isfinite(got).all():
            raise ValueError(f"{name} holds NaN or infinite numbers")
        setattr(own, name, got)


def _grow(own: Any, given: Mapping[str, Any], d: int) -> None:
    """Takes over the trees of a forest or of boosting; one or more."""
    shell = np.ravel(own.estimators_)[0]
    shell.n_features_in_ = d
    if isinstance(own, GradientBoostingRegressor):
        _fill(own.init_, vars(given["init_"]), LEARNED[DummyRegressor], {"1": 1})
        own.estimators_ = np.array([[_leading(shell, tree, d)] for (tree,) in given["estimators_"]], dtype=object)
    else:
        own.estimators_ = [_leading(shell, tree, d) for tree in given["estimators_"]]
    if not len(own.estimators_):
        raise ValueError("no trees")


def _leading(shell: Any, given: Any, d: int) -> Any:
    """A copy of `shell` with the nodes of another tree, whose branches lead onwards, to nodes and columns there are."""
    new = copy(shell)
    if "nodes" in vars(shell):  # of a HistGradientBoostingRegressor
        new.nodes = nodes = vars(given)["nodes"]
        if type(nodes) is not np.ndarray or nodes.dtype != PREDICTOR_RECORD_DTYPE or nodes.ndim != 1:
            raise ValueError("a tree of other nodes")
        if nodes["is_categorical"].any():
            raise ValueError("a tree that asks for categories")
        inner, branches, feature = nodes["is_leaf"] == 0, (nodes["left"], nodes["right"]), nodes["feature_idx"]
        numbers = (nodes["value"], nodes["num_threshold"])
    else:
        new.tree_ = tree = vars(given)["tree_"]
        if type(tree) is not Tree or (tree.n_features, tree.n_outputs, tree.max_n_classes) != (d, 1, 1):
            raise ValueError("a tree of other nodes")
        if tree.capacity != tree.node_count:  # its branches could lead to nodes that are not looked at here
            raise ValueError(f"a tree of {tree.capacity:,} nodes that says {tree.node_count:,}")
        inner, branches, feature = tree.children_left != -1, (tree.children_left, tree.children_right), tree.feature
        numbers = (tree.value, tree.threshold)
    here, used = np.flatnonzero(inner), feature[inner]
    if not len(inner) or not all(((here < to[inner]) & (to[inner] < len(inner))).all() for to in branches):
        raise ValueError("a tree whose branches lead out of it, or back")
    if not ((used >= 0) & (used < d)).all():
        raise ValueError(f"a tree that asks for other columns than the {d} there are")
    if not all(np.isfinite(number).all() for number in numbers):
        raise ValueError("a tree with NaN or infinite numbers")
    return new


__all__ = ["AUTO", "PROBES", "Fitted", "fit_probe", "restored", "stored"]
