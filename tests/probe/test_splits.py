"""Splits: groups never on both sides, leaks stated, everything tested, the same again for the same seed."""

import numpy as np
import pytest

from archrep.errors import ArchrepError
from archrep.probe import splits

GROUPS = np.repeat(np.arange(60), np.tile([1, 2, 3], 20))  # 120 architectures


def sides_share_groups(scheme):
    return any(set(GROUPS[s.train]) & set(GROUPS[s.test]) for s in scheme.splits)


def test_grouped_folds_never_divide_a_group():
    scheme = splits.grouped(GROUPS, repeats=3)
    assert not sides_share_groups(scheme)
    assert scheme.leaked(GROUPS) == 0
    assert not scheme.resampled
    for repeat in range(3):
        tests = [s.test for s in scheme.splits if s.repeat == repeat]
        assert sorted(np.concatenate(tests)) == list(range(120))
    assert len(splits.grouped(np.repeat(np.arange(5), 4), repeats=1).splits) == 5
    with pytest.raises(ArchrepError, match="at least 20"):
        splits.grouped(np.arange(19))
    with pytest.raises(ArchrepError, match="40 architectures are of 4 groups, which 5 folds"):
        splits.grouped(np.repeat(np.arange(4), 10))


def test_random_folds_state_what_leaks():
    scheme = splits.random(GROUPS, repeats=2)
    by_hand = [np.mean([g in set(GROUPS[s.train]) for g in GROUPS[s.test]]) for s in scheme.splits]
    assert scheme.leaked(GROUPS) == pytest.approx(np.mean(by_hand))
    assert scheme.leaked(GROUPS) > 0.4
    assert splits.random(np.arange(120)).leaked(np.arange(120)) == 0


@pytest.mark.parametrize("keep", [True, False])
def test_training_sets_have_their_size_and_differ(keep):
    scheme = splits.subsets(GROUPS, 30, resamplings=20, keep_groups=keep)
    assert scheme.resampled
    assert {len(s.train) for s in scheme.splits} == {30}
    assert len({tuple(s.train) for s in scheme.splits}) == 20
    assert sides_share_groups(scheme) != keep
    assert all(len(np.intersect1d(s.train, s.test)) == 0 for s in scheme.splits)
    if not keep:
        assert all(len(s.test) == 90 for s in scheme.splits)
    later = splits.subsets(GROUPS, 30, resamplings=5, keep_groups=keep, offset=15)
    assert all((a.train == b.train).all() for a, b in zip(later.splits, scheme.splits[15:], strict=True))
    with pytest.raises(ArchrepError, match="from 2 to 110"):
        splits.subsets(GROUPS, 111)


def test_one_of_every_group():
    chosen = splits.one_per_group(GROUPS, seed=1)
    assert sorted(GROUPS[chosen]) == list(range(60))
    assert (chosen != splits.one_per_group(GROUPS, seed=2)).any()


def test_given_sides_and_shots():
    train, test = np.arange(50), np.arange(50, 120)
    assert splits.k_shot(train, test, GROUPS, 0).splits[0].test.tolist() == test.tolist()
    shots = splits.k_shot(train, test, GROUPS, 10, resamplings=4)
    for s in shots.splits:
        assert len(s.train) == 60
        assert set(train) <= set(s.train)
        drawn = np.setdiff1d(s.train, train)
        assert not set(GROUPS[drawn]) & set(GROUPS[s.test])
    assert {len(s.train) for s in splits.k_shot(train, test, GROUPS, 1, resamplings=2).splits} == {51}
    with pytest.raises(ArchrepError, match="1 architectures stand in training and in test"):
        splits.given(np.arange(5), np.arange(4, 8))
    with pytest.raises(ArchrepError, match="each side"):
        splits.given(np.arange(5), np.arange(5, 6))


def test_inner_folds_shrink_with_the_groups():
    assert len(splits.inner_folds(np.repeat([0, 1, 2], 4), 0)) == 3
    with pytest.raises(ArchrepError, match="one group"):
        splits.inner_folds(np.zeros(5), 0)


def test_the_control_task_moves_labels_between_groups():
    y = np.arange(120.0)
    control = splits.permuted_by_group(y, GROUPS, seed=0)
    means = [y[g == GROUPS].mean() for g in range(60)]
    assert sorted(control[g == GROUPS][0] for g in range(60)) == sorted(means)
    assert all(np.ptp(control[g == GROUPS]) == 0 for g in range(60))
    assert abs(np.corrcoef(y, control)[0, 1]) < 0.3
