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
# # What goes together: targets, embeddings, early epochs, zero-cost proxies
#
# Labels cost training. This notebook asks which cheaper things rank architectures alike: other targets, the
# accuracy early in training, scores of untrained networks, and embeddings, and how much of a ranking is noise.
# Correlations are Kendall's τ: 1 for the same order, 0 for none.
#
# Everything runs from what ships with the project, in a few minutes.

# %%
# %matplotlib inline
import pandas as pd
from IPython.display import Markdown

import archrep
from archrep.data.labels import read_labels
from archrep.data.targets import TARGETS
from archrep.notebook import keep, optional_data, sized
from archrep.probe.label_card import describe, noise
from archrep.shipped import CHECKPOINT, LABELS, shipped

labels = read_labels(shipped(LABELS))
labels = labels.take(slice(sized(None, 60)))
print(f"{len(labels.table):,} labelled architectures")

# %% [markdown]
# ## Targets against each other
#
# Every architecture was trained from scratch on CIFAR-10 under one protocol. `trainability` and costs are better when
# they are lower, so a negative τ with accuracy is a good one.

# %%
from archrep.plot.labels import draw_correlations

card = describe(shipped(LABELS))
keep(draw_correlations(card), "correlations-targets")

# %% [markdown]
# ## Noise ceiling
#
# Trained again with another seed, an architecture gets another accuracy. No predictor can be expected to agree
# with labels better than labels of different seeds allow.

# %%
Markdown(noise(card))

# %% [markdown]
# ## Targets against embeddings
#
# Ridge probes, cross-validated by graph: what the embedding of the GHN says of every target, beside that of an
# untrained GHN, graph features, and the number of parameters and FLOPs alone.

# %%
from archrep.plot.scores import draw_scores
from archrep.probe.correlate import probe_targets
from archrep.probe.encoders import Context, encode

ghn = archrep.GHN.load(shipped(CHECKPOINT))
targets = sized([name for name in TARGETS if name in labels.table], ["accuracy", "trainability"])
encoders = ["ghn", "ghn-untrained", "graph-features", "size"]
scores = probe_targets(labels, targets, encoders, Context(labels.table, ghn), repeats=sized(3, 1))
how = f"deepnets-small · n = {len(labels.table)} · {sized(3, 1)}×5-fold cross-validation by graph, ridge"
keep(draw_scores(scores, f"What encoders say of targets · {how}"), "correlations-encoders")

# %%
scores.pivot(index="target", columns="encoder", values="tau").loc[list(dict.fromkeys(scores["target"]))].round(2)

# %% [markdown]
# ## Early epochs
#
# The training accuracy after a part of the budget, against what is measured at its end. Early stopping by
# the curve is the baseline that predictors of accuracy have to beat.

# %%
from archrep.data.curves import read_curves
from archrep.plot.scores import draw_early
from archrep.probe.correlate import correlate

curves = read_curves(shipped(LABELS))
table = labels.table.loc[labels.table.index.intersection(curves.index)]
ends = {name: table[name].to_numpy() for name in ("accuracy", "trainability", "latency_ms")}
early = {name: correlate(curves.loc[table.index], y) for name, y in ends.items()}
title = f"Training accuracy so far against the label at the end\ndeepnets-small · n = {len(table)} · 95 % bootstrap"
keep(draw_early(early, title), "correlations-early")

# %% [markdown]
# ## Zero-cost proxies
#
# Scores of one batch of images in a network that is not trained. The images are scikit-learn's digits, or CIFAR-10
# where the environment variable `ARCHREP_DATA` names a folder that has it.

# %%
from archrep.data import load_images
from archrep.probe.encoders.zero_cost import PROXIES

folder = optional_data("cifar10")
images = load_images(str(folder) if folder else "digits")
scored = labels.take(slice(sized(150, 12)))
architectures = list(archrep.architectures(*scored.table.index))
proxies = encode("zero-cost", architectures, Context(scored.table, images=images, seed=0))
proxies = pd.DataFrame(proxies, columns=list(PROXIES), index=scored.table.index)
found = correlate(proxies, scored.table["accuracy"].to_numpy())
title = f"Zero-cost proxies against measured accuracy\ndeepnets-small · n = {len(scored.table)}"
keep(draw_scores(found, f"{title} · one batch of {images.name}, seed 0"), "correlations-proxies")

# %% [markdown]
# Proxies and embeddings can be read together: `archrep probe --encoders zero-cost,ghn,zero-cost+ghn --data FOLDER`.

# %%
proxies.assign(accuracy=scored.table["accuracy"]).corr("kendall").round(2)
