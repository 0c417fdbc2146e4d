"""Strategies on a pool with planted labels: what they share, what each does, and what the guided ones find."""

import numpy as np
import pytest

from archrep.errors import ArchrepError
from archrep.search import STRATEGIES, make_strategy, simulate
from archrep.search.neighbourhood import nearest
from archrep.search.simulate import search
from archrep.search.state import Candidates
from archrep.search.strategies import encoder_of, split_strategies

ALL = list(STRATEGIES)


@pytest.fixture(scope="module")
def runs(pool):
    return simulate(pool, ALL, runs=6, budget=40, seed=1)


def best_after(pool, trajectories, strategy):
    return np.mean([pool.value[t.queried].max() for t in trajectories if t.strategy == strategy])


def test_every_query_is_a_new_functional_class(pool, runs):
    for t in runs:
        assert len(t.queried) == 40
        assert len(set(pool.candidates.classes[t.queried])) == 40


def test_all_strategies_of_a_run_begin_alike(runs):
    for run in range(6):
        starts = {tuple(t.queried[:8]) for t in runs if t.run == run and t.strategy != "local-search"}
        assert len(starts) == 1
    assert len({tuple(t.queried[:8]) for t in runs}) > 6


def test_the_same_seed_gives_the_same_search(pool, runs):
    again = simulate(pool, ["bananas", "gp-ts"], runs=2, budget=40, seed=1)
    assert again == [t for t in runs if t.strategy in ("bananas", "gp-ts") and t.run < 2]
    assert simulate(pool, ["random"], runs=2, budget=40, seed=2) != [t for t in runs if t.strategy == "random"][:2]


def test_learning_beats_chance(pool, runs):
    of = {name: best_after(pool, runs, name) for name in ALL}
    assert of["evolution"] > of["random"]
    assert of["local-search"] > of["random"]
    assert min(of["gp-ei"], of["gp-ts"], of["bananas"]) > of["random"]
    assert of["gp-ei"] >= np.sort(pool.value)[-3]


def test_labels_that_say_nothing_are_no_advantage(pool):
    noise = np.random.default_rng(0).permutation(pool.value)
    ranks = []
    for run in range(6):
        found = search(pool.candidates, "gp-ei", 40, lambda i: float(noise[i]), 1, run)
        ranks.append(np.mean(noise[found.queried[10:]]))
    assert abs(np.mean(ranks) - noise.mean()) < 0.6 * noise.std()


def test_a_predictor_never_proposes_what_is_known(runs):
    for t in runs:
        if t.strategy in ("gp-ei", "gp-ts", "bananas"):
            assert t.duplicates < 10  # those of the random start
    assert sum(t.duplicates for t in runs if t.strategy == "evolution") > 0


@pytest.mark.parametrize("name", ALL)
def test_a_strategy_that_runs_out_ends(pool, name):
    chosen = np.arange(25)
    encodings = {spec: x[chosen] for spec, x in pool.candidates.encodings.items()}
    few = Candidates(pool.candidates.classes[chosen], nearest(encodings["one-hot"], "one-hot", 5), encodings)
    found = search(few, name, 1000, lambda i: float(pool.value[i]))
    assert sorted(few.classes[found.queried]) == sorted(set(few.classes.tolist()))


@pytest.mark.parametrize("name", ALL)
def test_failures_are_paid_for_and_not_proposed_again(pool, name):
    rng = np.random.default_rng(0)
    found = search(pool.candidates, name, 30, lambda i: float(pool.value[i]) if rng.random() > 0.3 else np.nan)
    assert len(found.queried) == len(set(pool.candidates.classes[found.queried])) == 30
    nothing = search(pool.candidates, name, 15, lambda i: np.nan)
    assert len(nothing.queried) == 15


@pytest.mark.parametrize("name", ALL)
def test_equal_values_everywhere(pool, name):
    assert len(search(pool.candidates, name, 20, lambda i: 1.0).queried) == 20


def test_specs():
    assert split_strategies("random, gp-ei:ghn:final:mean,max,bananas") == [
        "random",
        "gp-ei:ghn:final:mean,max",
        "bananas",
    ]
    assert encoder_of("gp-ei") == "graph-features"
    assert encoder_of("gp-ei:one-hot+size") == "one-hot+size"
    assert encoder_of("random") == ""
    with pytest.raises(ArchrepError, match=r"Unknown strategy 'radnom'\. Did you mean 'random'"):
        make_strategy("radnom")
    with pytest.raises(ArchrepError, match="looks at no encoding"):
        make_strategy("random:one-hot")
    with pytest.raises(ArchrepError, match="Unknown encoder 'one-hit'"):
        split_strategies("gp-ei:one-hit")
    with pytest.raises(ArchrepError, match="Unknown strategy 'foo'"):
        split_strategies("gp-ei:one-hot,foo")
    with pytest.raises(ArchrepError, match="every strategy once"):
        split_strategies("random,random")
    with pytest.raises(ArchrepError, match="every strategy once"):
        split_strategies(" , ")
