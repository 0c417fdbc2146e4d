"""The design of an experiment: from what a user asks for to the labels trained on and tested on."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from archrep.data.labels import Labels
from archrep.data.targets import TARGETS
from archrep.errors import ArchrepError, lookup
from archrep.probe import splits
from archrep.probe.protocols import RESAMPLINGS, protocol
from archrep.probe.splits import Scheme
from archrep.probe.task import Task, class_sample

SPLITS = ("grouped", "random", "one-per-group")
LARGE = 2000  # labels; above, cross-validation gives way to training sets of …
TRAIN_SIZE = 781  # … so many architectures, 5 % of NAS-Bench-201,
FEW = 5  # drawn so often


@dataclass(frozen=True)
class Design:
    """How to split; contradictions are refused before any work starts.

    Attributes:
        split: one of `SPLITS`. train_size: of training sets that are drawn; None for folds.
        resamplings: training sets per size; None for the usual number.
        test: what to test on: a label table, or a split or space of the labels. shots: of it to train on.
        protocol: a name of the literature's, instead of all these. curve: a learning curve is wanted, too.
    """

    split: str = "grouped"
    train_size: int | None = None
    resamplings: int | None = None
    test: str | None = None
    shots: int = 0
    protocol: str | None = None
    curve: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ArchrepError if the wishes contradict each other."""
        lookup(dict.fromkeys(SPLITS), self.split, "split")
        chosen = self.test or self.train_size or self.split != "grouped" or self.shots
        if self.protocol and chosen:
            raise ArchrepError("--protocol says how to split; leave --split, --train-size, --test and --shots out.")
        if self.test and (self.train_size or self.split != "grouped"):
            raise ArchrepError(
                "--test trains on all other labels; give it with --shots, or --train-size and --split without it."
            )
        if self.shots and not self.test:
            raise ArchrepError("--shots takes architectures from the side that --test names; give --test too.")
        fixed = self.protocol is not None and not protocol(self.protocol).size
        if self.curve and (self.test or fixed):
            raise ArchrepError("A learning curve draws its own training sets; leave --test or --protocol ppuda out.")
        if self.resamplings and (fixed or (self.test and not self.shots)):
            raise ArchrepError("There is one training set only, so no --resamplings of it; leave it out.")

    @property
    def keeps_groups(self) -> bool:
        """Whether no group stands on both sides by design."""
        return self.split == "grouped" and not self.protocol

    def apply(self, task: Task, tested: Collection[str] = ()) -> tuple[Task, Scheme]:
        """The task and splits.

        Args:
            tested: architectures to test on, where `test` is a label table.

        Raises:
            ArchrepError: if the labels are too few, or no training sets are drawn though their number is given.
        """
        if self.protocol:
            return protocol(self.protocol).apply(task, self.seed, self.resamplings or RESAMPLINGS)
        if self.test:
            return task, self._sides(task, tested)
        if self.split == "one-per-group":
            task = class_sample(task, self.seed)
        if self.train_size or len(task.y) > LARGE:
            count = self.resamplings or (RESAMPLINGS if self.train_size else FEW)
            size = self.train_size or TRAIN_SIZE
            return task, splits.subsets(splits.numbered(task.groups), size, count, self.seed, self.split == "grouped")
        if self.resamplings and not self.curve:
            raise ArchrepError(
                f"--resamplings counts training sets that are drawn; {len(task.y)} labels are cross-validated. Give "
                "--train-size, or leave it out."
            )
        return task, (splits.random if self.split == "random" else splits.grouped)(task.groups, seed=self.seed)

    def _sides(self, task: Task, tested: Collection[str]) -> Scheme:
        sides = np.array([a.id in tested if tested else self.test in (a.split, a.space) for a in task.architectures])
        on_test, on_train = np.flatnonzero(sides), np.flatnonzero(~sides)
        if len(on_test) < 2 or len(on_train) < 2:
            named = sorted({a.split for a in task.architectures} | {a.space for a in task.architectures} - {""})
            raise ArchrepError(
                f"--test {self.test}: {len(on_test)} labels to test on and {len(on_train)} to train on. It is a label "
                f"table, or one of: {', '.join(filter(None, named))}."
            )
        return splits.k_shot(on_train, on_test, task.groups, self.shots, self.resamplings or RESAMPLINGS, self.seed)


def with_tested(labels: Labels, tested: Labels) -> Labels:
    """Labels of two tables, where the second one's architectures are tested on and therefore leave the first."""
    kept = labels.table[~labels.table.index.isin(tested.table.index)]
    both = len(labels.table) - len(kept)
    counted = dict(labels.counted)
    for reason, count in tested.counted.items():
        counted[reason] = counted.get(reason, 0) + count
    if both:
        counted["training labels of architectures that are tested on"] = both
    first = None if labels.runs is None else labels.runs[~labels.runs["arch"].isin(tested.table.index)]
    runs = [rows for rows in (first, tested.runs) if rows is not None]
    return replace(
        labels,
        table=pd.concat([kept, tested.table]),
        directions=tested.directions | labels.directions,
        counted=counted,
        runs=pd.concat(runs, ignore_index=True) if runs else None,
    )


def directed(labels: Labels, target: str, direction: str) -> Labels:
    """Labels that say which direction of a target is better, `higher` or `lower`.

    Raises:
        ArchrepError: for another word, or one against what is known of the target.
    """
    lookup({"higher": 1, "lower": 1}, direction, "direction")
    known = labels.directions.get(target)
    if target in TARGETS:
        known = "higher" if TARGETS[target].higher_is_better else "lower"
    if known not in (None, direction):
        raise ArchrepError(f"Of {target!r}, {known} is better; leave --direction {direction} out.")
    return replace(labels, directions=labels.directions | {target: direction})
