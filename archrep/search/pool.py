"""The pool of a search: labelled architectures of one space, with classes, neighbours and encodings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archrep.data.embeddings import Embeddings
from archrep.data.labels import Labels
from archrep.data.targets import Target
from archrep.errors import ArchrepError, lookup
from archrep.probe.cells import has_cell
from archrep.probe.encoders import Context, encode
from archrep.probe.groups import group_of
from archrep.probe.task import make_task
from archrep.search.neighbourhood import Neighbourhood, edits, nearest
from archrep.search.state import Candidates
from archrep.space import SPACES, Architecture

STEPS_BY = "graph-features"  # encoder whose nearest architectures are neighbours where cells have no edits
VALIDATION = {"accuracy": "accuracy_val"}  # target → the label that it is selected by


@dataclass(frozen=True)
class Pool:
    """n labelled architectures.

    Attributes:
        names: their specs. value: (n,) what is selected by. test: (n,) what is reported; in the target's unit.
        target: of `test`. selected_by: column of `value`.
        notes: what was left out or replaced, in words.
    """

    names: list[str]
    candidates: Candidates
    value: np.ndarray
    test: np.ndarray
    target: Target
    selected_by: str
    notes: list[str]

    @property
    def sign(self) -> float:
        """1 if more is better, -1 if less is."""
        return 1.0 if self.target.higher_is_better else -1.0

    @property
    def classes(self) -> int:
        """Number of functional classes, which is how many queries there can be."""
        return len(np.unique(self.candidates.classes))

    def best(self, labels: np.ndarray) -> float:
        """The best of some labels (n,), in their unit."""
        return float(self.sign * (self.sign * labels).max())


def make_pool(
    labels: Labels,
    space: str,
    target_name: str,
    specs: Sequence[str],
    context: Context,
    select_by: str | None = None,
    embeddings: Embeddings | None = None,
) -> Pool:
    """The labelled architectures of a space.

    Args:
        specs: encoders that strategies need.
        select_by: column that the search selects by; default: the validation label of the target if there is one.
        embeddings: if given, what the encoder `ghn` says of these architectures.

    Raises:
        ArchrepError: for an unknown space or column, or labels that leave nothing to search.
    """
    lookup(SPACES, space, "space")
    inside = np.array([str(name).partition(":")[0] == space for name in labels.table.index])
    if not inside.any():
        spaces = sorted({str(name).partition(":")[0] for name in labels.table.index})
        raise ArchrepError(f"{labels.path}: no labels of the space {space!r}; it has {', '.join(spaces)}.")
    notes = [f"{(~inside).sum():,} labels of other spaces, left out"] if not inside.all() else []
    target_name, select_by, more = _columns(labels, target_name, select_by)
    notes += more
    finite = np.isfinite(labels.table[select_by].to_numpy(dtype=float))
    if missing := int((inside & ~finite).sum()):
        notes.append(f"{missing:,} architectures without a finite {select_by}, left out")
    part = labels.take(inside & finite)
    task = make_task(part, target_name, specs, context, embeddings)
    notes += [f"{count:,} {reason}" for reason, count in task.excluded.items()]
    table = part.table.loc[[a.id for a in task.architectures]]
    return Pool(
        [a.id for a in task.architectures],
        make_candidates(task.architectures, task.encodings, context),
        table[select_by].to_numpy(dtype=float),
        task.y,
        task.target,
        select_by,
        notes,
    )


def make_candidates(
    architectures: Sequence[Architecture], encodings: dict[str, np.ndarray], context: Context
) -> Candidates:
    """Classes and neighbours of architectures that are encoded already."""
    cells = all(has_cell(a) for a in architectures)
    names = group_of(architectures) if cells else np.array([a.graph.hash() for a in architectures])
    return Candidates(
        np.unique(names, return_inverse=True)[1], _neighbours(architectures, encodings, context), encodings
    )


def _columns(labels: Labels, target: str, select_by: str | None) -> tuple[str, str, list[str]]:
    """Column that is reported, column that is selected by, and notes."""
    notes = []
    validation = VALIDATION.get(target, "")
    if target not in labels.table and validation in labels.table:
        notes.append(f"no {target} in these labels: {validation} is reported, too")
        target = validation
    if select_by is None:
        select_by = validation if validation in labels.table else target
        if target in VALIDATION and select_by == target:
            notes.append(f"no {validation} in these labels: the search selects by {target}, which it reports")
    one, other = labels.target(target), labels.target(select_by)
    if one.higher_is_better != other.higher_is_better:
        raise ArchrepError(f"{select_by} and {target} have different directions; select by a label of the same kind.")
    return target, select_by, notes


def _neighbours(
    architectures: Sequence[Architecture], encodings: dict[str, np.ndarray], context: Context
) -> Neighbourhood:
    by_edit = edits(architectures)
    if by_edit is not None:
        return by_edit
    spec = "ghn" if "ghn" in encodings and STEPS_BY not in encodings else STEPS_BY
    return nearest(encodings[spec] if spec in encodings else encode(spec, architectures, context), spec)
