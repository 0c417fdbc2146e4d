"""A probing task: labelled architectures, their groups and encodings, and a count of all that was left out."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from archrep.data.embeddings import Embeddings
from archrep.data.labels import Labels
from archrep.data.targets import Target
from archrep.errors import ArchrepError
from archrep.probe.cells import has_cell, has_graph
from archrep.probe.encoders import Context, encode, needs_graph
from archrep.probe.groups import group_of
from archrep.probe.splits import one_per_group
from archrep.space import Architecture, architectures

NOTHING = "mean predictor"  # the encoding without columns


@dataclass(frozen=True)
class Task:
    """What is probed; all of it has n entries.

    Attributes:
        y: (n,) finite labels, not constant. groups: (n,) names.
        encodings: encoder spec → (n, d).
        excluded: reason → architectures or rows left out.
        grouped_by: what groups are, in words.
    """

    target: Target
    architectures: list[Architecture]
    y: np.ndarray
    groups: np.ndarray
    encodings: dict[str, np.ndarray]
    excluded: dict[str, int]
    grouped_by: str
    labels: Labels

    def take(self, chosen: np.ndarray, reason: str) -> "Task":
        """The task of the architectures at some positions; the others are excluded for a reason."""
        left_out = {reason: len(self.y) - len(chosen)} if len(chosen) < len(self.y) else {}
        return replace(
            self,
            architectures=[self.architectures[i] for i in chosen],
            y=self.y[chosen],
            groups=self.groups[chosen],
            encodings={spec: x[chosen] for spec, x in self.encodings.items()},
            excluded=self.excluded | left_out,
        )


def make_task(
    labels: Labels,
    target_name: str,
    specs: Sequence[str],
    context: Context,
    embeddings: Embeddings | None = None,
    group_by: str | None = None,
) -> Task:
    """Joins labels with encodings.

    Args:
        specs: encoders (see encoders/). embeddings: if given, what the encoder `ghn` says of these architectures.
        group_by: a column of the labels, or `family` (a model's name up to its first digit or underscore); default:
            functional classes and graph hashes.

    Raises:
        ArchrepError: unknown target or encoder; labels that name no architecture or match no embedding; constant
            labels, or none that is finite; an encoder that tells the target.
    """
    target = labels.target(target_name)
    table = labels.table
    excluded: Counter[str] = Counter(labels.counted)
    finite = np.isfinite(table[target_name].to_numpy(dtype=float))
    excluded["labels that are not finite"] = int((~finite).sum())
    twice = _contradicted(labels, target_name) & set(table.index[finite])
    excluded["architectures labelled twice with different values and no seed to tell them apart"] = len(twice)
    names = [name for name in table.index[finite] if name not in twice]
    if embeddings is not None and "ghn" in specs:
        names = _embedded(names, embeddings, labels, excluded)
    graphs = any(needs_graph(spec) for spec in specs if not (spec == "ghn" and embeddings is not None))
    chosen = _architectures(names, labels, graphs, excluded)
    names = [a.id for a in chosen]
    y = table.loc[names, target_name].to_numpy(dtype=float)
    counted = {reason: count for reason, count in excluded.items() if count}
    if len(y) == 0 or np.ptp(y) == 0:
        left_out = "; ".join(f"{count:,} {reason}" for reason, count in counted.items()) or "nothing was left out"
        raise ArchrepError(
            f"{labels.path}: target {target_name!r} is {'constant' if len(y) else 'missing'} ({left_out}); "
            "there is nothing to rank."
        )
    groups, grouped_by = _groups(chosen, labels, group_by)
    encodings = {
        spec: (
            embeddings.values[embeddings.table.index.get_indexer(names)].astype(float)
            if spec == "ghn" and embeddings is not None
            else encode(spec, chosen, context)
        )
        for spec in dict.fromkeys(specs)
    }
    for spec, x in encodings.items():
        if (x == y[:, None]).all(axis=0).any():
            raise ArchrepError(f"The encoder {spec!r} has a column that is the target {target_name!r} itself.")
    return Task(target, chosen, y, groups, encodings, counted, grouped_by, labels)


def _contradicted(labels: Labels, target: str) -> set[str]:
    """Architectures with several values of one seed, of a table that is no published one."""
    if labels.runs is None or labels.header.get("published") or target not in labels.runs:
        return set()
    keys = ["arch", "seed"] if "seed" in labels.runs else ["arch"]
    values = labels.runs.dropna(subset=[target]).groupby(keys)[target].nunique()
    return set(values[values > 1].reset_index()["arch"])


def _embedded(names: list[str], embeddings: Embeddings, labels: Labels, excluded: Counter) -> list[str]:
    known = [name for name in names if name in embeddings.table.index]
    if not known:
        raise ArchrepError(
            f"{labels.path}: none of its {len(names)} architectures has an embedding (labels: "
            f"{', '.join(names[:1]) or 'none that is finite'}, …; embeddings: {embeddings.table.index[0]}, …). "
            "Embed them first, or leave --embeddings out."
        )
    excluded["labels without embedding"] = len(names) - len(known)
    excluded["embeddings without label"] = len(embeddings.table) - len(known)
    return known


def _architectures(names: list[str], labels: Labels, graphs: bool, excluded: Counter) -> list[Architecture]:
    """The architectures that can be encoded; `graphs`: only those that have a computational graph.

    Raises:
        ArchrepError: if a name is not canonical, or none of them can be encoded.
    """
    chosen, reasons = [], []
    for name in names:
        try:
            one = list(architectures(name, typed=False))
        except ArchrepError as error:
            excluded["labels of architectures that cannot be made"] += 1
            reasons.append(str(error))
            continue
        if [a.id for a in one] != [name]:
            raise ArchrepError(
                f"{labels.path}: {name!r} is not the canonical name of one architecture (see `archrep embed`)."
            )
        if graphs or not has_cell(one[0]):
            try:
                _ = has_graph(one[0]) and one[0].graph
            except ArchrepError as error:
                excluded["architectures whose graph cannot be captured"] += 1
                reasons.append(str(error))
                continue
            if not has_graph(one[0]):
                excluded["architectures whose output does not depend on their input"] += 1
                reasons.append(f"the output of {name} does not depend on its input")
                continue
        chosen += one
    if names and not chosen:
        raise ArchrepError(f"{labels.path}: none of its {len(names)} architectures can be encoded: {reasons[0]}")
    return chosen


def _groups(chosen: list[Architecture], labels: Labels, group_by: str | None) -> tuple[np.ndarray, str]:
    if group_by is None:
        cells = all(has_cell(a) for a in chosen)
        return group_of(chosen), "functional class" if cells else "graph hash without shapes"
    if group_by in labels.table:
        values = labels.table.loc[[a.id for a in chosen], group_by]
        return values.astype(str).to_numpy(dtype=str), f"column {group_by}"
    if group_by == "family":
        return np.array([family_of(a) for a in chosen]), "family of models"
    raise ArchrepError(
        f"{labels.path}: no column {group_by!r} to group by. Its columns are {', '.join(map(str, labels.table))}; "
        "'family' groups by the model's name."
    )


def family_of(architecture: Architecture) -> str:
    """A model's name up to its first digit, underscore or hyphen: `timm:resnet50d` → `timm:resnet`."""
    space, _, name = architecture.id.partition(":")
    return f"{space}:{re.split(r'[0-9_-]', name.split('@')[0], maxsplit=1)[0]}"


def with_increments(task: Task, reference: str, bases: Sequence[str]) -> tuple[Task, list[tuple[str, str]]]:
    """Adds `BASE+REFERENCE` for the encoders of the task, with whatever argument, that are bases.

    Returns:
        The task, and the pairs (base, base+reference).
    """
    present = [spec for base in bases for spec in task.encodings if spec.partition(":")[0] == base]
    pairs = [(base, f"{base}+{reference}") for base in present if base != reference]
    added = {both: np.hstack([task.encodings[base], task.encodings[reference]]) for base, both in pairs}
    return replace(task, encodings=task.encodings | added), pairs


def with_nothing(task: Task) -> Task:
    """Adds the mean predictor."""
    return replace(task, encodings={**task.encodings, NOTHING: np.empty((len(task.y), 0))})


def class_sample(task: Task, seed: int) -> Task:
    """One random architecture of every group."""
    return task.take(one_per_group(task.groups, seed), "architectures beyond one per group")
