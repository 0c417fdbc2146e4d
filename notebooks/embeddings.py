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
# # What does a graph hypernetwork know about an architecture?
#
# A graph hypernetwork (GHN) reads the computational graph of a network and predicts its parameters. On the
# way, every node of the graph gets a state; the mean of the states is an *embedding* of the architecture.
# This notebook embeds the architectures that ship with archrep, draws maps of them, and asks with a *probe*
# what the embedding knows about measured accuracy, beside simple baselines and an untrained GHN.
#
# Everything here runs from what ships with the project, in about two minutes on two cores.

# %%
# %matplotlib inline
import pandas as pd

import archrep
from archrep.data.labels import read_labels
from archrep.plot.umap_map import draw_map, project
from archrep.probe import make_task, run_probe
from archrep.shipped import CHECKPOINT, LABELS, shipped

# %% [markdown]
# ## The checkpoint and the architectures
#
# The GHN was trained on CIFAR-10 with random small architectures (`checkpoints/ghn2-cifar10-small.md` says
# how, and what it reaches). The label table holds architectures it has never seen, each trained from scratch.

# %%
ghn = archrep.GHN.load(shipped(CHECKPOINT))
labels = read_labels(shipped(LABELS))
architectures = list(archrep.architectures(str(shipped(LABELS))))
print(f"{sum(p.numel() for p in ghn.parameters()):,} weights; {len(architectures)} labelled architectures")
labels.table[["accuracy", "trainability", "latency_ms", "params", "flops"]].describe().round(2)

# %% [markdown]
# One architecture is a graph of primitives. Virtual edges join nodes that are 2 to 50 steps apart.

# %%
graph = architectures[0].graph
print(architectures[0].id, "·", len(graph.primitives), "nodes,", graph.edge_index.shape[1], "edges,", end=" ")
print(graph.virtual_edges.shape[1], "virtual edges,", f"{graph.num_params:,} parameters")
pd.DataFrame({"primitive": graph.primitives, "parameter": graph.param_names, "shape": graph.shape.tolist()}).head(8)

# %% [markdown]
# ## Embedding
#
# `archrep embed` does the same from the command line and wrote the shipped table.

# %%
embeddings = ghn.embed([a.graph for a in architectures]).numpy()
embeddings.shape

# %% [markdown]
# ## Maps
#
# UMAP puts architectures with similar embeddings close together. Colour shows what the position knows about
# the trained accuracy, and, as a control, about sheer size.

# %%
points = labels.table.loc[[a.id for a in architectures]].reset_index()
points["nodes"] = [len(a.graph.primitives) for a in architectures]
points["transformer"] = ["attention" if "msa" in a.graph.primitives else "no attention" for a in architectures]
points[["x", "y"]] = project(embeddings, seed=0)
n = f"deepnets-small · test · n = {len(points)} · seed 0"
draw_map(points, "accuracy", "%", f"Accuracy after training · {n}")

# %%
draw_map(points, "nodes", "count", f"Control: size of the graph · {n}")

# %%
draw_map(points, "transformer", title=f"Kind of architecture · {n}")

# %% [markdown]
# ## Probe
#
# Ridge, support vectors or a Gaussian process, chosen inside the training folds; equal graphs never stand on both
# sides of a split. τ is Kendall's rank correlation with the measured accuracy, with a 95 % bootstrap interval. A
# baseline that does as well as the embedding says that the embedding adds nothing.

# %%
from archrep.probe.encoders import Context
from archrep.probe.splits import grouped

task = make_task(labels, "accuracy", ["ghn", "ghn-untrained", "op-counts", "size"], Context(labels.table, ghn))
report = run_probe(task, grouped(task.groups, repeats=2), seed=0)
scores = pd.DataFrame(report.scores).set_index("encoder").round(3)
scores[["dimensions", "tau", "tau_low", "tau_high", "r2", "delta", "delta_low", "delta_high", "p_holm"]]

# %%
from archrep.plot.probe import draw_scatter

draw_scatter(report)[0]

# %% [markdown]
# ## Your own network
#
# Any `nn.Module` can be captured, embedded and given predicted parameters.

# %%
from torch import nn

network = nn.Sequential(
    *(nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
    *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
)
own = archrep.capture(network, input_shape=(3, 32, 32))
network.load_state_dict(ghn.predict(own), strict=False)
distance = ((ghn.embed([own]).numpy() - embeddings) ** 2).sum(axis=1) ** 0.5
points.assign(distance=distance).nsmallest(3, "distance")[["arch", "distance", "accuracy", "params"]].round(2)
