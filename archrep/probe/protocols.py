"""Protocols of the literature, replayed so that τ can be compared with published ones."""

import re
from dataclasses import dataclass

import numpy as np

from archrep.errors import ArchrepError
from archrep.probe.splits import Scheme, given, subsets
from archrep.probe.task import Task, class_sample

RESAMPLINGS = 20
FEWEST = 20  # architectures of each side
PATTERN = re.compile(r"(nasbench201|nasbench101|nasbench_macro)(-class)?-(\d+)")
NAMES = (
    "ppuda, nasbench201-N, nasbench101-N, nasbench_macro-N (N random training architectures, such as nasbench201-100), "
    "SPACE-class-N (of one architecture per functional class)"
)


@dataclass(frozen=True)
class Protocol:
    """A protocol: its probe (None: the user's choice), its transform of the target, and how it splits."""

    name: str
    probe: str | None
    size: int = 0
    space: str = ""
    one_per_class: bool = False
    transform: str = "normal-scores"

    @property
    def target(self) -> str:
        """What the literature predicts: NAS-Bench-101 has no test accuracy."""
        return "accuracy_val" if self.space == "nasbench101" else "accuracy"

    def apply(self, task: Task, seed: int = 0, resamplings: int = RESAMPLINGS) -> tuple[Task, Scheme]:
        """The task that the protocol leaves, and its splits.

        Raises:
            ArchrepError: if the task has not the architectures that the protocol needs.
        """
        if self.name == "ppuda":
            return _ppuda(task)
        spaces = np.array([a.space for a in task.architectures])
        if not (spaces == self.space).all():
            raise ArchrepError(
                f"The protocol {self.name} takes labels of {self.space}; these are of {', '.join(sorted(set(spaces)))}."
            )
        if self.one_per_class:
            task = class_sample(task, seed)
        return task, subsets(task.groups, self.size, resamplings, seed, keep_groups=False)


def protocol(name: str) -> Protocol:
    """A protocol by name.

    `ppuda`: support vector regression whose grid is searched by cross-validation on the architectures of the split
    val, Kendall's τ on the split test (arXiv:2110.13100, § 5.2: 500 of each). `nasbench201-N`: N random training cells
    of those that have a label, tested on all others, twins in training or not (TNASP, arXiv:2111.14671; PINAT; FLAN).

    Raises:
        ArchrepError: if there is no such protocol.
    """
    if name == "ppuda":
        return Protocol(name, "svr-wide", transform="standard")
    match = PATTERN.fullmatch(name)
    if match is None:
        raise ArchrepError(f"Unknown protocol {name!r}. Available: {NAMES}.")
    return Protocol(name, None, int(match[3]), match[1], bool(match[2]))


def _ppuda(task: Task) -> tuple[Task, Scheme]:
    splits = np.array([a.split for a in task.architectures])
    val, test = int((splits == "val").sum()), int((splits == "test").sum())
    if val < FEWEST or test < FEWEST:
        raise ArchrepError(
            f"The protocol ppuda trains on labels of the split val and tests on those of test; there are {val} "
            f"and {test}, and {FEWEST} of each are needed. Measure more: archrep measure --archs deepnets-small:val."
        )
    kept = np.flatnonzero(np.isin(splits, ["val", "test"]))
    task = task.take(kept, "architectures outside of the splits val and test")
    train, tested = np.flatnonzero(splits[kept] == "val"), np.flatnonzero(splits[kept] == "test")
    return task, given(train, tested, "ppuda: trained on val, tested on test")
