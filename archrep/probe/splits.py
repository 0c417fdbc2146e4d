"""Splits: which architectures a probe learns from and which it is tested on.

Groups hold architectures that compute the same (design: *functional class*, *graph hash*). A split that puts members
of one group on both sides leaks; every split knows how many of its test architectures have a twin in training.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from archrep.errors import ArchrepError

FOLDS = 5
CURVE_SIZES = (20, 50, 78, 100, 156, 391, 781)  # up to 5 % of NAS-Bench-201, the sizes of the literature


@dataclass(frozen=True)
class Split:
    """Positions of training and test architectures; `repeat` counts repetitions, which hold one or more splits."""

    train: np.ndarray
    test: np.ndarray
    repeat: int = 0

    def leaked(self, groups: np.ndarray) -> float:
        """Share of the test architectures whose group is in training too."""
        return float(np.isin(groups[self.test], groups[self.train]).mean())


@dataclass(frozen=True)
class Scheme:
    """All splits of an evaluation.

    Attributes:
        name: for the report. splits: at least one.
        resampled: the splits are independent draws of a training set, so that intervals are over them; otherwise
            intervals are over the tested architectures.
    """

    name: str
    splits: list[Split]
    resampled: bool = False

    def leaked(self, groups: np.ndarray) -> float:
        """Mean over the splits of the share of test architectures with a twin in training."""
        return float(np.mean([s.leaked(groups) for s in self.splits]))


def numbered(groups: np.ndarray) -> np.ndarray:
    """(n,) the same groups as numbers, in the order of their names; names of a million take long to sort."""
    return np.unique(groups, return_inverse=True)[1]


def grouped(groups: np.ndarray, repeats: int = 5, seed: int = 0, folds: int = FOLDS) -> Scheme:
    """Repeated cross-validation that never divides a group.

    Raises:
        ArchrepError: if there are fewer than four architectures per fold, or fewer groups than folds.
    """
    _refuse_few(groups, folds)
    if (count := len(np.unique(groups))) < folds:
        raise ArchrepError(
            f"The {len(groups)} architectures are of {count} groups, which {folds} folds cannot keep apart. Label "
            "architectures of other groups, or choose --split random."
        )
    splits = []
    for r in range(repeats):
        cv = GroupKFold(folds, shuffle=True, random_state=seed + r)
        splits += [Split(train, test, r) for train, test in cv.split(groups, groups=groups)]
    return Scheme(f"{repeats}×{folds}-fold cross-validation, grouped", splits)


def random(groups: np.ndarray, repeats: int = 5, seed: int = 0, folds: int = FOLDS) -> Scheme:
    """Repeated cross-validation that ignores groups, as the literature does.

    Raises:
        ArchrepError: if there are fewer than four architectures per fold.
    """
    _refuse_few(groups, folds)
    splits = []
    for r in range(repeats):
        cv = KFold(folds, shuffle=True, random_state=seed + r)
        splits += [Split(train, test, r) for train, test in cv.split(groups)]
    return Scheme(f"{repeats}×{folds}-fold cross-validation, random", splits)


def subsets(
    groups: np.ndarray,
    size: int,
    resamplings: int = 20,
    seed: int = 0,
    keep_groups: bool = True,
    offset: int = 0,
    smallest: int = 2,
) -> Scheme:
    """Training sets of `size` architectures drawn anew for every resampling; tested on the rest.

    Args:
        keep_groups: whole groups are drawn and the training set is filled up with one more group's first members;
            what is left of that group is tested on by nobody.
        offset: of the resampling's number, to continue a run of them. smallest: size that makes sense.

    Raises:
        ArchrepError: if fewer than ten architectures would be left to test on.
    """
    if not smallest <= size <= len(groups) - 10:
        raise ArchrepError(
            f"A training set of {size} out of {len(groups)} labelled architectures is not possible; "
            f"choose from {smallest} to {len(groups) - 10}, so that at least ten are left to test on."
        )
    splits = []
    for r in range(offset, offset + resamplings):
        rng = np.random.default_rng([seed, r])
        if keep_groups:
            names, member = np.unique(groups, return_inverse=True)
            place = np.empty(len(names))
            place[rng.permutation(len(names))] = np.arange(len(names))
            order = np.lexsort((rng.permutation(len(groups)), place[member]))
        else:
            order = rng.permutation(len(groups))
        train, rest = np.sort(order[:size]), np.sort(order[size:])
        test = rest[~np.isin(groups[rest], groups[train])] if keep_groups else rest
        if len(test) < 2:
            raise ArchrepError(f"{size} training architectures leave no other group to test on; choose fewer.")
        splits.append(Split(train, test, r))
    how = "grouped" if keep_groups else "random"
    return Scheme(f"{resamplings} training sets of {size}, {how}", splits, resampled=True)


def one_per_group(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """Sorted positions of one random architecture of every group."""
    order = np.random.default_rng(seed).permutation(len(groups))
    _, first = np.unique(groups[order], return_index=True)
    return np.sort(order[first])


def given(train: np.ndarray, test: np.ndarray, name: str = "given train and test") -> Scheme:
    """One split that somebody else chose, by positions.

    Raises:
        ArchrepError: if a side has fewer than two architectures, or they share some.
    """
    if len(train) < 2 or len(test) < 2:
        raise ArchrepError(f"A split needs two architectures on each side; got {len(train)} and {len(test)}.")
    both = np.intersect1d(train, test)
    if len(both):
        raise ArchrepError(f"{len(both)} architectures stand in training and in test; remove them from one.")
    return Scheme(name, [Split(np.asarray(train), np.asarray(test))])


def k_shot(
    train: np.ndarray, test: np.ndarray, groups: np.ndarray, shots: int, resamplings: int = 20, seed: int = 0
) -> Scheme:
    """Training on one side and `shots` architectures of the other, drawn anew for every resampling; k = 0 is zero-shot.

    A drawn architecture's whole group leaves the test side.
    """
    if shots == 0:
        return given(train, test, "zero-shot")
    splits = []
    for draw in subsets(groups[test], shots, resamplings, seed, smallest=1).splits:
        splits.append(Split(np.concatenate([train, test[draw.train]]), test[draw.test], draw.repeat))
    return Scheme(f"{shots}-shot, {resamplings} draws", splits, resampled=True)


def inner_folds(groups: np.ndarray, seed: int, folds: int = FOLDS) -> list[np.ndarray]:
    """Test positions of the folds inside training data, by group; fewer folds where there are fewer groups.

    Raises:
        ArchrepError: if there is but one group.
    """
    count = min(folds, len(np.unique(groups)))
    if count < 2:
        raise ArchrepError("All training architectures compute the same; nothing can be learned from one group.")
    cv = GroupKFold(count, shuffle=True, random_state=seed)
    return [test for _, test in cv.split(groups, groups=groups)]


def _refuse_few(groups: np.ndarray, folds: int) -> None:
    if len(groups) < 4 * folds:
        raise ArchrepError(
            f"{len(groups)} architectures have labels and encodings; a probe needs at least {4 * folds}. Measure more."
        )


def permuted_by_group(y: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """(n,): the control task (Hewitt & Liang 2019): every group gets the label of another.

    All members of a group get the mean of the other group, whatever their numbers.
    """
    _, member = np.unique(groups, return_inverse=True)
    means = np.bincount(member, y) / np.bincount(member)
    return np.random.default_rng(seed).permutation(means)[member]
