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
# # Your own network
#
# Any `nn.Module` can be captured as a computational graph, drawn, embedded, placed among architectures that
# were measured, and given predicted parameters. Put yours into the second cell, and its input's shape.

# %%
# %matplotlib inline
import pandas as pd
import torch
from torch import nn

import archrep
from archrep.notebook import keep
from archrep.shipped import CHECKPOINT, LABELS, shipped

# %%
input_shape = (3, 32, 32)
torch.manual_seed(0)
network = nn.Sequential(
    *(nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
    *(nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False), nn.Conv2d(32, 64, 1, bias=False)),
    *(nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
    *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
)

# %% [markdown]
# ## Its graph
#
# This is all that a GHN sees: primitives, the shapes of their parameters, and how they are joined. From the command
# line: `archrep graph nets.py:make_network --out graph.png`.

# %%
from archrep.graph.cost import count_flops
from archrep.plot.graph import draw_graph

own = archrep.capture(network, input_shape=input_shape)
flops = count_flops(network, input_shape)
nodes = pd.DataFrame({"primitive": own.primitives, "parameter": own.param_names, "shape": own.shape.tolist()})
subtitle = f"{len(nodes)} nodes · {own.edge_index.shape[1]} edges · {own.num_params:,} parameters · {flops:,} FLOPs"
keep((draw_graph(own, "Your network", subtitle), nodes), "your-network-graph")

# %% [markdown]
# ## Its embedding, and its neighbours
#
# The architectures that ship with measured labels, nearest first. What was measured of them is a first guess for
# your network; their spread says how good a guess. From the command line: `archrep neighbors nets.py:make_network`.

# %%
from archrep.data.embeddings import read_embeddings
from archrep.data.labels import read_labels
from archrep.search.neighbors import nearest
from archrep.shipped import EMBEDDINGS

ghn = archrep.GHN.load(shipped(CHECKPOINT))
embedding = ghn.embed([own])[0].numpy()
labels = read_labels(shipped(LABELS)).table
found = nearest(read_embeddings(shipped(EMBEDDINGS)), embedding, k=8)
columns = ["accuracy", "trainability", "latency_ms", "params", "flops"]
neighbours = labels.reindex(found.names)[columns].assign(distance=found.distances)
neighbours.round(2)

# %% [markdown]
# Far away from everything, a guess is worth little: compare the distance of the nearest neighbour with that of the
# table's own architectures.

# %%
from archrep.plot.neighbors import draw_neighbors

table = read_embeddings(shipped(EMBEDDINGS))
title = "Your network among measured architectures of deepnets-small"
keep(draw_neighbors(table, labels["accuracy"], embedding, "accuracy (%)", title), "your-network-neighbours")

# %% [markdown]
# ## A prediction with an interval
#
# A probe that learned accuracy from the labelled architectures. The interval holds for architectures like
# those it learned from, under the protocol of the labels: a few hundred steps of training, not a finished network.

# %%
from archrep.probe.encoders import Context
from archrep.search.ranking import fit_targets

labelled = read_labels(shipped(LABELS))
probes, _ = fit_targets(
    labelled, ["accuracy"], ["deepnets-small"], ["ghn"], Context(labelled.table, ghn), table, "ridge"
)
predicted, low, high = probes["accuracy"].predict({"ghn": embedding[None].astype(float)}, 0.9)[0]
print(f"predicted accuracy {predicted:.1f} %, 90 % interval {low:.1f} … {high:.1f} %, of {len(labels)} labels")

# %% [markdown]
# ## Predicted parameters
#
# One call fills the network. Statistics of batch norm are not predicted: use those of the batch, as in
# `network.train()`, or estimate them on images first.

# %%
from archrep.train.weight_statistics import weight_statistics

before = {name: value.detach().clone() for name, value in network.named_parameters()}
archrep.predict_parameters(network, ghn, input_shape)
after = dict(network.named_parameters())
changed = weight_statistics(own, {"random": before, "predicted": after})
changed[["parameter", "primitive", "size", "random_sd", "predicted_sd"]].round(3)

# %% [markdown]
# The network runs, with outputs of a sensible scale, before any training:

# %%
images = archrep.load_images("digits").test
x, y = images.batch(torch.arange(64))
logits = network.train()(x)
print("logits", tuple(logits.shape), f"standard deviation {logits.std():.2f}, finite: {bool(logits.isfinite().all())}")
