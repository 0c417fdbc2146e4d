"""Regret by hand, intervals, journals, and the same result from several processes."""

import numpy as np
import pandas as pd
import pytest

from archrep.errors import ArchrepError
from archrep.journal import Journal
from archrep.search import simulate
from archrep.search.regret import COLUMNS, differences, marks, regret_table, summarize
from archrep.search.simulate import Trajectory, journal_header


def test_regret_by_hand(pool):
    order = np.argsort(pool.value)
    worst, middle, best = (int(order[i]) for i in (0, 200, -1))
    queried = [middle, worst, best]
    table = regret_table(pool, [Trajectory("random", 0, queried, 0)], budget=5)
    assert tuple(table) == COLUMNS
    assert table["query"].tolist() == [1, 2, 3, 4, 5]
    lost = pool.value.max() - pool.value[middle]
    np.testing.assert_allclose(table["regret_valid"], [lost, lost, 0, 0, 0])
    of_test = [pool.test.max() - pool.test[i] for i in (middle, middle, best, best, best)]
    np.testing.assert_allclose(table["regret_test"], of_test)
    assert (table[["regret_valid", "regret_test"]] >= 0).all(axis=None)


def test_less_is_better(pool):
    from dataclasses import replace

    lower = replace(pool, target=replace(pool.target, higher_is_better=False))
    worst = int(pool.value.argmax())
    table = regret_table(lower, [Trajectory("random", 0, [worst, int(pool.value.argmin())], 0)], 2)
    np.testing.assert_allclose(table["regret_valid"], [np.ptp(pool.value), 0])


def test_summary_and_paired_differences():
    rng = np.random.default_rng(0)
    common = rng.normal(size=50)
    rows = [
        {"strategy": name, "run": run, "query": 1, "regret_valid": common[run] + shift, "regret_test": 1.0}
        for name, shift in (("a", 0.5), ("b", 0.0))
        for run in range(50)
    ]
    table = pd.DataFrame(rows)
    summary = summarize(table).set_index("strategy")
    half = 2.0096 * common.std(ddof=1) / np.sqrt(50)
    assert summary.loc["b", "regret_valid"] == pytest.approx(common.mean())
    assert summary.loc["b", "regret_valid_high"] == pytest.approx(common.mean() + half, abs=1e-4)
    (row,) = differences(table, 1).to_dict("records")
    assert (row["first"], row["second"]) == ("a", "b")
    assert row["delta"] == pytest.approx(0.5)
    assert row["high"] - row["low"] < 1e-9  # paired: what the runs share cancels
    assert marks(120) == [10, 20, 50, 100, 120]


def test_a_stopped_simulation_continues(pool, tmp_path):
    path = tmp_path / "s.jsonl"
    specs = ["random", "gp-ei"]

    class Stop(Exception):  # noqa: N818
        pass

    def stop_after_three():
        nonlocal finished
        finished += 1
        if finished == 3:
            raise Stop

    finished = 0
    header = journal_header(pool, 15, 0)
    with pytest.raises(Stop):
        simulate(pool, specs, 3, 15, journal=Journal(path, header, "x"), progress=stop_after_three)
    assert path.read_text().count("\n") == 4
    continued = simulate(pool, specs, 3, 15, journal=Journal(path, header, "x"))
    assert continued == simulate(pool, specs, 3, 15)
    assert path.read_text().count("\n") == 7
    with pytest.raises(ArchrepError, match="the journal was of another budget"):
        Journal(path, journal_header(pool, 16, 0), "of another budget")


@pytest.mark.slow
def test_processes_give_what_one_gives(pool):
    specs = ["random", "evolution", "gp-ei"]
    assert simulate(pool, specs, 2, 12, workers=2) == simulate(pool, specs, 2, 12)
