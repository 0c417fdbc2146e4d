# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Finding good architectures with few labels
#
# Three questions of architecture search: how many labels does a predictor need, how much does it save when it
# chooses what to train next, and what does it say of accuracy and cost together?
#
# Everything runs from the labels that ship with the project. Where the environment variable `ARCHREP_DATA` names a
# folder with `nasbench201/accuracy.csv.gz`, the first two questions are asked of NAS-Bench-201 instead.

# %%
# %matplotlib inline
from pathlib import Path
from tempfile import mkdtemp

import archrep
from archrep.data.labels import read_labels
from archrep.journal import Journal
from archrep.notebook import keep, optional_data, sized
from archrep.probe.encoders import Context
from archrep.shipped import CHECKPOINT, LABELS, shipped

# %%
published = optional_data("nasbench201/accuracy.csv.gz")
space = "nasbench201" if published else "deepnets-small"
labels = read_labels(published or shipped(LABELS))
labels = labels.take(slice(sized(None, 60)))
ghn = archrep.GHN.load(shipped(CHECKPOINT))
context = Context(labels.table, ghn)
print(f"{len(labels.table):,} labelled architectures of {space}")

# %% [markdown]
# ## Learning curves
#
# Training sets of growing size are drawn again and again, whole groups of equal graphs at a time; τ is that on all
# other architectures. Encoders differ in what they see: graphs, or only size. The band is the 95 % interval of the
# mean over training sets; they overlap, so that it is too narrow where most labels are drawn.

# %%
from archrep.plot.probe import draw_curve
from archrep.probe.curves import learning_curve, summarize_curve
from archrep.probe.task import make_task

task = make_task(labels, "accuracy", ["ghn", "ghn-untrained", "graph-features", "size"], context)
journal = Journal(Path(mkdtemp()) / "curve.jsonl", {}, "")
resamplings = sized(10, 2)
rows = learning_curve(task, journal, probes=["ridge"], resamplings=resamplings)
summary = summarize_curve(rows)
title = f"Learning curves · accuracy of {space} · n = {len(task.y):,} · {resamplings} training sets · seed 0"
keep(draw_curve(summary, title), "ranking-curves")

# %%
summary.pivot(index="encoder", columns="n", values="mean").round(3)

# %% [markdown]
# ## Search regret
#
# A search pays for one architecture after the other and sees their validation accuracy. Regret is how far the
# best one so far stays behind the best of the pool. Strategies that learn from what they paid for are compared with
# random search over many runs, with 95 % intervals of the mean.

# %%
from archrep.plot.search import draw_regret
from archrep.search.pool import make_pool
from archrep.search.regret import differences, regret_table, summarize
from archrep.search.simulate import simulate

strategies = ["random", "local-search", "evolution", "gp-ei:graph-features", "gp-ei:ghn"]
pool = make_pool(labels, space, "accuracy", ["graph-features", "ghn"], context)
budget, runs = sized(40, 12), sized(20, 2)
trajectories = simulate(pool, sized(strategies, strategies[:4]), runs, budget)
regret = regret_table(pool, trajectories, budget)
title = f"Search of {space} · n = {len(pool.names):,} · {runs} runs · seed 0 · 95 % intervals"
keep(draw_regret(summarize(regret), pool.target.unit, title), "ranking-regret")

# %% [markdown]
# Paired differences at the end of the budget, first minus second, with Holm's correction:

# %%
differences(regret, budget).round(3)

# %% [markdown]
# ## Pareto front
#
# Accuracy is predicted, by an encoder and a probe that are chosen inside the labels; FLOPs are counted. The pool are
# architectures that nobody has trained. The front keeps those that no other one beats in both.

# %%
from archrep.plot.search import draw_front
from archrep.search.ranking import fit_targets, rank_pool

own = read_labels(shipped(LABELS))
own = own.take(slice(sized(None, 60)))
known = Context(own.table, ghn)
specs = ["ghn", "graph-features"]
probes, _ = fit_targets(own, ["accuracy"], ["deepnets-small"], specs, known, choice="ridge")
unseen = archrep.architectures(f"deepnets-small:search:0-{sized(499, 49)}")
ranking = rank_pool(unseen, {"accuracy": probes["accuracy"], "flops": None}, known)
ranking.table(5).round(2)

# %%
import pandas as pd

from archrep.search.ranking import column_names

cloud = pd.DataFrame({"arch": ranking.names})
for target in ranking.targets:
    cloud[list(column_names(target))] = ranking.values[target.name]
front = cloud[ranking.front()].sort_values("accuracy", ascending=False)
title = f"Predicted accuracy and counted FLOPs · deepnets-small:search\nn = {len(cloud)} · {len(own.table)} labels"
keep(draw_front(cloud, front, ranking.targets, title), "ranking-pareto")
