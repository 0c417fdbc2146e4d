"""What predictions must not depend on, and what they must: node order, dead branches, order of rows, the graphs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from archrep import architectures
from archrep.data.labels import Labels
from archrep.data.targets import TARGETS
from archrep.probe import run_probe
from archrep.probe.encoders import Context, encode
from archrep.probe.evaluation import Work
from archrep.probe.groups import group_of
from archrep.probe.saved import fit_final
from archrep.probe.splits import grouped
from archrep.probe.task import Task
from tests.probe.encoders.test_graph_features import permuted

ENCODERS = ("ghn", "gnn-random", "graph-features", "op-counts", "size", "wl")


@pytest.fixture(scope="module")
def networks():
    """40 networks whose accuracy is the share of convolutions and a little noise."""
    chosen = list(architectures("deepnets-small:train:0-39"))
    share = np.array([a.graph.primitives.count("conv") / len(a.graph.primitives) for a in chosen])
    return chosen, 50 + 100 * share + np.random.default_rng(0).normal(0, 0.3, 40)


def fitted(chosen, y, encodings):
    work = Work(encodings, y, group_of(chosen), "ridge", "standard", 0)
    return fit_final(work, list(encodings), TARGETS["accuracy"], {})


@pytest.mark.parametrize("spec", ENCODERS)
def test_the_order_of_nodes_changes_no_prediction(networks, ghn, spec):
    chosen, y = networks
    context = Context(ghn=ghn)
    probe = fitted(chosen, y, {spec: encode(spec, chosen, context)})
    new = list(architectures("deepnets-small:train:40-43"))
    others = [replace(a, make_graph=lambda _, g=permuted(a.graph, i): g) for i, a in enumerate(new)]
    assert not any(torch.equal(a.graph.primitive, b.graph.primitive) for a, b in zip(new, others, strict=True))
    before, after = (probe.predict({spec: encode(spec, of, context)}) for of in (new, others))
    np.testing.assert_allclose(after, before, rtol=1e-4)
    assert np.ptp(before[:, 0]) > 1e-3


@pytest.mark.parametrize("spec", ENCODERS)
def test_an_architecture_is_encoded_alike_in_any_company(networks, ghn, spec):
    chosen, _ = networks
    context, order = Context(ghn=ghn), np.random.default_rng(0).permutation(12)
    values = encode(spec, chosen[:12], context)
    np.testing.assert_allclose(encode(spec, [chosen[i] for i in order], context), values[order], rtol=1e-4, atol=1e-6)


def test_labels_of_shuffled_graphs_cannot_be_predicted(networks):
    """Every architecture gets another one's graph: what was known is gone."""
    chosen, y = networks
    order = np.roll(np.random.default_rng(1).permutation(40), 1)
    wrong = [replace(a, make_graph=lambda _, g=chosen[j].graph: g) for a, j in zip(chosen, order, strict=True)]
    labels = Labels(pd.DataFrame(index=[a.id for a in chosen]), {}, {}, Path("l.csv"))
    taus = []
    for of in (chosen, wrong):
        encodings = {"op-counts": encode("op-counts", of)}
        task = Task(TARGETS["accuracy"], chosen, y, group_of(of), encodings, {}, "graphs", labels)
        report = run_probe(task, grouped(task.groups, repeats=2), probe="ridge", control=False, fit=False)
        taus.append(report.scores[0])
    assert taus[0].tau_low > 0.4
    assert taus[1].tau_low < 0.1
    assert taus[1].tau < taus[0].tau_low


def cell(*ops):
    return "nasbench201:|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*ops)


PLAIN = ("none", "none", "none", "nor_conv_3x3", "none", "none")
BRANCHED = ("none", "none", "avg_pool_3x3", "nor_conv_3x3", "nor_conv_1x1", "none")  # node 1 receives nothing
LIVE = ("skip_connect", "none", "none", "nor_conv_3x3", "nor_conv_1x1", "none")


@pytest.mark.parametrize("spec", ["ghn", "gnn-random", "graph-features", "op-counts", "paths", "size", "wl"])
def test_dead_branches_change_no_prediction_and_live_ones_do(ghn, spec):
    cells = list(architectures(*(cell(*ops) for ops in (PLAIN, BRANCHED, LIVE))))
    plain, branched, live = encode(spec, cells, Context(ghn=ghn))
    np.testing.assert_allclose(branched, plain, rtol=1e-5, atol=1e-6)
    assert not np.allclose(live, plain, rtol=1e-3)


def test_one_hot_sees_dead_branches():
    plain, branched = encode("one-hot", list(architectures(cell(*PLAIN), cell(*BRANCHED))))
    assert (plain != branched).any()
