"""Ranking a pool, of up to millions, by what fitted probes predict; several targets give a Pareto front."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pandas as pd

from archrep.data.embeddings import Embeddings
from archrep.data.labels import Labels
from archrep.data.targets import TARGETS, Target
from archrep.errors import ArchrepError
from archrep.probe.cells import CELL_SPACES, has_cell, has_graph
from archrep.probe.encoders import Context, encode, needs_graph
from archrep.probe.evaluation import Work
from archrep.probe.report import TRANSFORM
from archrep.probe.saved import FittedProbe, fit_final
from archrep.probe.task import Task, make_task
from archrep.space import Architecture

LEAST = 4  # functional classes with labels that a ranking is learned from
CHUNK = 1024  # architectures whose encodings are in memory at once …
ROWS = 20_000  # … and rows of an embedding table
CELL_ENCODERS = ("graph-features", "one-hot")
ENCODERS = ("ghn", "graph-features", "op-counts")
MIXED_ENCODERS = ("ghn", "graph-features:network", "op-counts")
EMBEDDED = "ghn"  # what an embedding table says
COUNTED = ("params", "flops")  # targets that are counted, not predicted, where labels have no such column


@dataclass
class Ranking:
    """Predictions of a pool, in its order.

    Attributes:
        names: (n,) specs. values: target → (n, 3): prediction and the ends of its interval, in the target's unit.
        refused: reason → how many architectures of the pool have no prediction.
    """

    targets: list[Target]
    names: np.ndarray
    values: dict[str, np.ndarray]
    refused: Counter = field(default_factory=Counter)

    def table(self, top: int | None = None) -> pd.DataFrame:
        """Best first by the first target: `arch`, `rank`, `predicted`, `low`, `high`, then `NAME`, `NAME_low`, … .

        Equal predictions share the best of their ranks and come in the order of their names.

        Args:
            top: so many rows.
        """
        first = self.targets[0]
        goodness = _goodness(first, self.values[first.name][:, 0])
        rank = pd.Series(-goodness).rank(method="min").to_numpy().astype(int)
        chosen = np.flatnonzero(rank <= top) if top else np.arange(len(rank))
        order = chosen[np.lexsort((self.names[chosen].astype(str), rank[chosen]))][:top]
        columns = {"arch": self.names[order], "rank": rank[order]}
        for target in self.targets:
            names = ("predicted", "low", "high") if target is first else column_names(target)
            columns |= dict(zip(names, self.values[target.name][order].T, strict=True))
        if len(self.targets) > 1:
            columns["pareto"] = self.front()[order]
        return pd.DataFrame(columns)

    def front(self) -> np.ndarray:
        """(n,) bool: no other architecture is predicted to be at least as good in all targets and better in one."""
        return pareto(np.stack([_goodness(t, self.values[t.name][:, 0]) for t in self.targets], axis=1))


def column_names(target: Target) -> tuple[str, str, str]:
    """Of the prediction and the ends of its interval, in tables with several targets."""
    return target.name, f"{target.name}_low", f"{target.name}_high"


def _goodness(target: Target, predicted: np.ndarray) -> np.ndarray:
    """(n,) more is better, to ten digits of the largest: the same encoding in another chunk differs in the last one."""
    scale = np.abs(predicted).max() or 1.0
    return np.round(predicted / scale, 10) * (1 if target.higher_is_better else -1)


def pareto(goodness: np.ndarray) -> np.ndarray:
    """(n,) bool: which rows of (n, m), more being better, no other row dominates; equal rows stand together."""
    rows, inverse = np.unique(goodness, axis=0, return_inverse=True)
    rows = rows[::-1]  # by falling first column, then second …: a row is dominated by earlier ones only
    if rows.shape[1] == 2:
        before = np.concatenate([[-np.inf], np.maximum.accumulate(rows[:-1, 1])])
        kept = rows[:, 1] > before
    else:
        kept = np.zeros(len(rows), dtype=bool)
        front = np.empty((0, rows.shape[1]))
        for i, row in enumerate(rows):
            if not (front >= row).all(axis=1).any():
                kept[i] = True
                front = np.vstack([front, row])
    return kept[::-1][inverse.ravel()]


def fit_targets(
    labels: Labels,
    names: Sequence[str],
    spaces: Iterable[str],
    specs: Sequence[str],
    context: Context,
    embeddings: Embeddings | None = None,
    choice: str = "auto",
    seed: int = 0,
) -> tuple[dict[str, FittedProbe | None], list[str]]:
    """A probe per target; encoder and probe are chosen inside the labels. None for a target that is counted.

    Args:
        names: targets. spaces: of the pool.
        specs: encoders to choose from; none for the usual ones of the pool's space.
        choice: of the probe, see `archrep.probe.select`.

    Returns:
        The probes, and notes on labels that were left out.

    Raises:
        ArchrepError: for an unknown target, or too few labels to learn from.
    """
    kinds = {space.removesuffix("-cell") if space in CELL_SPACES else "" for space in spaces}
    mixed = len(kinds) > 1
    cells = "" if mixed else kinds.pop()
    default: tuple[str, ...] = MIXED_ENCODERS if mixed else CELL_ENCODERS if cells else ENCODERS
    if embeddings is not None and not specs:
        default = (EMBEDDED,)
    kept, notes = (labels, list[str]()) if mixed else _comparable(labels, cells)
    probes: dict[str, FittedProbe | None] = {}
    for name in names:
        if name in COUNTED and name not in labels.table:
            probes[name] = None
            continue
        task = make_task(kept, name, list(specs or default), context, embeddings)
        notes += [f"{name}: {count:,} {reason}" for reason, count in task.excluded.items()]
        probes[name] = _fit(task, choice, seed)
    return probes, list(dict.fromkeys(notes))


def _comparable(labels: Labels, cells: str) -> tuple[Labels, list[str]]:
    """The labels of architectures that the pool's encoders can describe: cells of its space, or no cells."""
    spaces = np.array([str(name).partition(":")[0] for name in labels.table.index])
    fits = np.isin(spaces, [cells, f"{cells}-cell"]) if cells else ~np.isin(spaces, CELL_SPACES)
    if fits.all():
        return labels, []
    if not fits.any():
        raise ArchrepError(
            f"{labels.path}: its labels are of {', '.join(sorted(set(spaces)))}, of which nothing can be learned about "
            f"{cells or 'networks without cells'} by these encoders; choose --encoders graph-features:network."
        )
    return labels.take(fits), [f"{(~fits).sum():,} labels of spaces other than the pool's"]


def _fit(task: Task, choice: str, seed: int) -> FittedProbe:
    distinct = len(np.unique(task.groups))
    if distinct < LEAST:
        raise ArchrepError(
            f"{task.labels.path}: {len(task.y)} usable labels of {task.target.name}, of {distinct} different "
            f"architectures; a ranking needs at least {LEAST}. Measure more: archrep measure --archs …"
        )
    work = Work(task.encodings, task.y, task.groups, choice, TRANSFORM, seed)
    return fit_final(work, list(task.encodings), task.target, {"n": len(task.y), "groups": distinct, "seed": seed})


def rank_pool(
    pool: Iterable[Architecture],
    probes: dict[str, FittedProbe | None],
    context: Context,
    embeddings: Embeddings | None = None,
    level: float = 0.9,
    progress: Callable[[int], None] = lambda count: None,
) -> Ranking:
    """Predicts architectures, a few at a time.

    Args:
        embeddings: if given, what the encoder `ghn` says of them.
        progress: gets the number of architectures after every chunk.

    Raises:
        ArchrepError: if none can be predicted.
    """
    refused: Counter = Counter()
    names: list[str] = []
    parts: dict[str, list[np.ndarray]] = {name: [] for name in probes}
    specs = list(dict.fromkeys(spec for probe in probes.values() if probe for spec in probe.encoders))
    made = [s for s in specs if embeddings is None or s != EMBEDDED]
    graphs = any(map(needs_graph, made)) or None in probes.values()
    pool = iter(pool)
    while chunk := list(islice(pool, CHUNK)):
        kept = [a for a in chunk if _usable(a, graphs, bool(made), embeddings, refused)]
        if kept:
            encodings = {spec: encode(spec, kept, context) for spec in made}
            if embeddings is not None:
                rows = embeddings.table.index.get_indexer([a.id for a in kept])
                encodings[EMBEDDED] = embeddings.values[rows].astype(float)
            names += [a.id for a in kept]
            for name, probe in probes.items():
                parts[name].append(probe.predict(encodings, level) if probe else _counted(name, kept))
        progress(len(chunk))
    if not names:
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in refused.items())
        raise ArchrepError(f"Nothing can be ranked: {reasons or 'the pool is empty'}.")
    return Ranking(_targets(probes), np.array(names, object), {n: np.concatenate(v) for n, v in parts.items()}, refused)


def rank_table(
    embeddings: Embeddings,
    probes: dict[str, FittedProbe],
    level: float = 0.9,
    progress: Callable[[int], None] = lambda count: None,
) -> Ranking:
    """Predicts all rows of an embedding table, whatever its names are: nothing is built or encoded.

    Raises:
        ArchrepError: if a probe needs an encoder other than `ghn`.
    """
    for name, probe in probes.items():
        if other := [spec for spec in probe.encoders if spec != EMBEDDED]:
            raise ArchrepError(
                f"The probe of {name} needs the encoder {other[0]!r}, which an embedding table does not hold. Give the "
                f"pool by --archs, or fit one on embeddings alone: archrep probe --encoders {EMBEDDED} --embeddings …"
            )
    parts: dict[str, list[np.ndarray]] = {name: [] for name in probes}
    for first in range(0, len(embeddings.values), ROWS):
        rows = embeddings.values[first : first + ROWS].astype(float)
        for name, probe in probes.items():
            parts[name].append(probe.predict({EMBEDDED: rows}, level))
        progress(len(rows))
    names = np.asarray(embeddings.table.index, dtype=object)
    return Ranking(_targets(probes), names, {n: np.concatenate(v) for n, v in parts.items()})


def _targets(probes: dict[str, FittedProbe | None] | dict[str, FittedProbe]) -> list[Target]:
    return [probe.target if probe else TARGETS[name] for name, probe in probes.items()]


def _usable(a: Architecture, graphs: bool, encoded: bool, embeddings: Embeddings | None, refused: Counter) -> bool:
    """Whether an architecture can be predicted; counts why not."""
    if embeddings is not None and a.id not in embeddings.table.index:
        refused["not in the embedding table"] += 1
        return False
    if not graphs and (has_cell(a) or not encoded):
        return True
    if not has_graph(a):
        refused["whose output does not depend on their input"] += 1
        return False
    try:
        _ = a.graph
    except ArchrepError:
        refused["whose graph cannot be captured"] += 1
        return False
    return True


def _counted(name: str, architectures: Sequence[Architecture]) -> np.ndarray:
    """(n, 3): parameters or FLOPs, thrice."""
    values = [a.graph.num_params if name == "params" else a.flops for a in architectures]
    return np.repeat(np.array(values, dtype=float)[:, None], 3, axis=1)
