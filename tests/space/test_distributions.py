"""The generator draws what the reference does: two-sample tests against recorded samples of its splits."""

import json
from functools import cache

import numpy as np
import pytest
from scipy import stats

from archrep.space.deepnets import OPS, DeepNetConfig, Generated
from archrep.space.deepnets.architecture import emitted
from archrep.space.deepnets.sampler import standard

# Largest distance of a mean, in recorded standard deviations.
TOLERANCE = {"val": 0.25, "bnfree": 0.25, "deep": 0.6, "dense": 0.6}
NUMBERS = ("cells", "steps", "nodes", "edges", "params", "log params")
SIGNIFICANCE = 0.01


@cache
def facts(config):
    graph, params = emitted(config), standard(config).num_params
    steps = len(config.genotype.normal) // 2
    return config.n_cells, steps, len(graph.primitive), graph.edge_index.shape[1], params, np.log(params)


@cache
def sampled(split):
    source = Generated("deepnets", split)
    return [source.config(i) for i in range(len(source))]


def recorded(shared, split):
    path = shared / "golden" / "deepnets1m" / f"deepnets1m_{split}_meta.json"
    return [DeepNetConfig.from_record(record) for record in json.loads(path.read_text())[split]["nets"]]


def op_counts(configs, cell):
    """(architectures, 15) how often an operation occurs in a cell."""
    edges = [getattr(config.genotype, cell) for config in configs]
    return np.array([[sum(op == name for op, _ in one) for name in OPS] for one in edges])


@pytest.mark.shared
@pytest.mark.parametrize("split", list(TOLERANCE))
def test_means_are_the_recorded_ones(shared, split):
    ours, theirs = (np.array([facts(c) for c in configs]) for configs in (sampled(split), recorded(shared, split)))
    distance = abs(ours.mean(0) - theirs.mean(0)) / theirs.std(0, ddof=1)
    assert dict(zip(NUMBERS, distance, strict=True)) == pytest.approx(dict.fromkeys(NUMBERS, 0), abs=TOLERANCE[split])


@pytest.mark.shared
def test_distributions_are_the_recorded_ones(shared):
    """Kolmogorov-Smirnov on sizes, t on operation shares, χ² on arguments; Holm-corrected over all of them."""
    p_values = {}
    for split in TOLERANCE:
        a, b = sampled(split), recorded(shared, split)
        ours, theirs = (np.array([facts(c) for c in configs]) for configs in (a, b))
        for i, name in enumerate(NUMBERS):
            p_values[split, name] = stats.ks_2samp(ours[:, i], theirs[:, i]).pvalue
        for cell in ("normal", "reduce"):
            p_values |= {
                (split, cell, op): p
                for op, p in zip(OPS, frequency_tests(op_counts(a, cell), op_counts(b, cell)), strict=True)
            }
        for name in ("norm", "preproc", "glob_avg", "stem_type", "stem_kernel", "stem_pool", "channel_mult"):
            p_values[split, name] = contingency_test([getattr(c, name) for c in a], [getattr(c, name) for c in b])
        for op in ("msa", "cse"):
            p_values[split, op] = contingency_test([op in c.genotype.ops for c in a], [op in c.genotype.ops for c in b])
    assert not rejected(p_values)


def frequency_tests(a, b):
    """p-values of equal op frequencies: architectures are the units, their edges depend on each other."""
    return [
        stats.ttest_ind(share(a)[:, i], share(b)[:, i], equal_var=False).pvalue if a[:, i].any() or b[:, i].any() else 1
        for i in range(len(OPS))
    ]


def share(counts):
    return counts / counts.sum(axis=1, keepdims=True)


def contingency_test(a, b):
    values = sorted({*a, *b})
    if len(values) == 1:
        return 1.0
    return stats.chi2_contingency([[x.count(v) for v in values] for x in (a, b)]).pvalue


def rejected(p_values):
    """Hypotheses that Holm's procedure rejects at 1 %."""
    out = []
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p > SIGNIFICANCE / (len(p_values) - rank):
            break
        out.append(name)
    return out


def test_the_test_can_fail():
    """A split against one that differs in a single distribution."""
    a, b = ([facts(Generated("deepnets", s).config(i))[0] for i in range(100)] for s in ("val", "deep"))
    assert rejected({"cells": stats.ks_2samp(a, b).pvalue, "other": 1.0}) == ["cells"]
    ops = op_counts([Generated("deepnets", "val").config(i) for i in range(100)], "normal")
    without = np.where(np.arange(len(OPS)) == OPS.index("msa"), 0, ops)[ops[:, OPS.index("msa")] < ops.sum(axis=1)]
    assert rejected(dict(zip(OPS, frequency_tests(without, ops), strict=True))) == ["msa"]
