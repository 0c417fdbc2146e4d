"""From devices that were measured to one that hardly was: latency of all architectures from a few on a new device.

A new device is taken for one more draw of the population of known devices. With log-latencies, centred per device, as
rows of a matrix over architectures, its first principal components are f_1 … f_K and a device is a vector of loadings
w. Loadings have the mean and the covariance of the known devices; a new device's few measurements, y = a + f w + noise
with an unknown level a, give the posterior of w in closed form (Bayesian linear regression: Bishop 2006, § 3.3). The
variance of the noise is the one that serves best when each known device in turn is held out as if it were new.

That is the idea of HELP (NeurIPS 2021, arXiv:2106.08630: meta-learning over devices, 10 samples, mean Spearman .932 on
NAS-Bench-201), without gradients: architectures enter by their latencies on the known devices only.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, spearmanr

from archrep.errors import ArchrepError
from archrep.probe.comparison import mean_interval

BATCH_SIZE = re.compile(r"_(1|2|4|8|16|32|64|128|256|512)$")  # behind a device's name; gold_6226 is a model
FACTORS = 6  # K: beyond, components are noise of single devices (0.5 % of the variance on NAS-Bench-201)
NOISE = (0.001, 0.003, 0.01, 0.03, 0.1)  # variance of log-latency that is tried
LEVEL = 4.0  # prior variance of a new device's mean log-latency, about the measured ones' mean
HELD_OUT = 3  # training sets per held-out device
CELLS = 2000  # architectures on which the noise is chosen, at most


@dataclass(frozen=True)
class Devices:
    """What the known devices say.

    Attributes:
        features: (n, 1 + K): ones, then the components, of variance 1.
        mean, covariance: prior of (level, loadings), (1 + K,) and (1 + K, 1 + K). noise: variance.
        logarithmic: whether the target is seen as its logarithm.
    """

    features: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    noise: float
    logarithmic: bool

    def predict(self, measured: Sequence[int] | np.ndarray, values: Sequence[float] | np.ndarray) -> np.ndarray:
        """(n,) the target of all architectures on a new device.

        Args:
            measured: positions (k,) of the architectures measured there. values: (k,) what was measured.

        Raises:
            ArchrepError: if nothing was measured, or values are not finite (or not positive, unlike those known).
        """
        values = np.asarray(values, dtype=np.float64)
        if len(values) == 0 or not np.isfinite(values).all() or (self.logarithmic and (values <= 0).any()):
            kind = "positive numbers" if self.logarithmic else "numbers"
            raise ArchrepError(f"Give at least one measurement on the new device, and only {kind}.")
        y = np.log(values) if self.logarithmic else values
        x = self.features[np.asarray(measured)]  # (k, 1 + K)
        gain = self.covariance @ x.T @ np.linalg.inv(x @ self.covariance @ x.T + self.noise * np.eye(len(y)))
        weights = self.mean + gain @ (y - y.mean() - x @ self.mean)
        predicted = y.mean() + self.features @ weights
        return np.exp(predicted) if self.logarithmic else predicted


def learn_devices(known: np.ndarray, train_size: int = 10, seed: int = 0) -> Devices:
    """Learns what devices are like.

    Args:
        known: (n, D) a target of n architectures on D ≥ 3 devices, finite.
        train_size: how many architectures will be measured on a new device. seed: of the held-out training sets.

    Raises:
        ArchrepError: for fewer devices or architectures, or values that are missing.
    """
    n, count = known.shape
    if count < 3 or n <= train_size:
        raise ArchrepError(
            f"Transfer learns from at least 3 known devices and more than {train_size} architectures; got {count} "
            f"and {n}."
        )
    if not np.isfinite(known).all():
        raise ArchrepError("Transfer needs every architecture measured on every known device; leave the others out.")
    logarithmic = bool((known > 0).all())
    rows = np.log(known) if logarithmic else known / known.std()
    noise = _noise(rows, train_size, seed)
    scale = 1.0 if logarithmic else float(known.std())
    prior = _prior(rows * scale)
    return Devices(*prior, noise * scale**2, logarithmic)


def _prior(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, mean and covariance as of `Devices`, from (n, D) rows."""
    centred = rows - rows.mean(axis=0)
    vectors, values, devices = np.linalg.svd(centred, full_matrices=False)
    k = min(FACTORS, rows.shape[1] - 1)
    features = np.concatenate([np.ones((len(rows), 1)), vectors[:, :k] * np.sqrt(len(rows))], axis=1)
    loadings = (values[:k, None] * devices[:k]).T / np.sqrt(len(rows))  # (D, K)
    covariance = np.zeros((k + 1, k + 1))
    covariance[0, 0] = LEVEL * max(1.0, float(centred.var()))
    covariance[1:, 1:] = np.atleast_2d(np.cov(loadings.T))
    return features, np.concatenate([[0.0], loadings.mean(axis=0)]), covariance


def _noise(rows: np.ndarray, train_size: int, seed: int) -> float:
    """The noise that ranks best, in the mean over known devices that are held out."""
    rng = np.random.default_rng(seed)
    rows = rows[rng.permutation(len(rows))[:CELLS]]
    scores = np.zeros(len(NOISE))
    for device in range(rows.shape[1]):
        prior = _prior(np.delete(rows, device, axis=1))
        for _ in range(HELD_OUT):
            measured = rng.choice(len(rows), train_size, replace=False)
            others = np.setdiff1d(np.arange(len(rows)), measured)
            for i, noise in enumerate(NOISE):
                predicted = Devices(*prior, noise, False).predict(measured, rows[measured, device])
                scores[i] += spearmanr(predicted[others], rows[others, device]).statistic
    return NOISE[int(np.nanargmax(scores))]


@dataclass(frozen=True)
class Transfer:
    """How well a device is predicted from others: one row per training set.

    Attributes:
        table: `device`, `resampling`, `spearman`, `kendall` on the architectures that were not measured.
        n: architectures. train_size: of them measured on the new device.
        excluded: reason → architectures left out.
    """

    table: pd.DataFrame
    n: int
    train_size: int
    excluded: dict[str, int]

    def summary(self) -> pd.DataFrame:
        """Per device, and at last `mean` over the devices: means over training sets, and Spearman's 95 % interval.

        The interval is Student's over the training sets; those of the mean are the same for all devices.
        """
        measures = ["spearman", "kendall"]
        by_draw = self.table.groupby("resampling", sort=False)[measures].mean().reset_index()
        rows = []
        for device, of in [*self.table.groupby("device", sort=False), ("mean", by_draw)]:
            low, high = mean_interval(of["spearman"].to_numpy())
            values = {name: float(of[name].mean()) for name in measures}
            rows.append({"device": str(device), **values, "low": low, "high": high})
        return pd.DataFrame(rows)


def evaluate_transfer(
    labels: pd.DataFrame,
    targets: Sequence[str],
    known: Sequence[str] | None = None,
    train_size: int = 10,
    resamplings: int = 20,
    seed: int = 0,
    connected: np.ndarray | None = None,
) -> Transfer:
    """Takes each target device for new and predicts it from the others.

    Args:
        labels: (n, …) label table with a column per device.
        targets: columns that are new, one after the other. known: columns that are known; default: all `targets`. The
            new device itself never is, whatever the batch size (`device_of`).
        train_size: architectures measured on the new device, drawn at random. resamplings: training sets.
        connected: (n,) False for architectures to leave out: cells without a path take no time.

    Raises:
        ArchrepError: for an unknown column, or fewer devices or architectures than `learn_devices` takes.
    """
    known = list(dict.fromkeys(known or targets))
    columns = list(dict.fromkeys([*known, *targets]))
    missing = [name for name in columns if name not in labels]
    if missing:
        raise ArchrepError(f"The label table has no column {', '.join(missing)}; it has {', '.join(map(str, labels))}.")
    table = labels[columns].to_numpy(dtype=np.float64)
    joined = np.ones(len(table), dtype=bool) if connected is None else np.asarray(connected, dtype=bool)
    finite = np.isfinite(table).all(axis=1)
    values = pd.DataFrame(table[joined & finite], columns=columns)
    excluded = {
        "cells whose output does not depend on their input": int((~joined).sum()),
        "architectures without a label on every device": int((joined & ~finite).sum()),
    }
    rows = []
    for target in targets:
        others = [name for name in known if device_of(name) != device_of(target)]
        devices = learn_devices(values[others].to_numpy(), train_size, seed)
        y = values[target].to_numpy()
        for resampling in range(resamplings):
            rng = np.random.default_rng([seed, resampling])
            measured = rng.choice(len(y), train_size, replace=False)
            rest = np.setdiff1d(np.arange(len(y)), measured)
            predicted = devices.predict(measured, y[measured])[rest]
            spearman, kendall = (float(f(predicted, y[rest]).statistic) for f in (spearmanr, kendalltau))
            rows.append({"device": target, "resampling": resampling, "spearman": spearman, "kendall": kendall})
    counted = {reason: count for reason, count in excluded.items() if count}
    return Transfer(pd.DataFrame(rows), len(values), train_size, counted)


def device_of(column: str) -> str:
    """The device of a latency column, without the batch size: `titan_rtx_256` → `titan_rtx`."""
    return BATCH_SIZE.sub("", column)


def devices_of(columns: dict[str, dict[str, str]]) -> list[str]:
    """The latency columns of a published table, from `labels.header["columns"]`."""
    return [name for name, facts in columns.items() if facts.get("meaning", "").startswith("latency")]
