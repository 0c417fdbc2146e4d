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
# This notebook embeds architectures of several spaces, draws maps of them, asks how far the maps can be
# trusted, and compares the trained GHN with one whose weights are random.
#
# Everything runs from what ships with the project, without a GPU, in a few minutes.

# %%
# %matplotlib inline
import pandas as pd

import archrep
from archrep.data.labels import read_labels
from archrep.notebook import keep, sized
from archrep.shipped import CHECKPOINT, LABELS, shipped

# %% [markdown]
# ## What an embedding is
#
# One architecture is a graph of primitives. Virtual edges join nodes that are 2 to 50 steps apart.

# %%
ghn = archrep.GHN.load(shipped(CHECKPOINT))
labels = read_labels(shipped(LABELS))
labels = labels.take(slice(sized(None, 60)))
labelled = list(archrep.architectures(*labels.table.index))
graph = labelled[0].graph
print(labelled[0].id, "·", len(graph.primitives), "nodes,", graph.edge_index.shape[1], "edges,", end=" ")
print(graph.virtual_edges.shape[1], "virtual edges,", f"{graph.num_params:,} parameters")
pd.DataFrame({"primitive": graph.primitives, "parameter": graph.param_names, "shape": graph.shape.tolist()}).head(6)

# %% [markdown]
# The GHN gives every node a state, and the embedding is their mean: as many numbers, whatever the size of the graph.

# %%
states = ghn.node_states(graph)
embedding = ghn.embed([graph])[0]
print("node states", tuple(states.shape), "· embedding", tuple(embedding.shape), end=" · ")
print(f"largest difference from the mean of the states: {(states.mean(dim=0) - embedding).abs().max():.1e}")

# %% [markdown]
# ## A map of several spaces
#
# Equal numbers of architectures of four spaces that need no download. UMAP puts architectures with similar
# embeddings close together; how far apart two clusters lie, or how large one is, means nothing.

# %%
from archrep.graph.summary import summarise
from archrep.plot.maps import draw_maps
from archrep.plot.umap_map import project
from archrep.space.atlas import atlas

everywhere = atlas(sized(150, 30), seed=0)
points = pd.DataFrame([{"arch": a.id, "space": a.space} | summarise(a.graph) for a in everywhere])
values = ghn.embed([a.graph for a in everywhere]).numpy()
points[["x", "y"]] = project(values, seed=0)
panels = {"space": "space", "op_mix": "most frequent operation besides convolution"}
panels |= {"depth": "depth (edges on the longest path)", "params": "control: parameters (count)"}
title = f"UMAP of GHN embeddings · four spaces, {len(points) // 4} architectures each · n = {len(points)} · seed 0"
keep(draw_maps(points, panels, title), "map-spaces")

# %% [markdown]
# ## A map of measured architectures
#
# The label table holds architectures that the GHN has never seen, each trained from scratch on CIFAR-10. Colour
# shows what the position says about trained accuracy, about depth and operations and, as a control, about size.

# %%
measured = labels.table.loc[[a.id for a in labelled]].reset_index()
facts = pd.DataFrame([summarise(a.graph) for a in labelled]).drop(columns="params")
measured = measured.join(facts).assign(split=[a.split for a in labelled])
embeddings = ghn.embed([a.graph for a in labelled]).numpy()
maps = {seed: project(embeddings, seed=seed) for seed in range(sized(5, 2))}
measured[["x", "y"]] = maps[0]
where = f"deepnets-small · {', '.join(measured['split'].unique())} · n = {len(measured)}"
panels = {"accuracy": "measured accuracy (%)", "depth": "depth (edges on the longest path)"}
panels |= {"op_mix": "most frequent operation besides convolution", "params": "control: parameters (count)"}
keep(draw_maps(measured, panels, f"UMAP of GHN embeddings · {where} · seed 0"), "map-measured")

# %% [markdown]
# ## Can the map be trusted?
#
# Trustworthiness is 1 if nobody is near in the map who is far in the embedding. Seeds are compared by the
# neighbours that their maps share, and by what differs after rotating one map onto the other (disparity).

# %%
from archrep.probe.map_quality import map_quality

standardised = (embeddings - embeddings.mean(axis=0)) / (embeddings.std(axis=0) + 1e-9)
map_quality(standardised, maps).round(3)

# %% [markdown]
# Does it show more than size? Every architecture is predicted by the mean of its 15 nearest neighbours: in the
# map, in the embedding, in that of an untrained GHN, and among architectures of the same size and cost. Where size
# tells accuracy as well as the embedding does, the map may be one of sizes.

# %%
from archrep.plot.scores import draw_scores
from archrep.probe.encoders import Context, encode
from archrep.probe.groups import group_of
from archrep.probe.map_quality import told_by_neighbors

context = Context(labels.table, ghn)
untrained = encode("ghn-untrained", labelled, context)
size = encode("size", labelled, context)
places = {"map": maps[0], "GHN": embeddings, "untrained GHN": untrained, "params and FLOPs": size}
columns = measured[["accuracy", "depth", "params"]]
told = told_by_neighbors(places, columns, group_of(labelled))
keep(draw_scores(told, f"What the 15 nearest neighbours tell · {where} · bootstrap over graphs"), "map-control")

# %% [markdown]
# ## Trained against untrained
#
# The same architectures, mapped by embeddings of the trained GHN and of one with random weights.

# %%
measured[["untrained x", "untrained y"]] = project(untrained, seed=0)
pair = [("x", "y"), ("untrained x", "untrained y")]
title = f"UMAP of GHN embeddings, trained (above) and untrained (below) · {where} · seed 0"
colours = {"accuracy": "measured accuracy (%)", "params": "control: parameters (count)"}
keep(draw_maps(measured, colours, title, pair), "map-untrained")

# %% [markdown]
# A probe (ridge regression; equal graphs never stand on both sides of a split) says it in numbers: Kendall's τ with
# the measured accuracy and its 95 % bootstrap interval, beside baselines. A baseline that does as well as the
# embedding says that the embedding adds nothing. `delta` is paired, against the trained GHN, with p-values after
# Holm's correction.

# %%
from archrep.probe.correlate import probe_targets

encoders = ["ghn", "ghn-untrained", "graph-features", "op-counts", "size"]
scores = probe_targets(labels, ["accuracy"], encoders, context, repeats=sized(5, 1))
title = f"Probes of measured accuracy · {where}\n{sized(5, 1)}×5-fold cross-validation by graph, seed 0"
keep(draw_scores(scores.drop(columns="target"), title), "probe-encoders")

# %%
scores[["encoder", "tau", "tau_low", "tau_high", "delta", "delta_low", "delta_high", "p_holm"]].round(3)
