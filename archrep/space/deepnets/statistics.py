"""What stores hold: how often which operation, how large, how many duplicates; beside what is published."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from archrep.space.deepnets.config import OPS
from archrep.space.deepnets.shard import HASH, HASH_BYTES
from archrep.space.deepnets.store import Store

# Nodes per graph of DeepNets-1M, mean and standard deviation (paper § 3).
PUBLISHED_NODES: dict[str, tuple[float, float]] = {
    "train": (192.3, 94.9),
    "val": (190.5, 94.4),
    "test": (185.5, 91.2),
    "wide": (178.6, 75.1),
    "deep": (391.2, 176.7),
    "dense": (355.1, 182.3),
    "bnfree": (135.1, 78.1),
}
# Shares of operations on the edges of accepted cells in the reference, lowest and highest, rounded (paper § 3).
REFERENCE_OPS: dict[str, dict[str, tuple[float, float]]] = {
    "normal": {
        **dict.fromkeys(OPS, (0.071, 0.076)),
        **dict.fromkeys(("none", "conv_5x5", "conv_7x7"), (0.05, 0.05)),
        "skip_connect": (0.064, 0.064),
        "cse": (0.056, 0.056),
    },
    "reduce": {
        **dict.fromkeys(OPS, (0.02, 0.04)),
        **dict.fromkeys(("max_pool_3x3", "avg_pool_3x3", "skip_connect"), (0.175, 0.175)),
        "none": (0.13, 0.13),
    },
}
# Parameters are counted at 32 channels and fc_dim 256: training draws both anew at every visit.
QUANTITIES: dict[str, str] = {
    "nodes": "nodes",
    "edges": "edges",
    "params": "params, C = 32",
    "params_imagenet": "… ImageNet stem",
    "flops": "FLOPs per image",
    "depth": "longest path",
    "path_length": "mean path length",
    "n_cells": "cells",
}
BINS = 24


def quantities(store: Store) -> dict[str, np.ndarray]:
    """Every one of `QUANTITIES` as (len(store),) numbers."""
    parts = [
        {
            "nodes": shard.nodes,
            "edges": np.diff(shard.columns["source.offsets"]),
            "params": shard.columns["params_c32"],
            "params_imagenet": shard.columns["params_c32_imagenet"],
            **{name: shard.columns[name] for name in ("flops", "depth", "path_length", "n_cells")},
        }
        for shard in store.shards()
    ]
    return {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in QUANTITIES}


def statistics(store: Store) -> dict[str, Any]:
    """Counts and distributions of a store, as plain numbers.

    Returns:
        `path`, `space`, `split`, `architectures`, `bytes`; per quantity n, mean, sd, least, most and a histogram;
        `ops`: frequency of every operation on the edges of the normal and the reduction cells; `shares` of
        architectures with attention, squeeze-excite, batch norm; `duplicates`: architectures whose graph, shapes
        ignored, an earlier one has; `published_nodes`: mean and standard deviation, None where there are none;
        `reference_ops`: see `REFERENCE_OPS`.
    """
    hashes = _hashes(store)
    return {
        "path": str(store.path),
        "space": store.space,
        "split": store.split,
        "architectures": len(store),
        "bytes": sum(path.stat().st_size for path in store.path.glob("*.arrow")),
        **{name: _distribution(values, name.startswith("params")) for name, values in quantities(store).items()},
        "ops": {cell: _frequencies(store, cell) for cell in ("normal", "reduce")},
        "shares": _shares(store),
        "duplicates": len(store) - len(np.unique(hashes)),
        "published_nodes": PUBLISHED_NODES.get(store.split) if store.space == "deepnets" else None,
        "reference_ops": REFERENCE_OPS if (store.space, store.split) == ("deepnets", "train") else None,
    }


def shared(stores: Sequence[Store]) -> list[dict[str, Any]]:
    """For every two stores: how many graphs of the first are, shapes ignored, among those of the second."""
    hashes = [_hashes(store) for store in stores]
    return [
        {"first": str(a.path), "second": str(b.path), "shared": int(np.isin(hashes[i], hashes[j]).sum())}
        for i, a in enumerate(stores)
        for j, b in enumerate(stores)
        if i < j
    ]


def _hashes(store: Store) -> np.ndarray:
    """(size,) graph hashes."""
    return np.concatenate([shard.columns[HASH].view(f"V{HASH_BYTES}") for shard in store.shards()])


def _distribution(values: np.ndarray, logarithmic: bool) -> dict[str, Any]:
    counts, edges = np.histogram(values, _bins(values, logarithmic))
    sd = values.std(ddof=1) if len(values) > 1 else 0.0
    figures = {"mean": values.mean(), "sd": sd, "min": values.min(), "max": values.max()}
    histogram = {"edges": edges.tolist(), "counts": counts.tolist()}
    return {**{name: float(value) for name, value in figures.items()}, "histogram": histogram}


def _bins(values: np.ndarray, logarithmic: bool) -> np.ndarray:
    """Edges of bins of equal width; one bin per number where there are few whole numbers."""
    least, most = values.min(), values.max()
    if most - least < BINS and (values % 1 == 0).all():
        return np.arange(least, most + 2) - 0.5
    if not logarithmic:
        return np.linspace(least, most, BINS + 1)
    edges = np.geomspace(least, most, BINS + 1)
    edges[[0, -1]] = least, most  # they are rounded
    return edges


def _frequencies(store: Store, cell: str) -> dict[str, float]:
    ops = np.concatenate([shard.columns[cell][::2] for shard in store.shards()])
    return {op: float(share) for op, share in zip(OPS, np.bincount(ops, minlength=len(OPS)) / len(ops), strict=True)}


def _shares(store: Store) -> dict[str, float]:
    """Shares of architectures, 0 … 1."""
    has = {"attention": 0, "squeeze_excite": 0, "batch_norm": 0}
    for shard in store.shards():
        for name, op in (("attention", "msa"), ("squeeze_excite", "cse")):
            in_cells = [_rows_with(shard.columns, cell, OPS.index(op)) for cell in ("normal", "reduce")]
            has[name] += len(np.union1d(*in_cells))
        has["batch_norm"] += int(shard.columns["norm"].sum())
    return {name: count / len(store) for name, count in has.items()}


def _rows_with(columns: dict[str, np.ndarray], cell: str, op: int) -> np.ndarray:
    """Rows whose cell has an operation."""
    offsets = columns[f"{cell}.offsets"] // 2
    return np.unique(np.searchsorted(offsets, np.flatnonzero(columns[cell][::2] == op), side="right") - 1)
