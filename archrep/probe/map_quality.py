"""How far a 2-D map can be trusted: faithful to the embedding, stable over seeds, more than a map of sizes."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.spatial import procrustes
from scipy.spatial.distance import cdist

from archrep.errors import ArchrepError
from archrep.probe.pairs import bootstrap_weights, interval, weighted_tau_b
from archrep.probe.similarity import neighbor_overlap

NEIGHBORS = 15
REPETITIONS = 500  # of the bootstrap


def map_quality(values: np.ndarray, maps: Mapping[int, np.ndarray], k: int = NEIGHBORS) -> pd.DataFrame:
    """How maps of several seeds agree with the embedding, and with each other.

    Args:
        values: (n, d) what is mapped, standardised as for the map. maps: seed → (n, 2). k: neighbours that count.

    Returns:
        One row per seed: `trustworthiness` (Venna & Kaski 2001: 1 if nobody is near in the map who is far in the
        embedding; a random map has about 0.5), `neighbors_kept` (mean share of the k nearest in the embedding that are
        so in the map), and against the other seeds their means of `neighbors_shared` and of `disparity` (Procrustes:
        0 if they differ by rotation, reflection and scale, 1 if they have nothing in common). NaN for one seed.

    Raises:
        ArchrepError: for fewer than 2·k + 2 architectures.
    """
    from sklearn.manifold import trustworthiness

    if len(values) < 2 * k + 2:
        raise ArchrepError(f"Quality over {k} neighbours needs at least {2 * k + 2} architectures; got {len(values)}.")
    shared: dict[int, list[float]] = {seed: [] for seed in maps}
    disparity: dict[int, list[float]] = {seed: [] for seed in maps}
    for a, b in combinations(maps, 2):
        for seed in (a, b):
            shared[seed].append(neighbor_overlap(maps[a], maps[b], k))
            disparity[seed].append(float(procrustes(maps[a], maps[b])[2]))
    rows = [
        {
            "seed": seed,
            "trustworthiness": float(trustworthiness(values, xy, n_neighbors=k)),
            "neighbors_kept": neighbor_overlap(values, xy, k),
            "neighbors_shared": float(np.mean(shared[seed])) if shared[seed] else float("nan"),
            "disparity": float(np.mean(disparity[seed])) if disparity[seed] else float("nan"),
        }
        for seed, xy in maps.items()
    ]
    return pd.DataFrame(rows)


def told_by_neighbors(
    places: Mapping[str, np.ndarray], columns: pd.DataFrame, groups: np.ndarray, k: int = NEIGHBORS, seed: int = 0
) -> pd.DataFrame:
    """What the neighbours of an architecture tell of it: Kendall's τ of every column with its mean over neighbours.

    The control of a coloured map: a map that shows accuracy must tell it better than a map of sizes does.

    Args:
        places: name → (n, d) where architectures lie. columns: (n, …) finite numbers.
        groups: (n,) architectures of the same group are not taken for neighbours, see `archrep.probe.groups`.
        seed: of the bootstrap over groups.

    Returns:
        Columns `encoder` (the place), `target` (the column), `tau`, `tau_low`, `tau_high` (95 %), `n`.
    """
    weights = bootstrap_weights(groups, REPETITIONS, seed)
    everyone = np.arange(len(columns))
    rows = []
    for place, x in places.items():
        distance = cdist(x, x)
        distance[groups[:, None] == groups] = np.inf
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :k]
        for name in columns:
            y = columns[name].to_numpy(dtype=float)
            folds = [(everyone, y[nearest].mean(axis=1))]
            low, high = interval(weighted_tau_b(y, folds, weights))
            tau = float(weighted_tau_b(y, folds)[0])
            rows.append({"encoder": place, "target": name, "tau": tau, "tau_low": low, "tau_high": high, "n": len(y)})
    return pd.DataFrame(rows)
