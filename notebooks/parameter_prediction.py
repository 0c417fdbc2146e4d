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
# # Predicting the parameters of networks
#
# One forward pass of a graph hypernetwork (GHN) gives every parameter of a network that it has never seen. This
# notebook predicts those of a ResNet-50, shows how accurate such networks are without any training, compares
# predicted with trained weights, and trains on from there.
#
# Everything runs from what ships with the project. Images are scikit-learn's digits, or CIFAR-10 where the environment
# variable `ARCHREP_DATA` names a folder with `cifar10/`.

# %%
# %matplotlib inline
from time import perf_counter

import pandas as pd

import archrep
from archrep.data import load_images
from archrep.notebook import keep, optional_data, sized
from archrep.shipped import CHECKPOINT, PREDICTED, shipped

# %% [markdown]
# ## A ResNet-50 in one call

# %%
ghn = archrep.GHN.load(shipped(CHECKPOINT))
resnet = next(iter(archrep.architectures("deepnets:predefined:0")))
start = perf_counter()
parameters = ghn.predict(resnet.graph)
seconds = perf_counter() - start
count = sum(value.numel() for value in parameters.values())
print(f"{count:,} parameters in {len(parameters)} tensors, predicted in {seconds:.1f} s by a GHN of", end=" ")
print(f"{sum(p.numel() for p in ghn.parameters()):,} weights")

# %% [markdown]
# Predicted tensors have the shapes and names of the network's own, so they can be loaded.

# %%
network = resnet.build()
missing, unexpected = network.load_state_dict(parameters, strict=False)
print("not predicted:", {name.rpartition(".")[2] for name in missing} or "nothing", "· unexpected:", unexpected)
shown = [(name, tuple(value.shape), value.std().item()) for name, value in parameters.items() if value.dim() == 4]
pd.DataFrame(shown[:: len(shown) // 5], columns=["parameter", "shape", "standard deviation"]).round(4)

# %% [markdown]
# ## Accuracy per split, beside the paper's
#
# Mean CIFAR-10 accuracy of networks with predicted parameters, without a step of training. The figures of this
# project are of small networks and a GHN that was trained for a few hours on a CPU; the paper's (arXiv:2110.13100,
# Table 3) are of much larger networks, after days on a GPU. The rows ship as
# `checkpoints/predicted-accuracy.csv`; `archrep evaluate`, as in the model cards, computes them again.

# %%
from archrep.plot.predicted import draw_published
from archrep.train.published_rows import beside_published

accuracies = beside_published(pd.read_csv(shipped(PREDICTED)))
title = "Accuracy with predicted parameters · deepnets-small, CIFAR-10, 1,000 test images"
title += "\none GHN of each kind · 95 % bootstrap over architectures"
keep(draw_published(accuracies, title, "paper (larger networks)"), "prediction-accuracy")

# %%
accuracies.round(1)

# %% [markdown]
# ## Predicted against trained weights
#
# The same networks trained from random initialisation for a short while. How large are weights before, after, and as
# predicted? Short training hardly moves the scale of a layer; a GHN is free to choose another one, and its batch norms
# spread their scales and biases from the start.

# %%
from archrep.train.finetune import Finetuning, Recipe, few_shots

folder = optional_data("cifar10")
images = load_images(str(folder) if folder else "digits")
shots = sized(50, 10)
train, test = few_shots(images.train, shots, 10), images.test.subset(sized(500, 100))
specs = sized("deepnets-small:test:5-9", "deepnets-small:test:5-6")
networks = list(archrep.architectures(specs))
training = Finetuning(ghn, train, test, 10, Recipe(shots, epochs=sized(8, 2), batch=32))

# %%
from archrep.train.weight_statistics import weight_statistics

tables = []
for a in networks:
    key = {"arch": a.id, "init": "random", "seed": 0}
    random, graph = training.start(key, a)
    predicted, _ = training.start(key | {"init": "ghn"}, a)
    trained, *_ = training.tune(key, a)
    nets = {"predicted": predicted, "random": random, "trained": trained}
    sets = {name: dict(net.named_parameters()) for name, net in nets.items()}
    tables.append(weight_statistics(graph, sets).assign(arch=a.id))
statistics = pd.concat(tables, ignore_index=True)

# %%
from archrep.plot.predicted import draw_weights

how = f"{len(networks)} networks of deepnets-small:test · {images.name}, {shots} images per class"
title = f"Scale of parameters · {how} · {training.recipe.epochs} epochs · seed 0"
keep(draw_weights(statistics, title), "prediction-weights")

# %%
columns = [f"{name}_{moment}" for moment in ("sd", "kurtosis") for name in ("predicted", "random", "trained")]
statistics.groupby("kind")[columns].median().round(3)

# %% [markdown]
# ## Fine-tuning from predicted parameters
#
# Networks start from predicted or from random parameters and see the same images in the same order. Does a predicted
# start help, and for how long? The GHN was trained on CIFAR-10: digits are foreign to it. The difference is paired,
# over architectures.

# %%
from dataclasses import replace

from archrep.train.finetune import INITS, summarize_inits

rows = []
for epochs in sized([1, 3, 8], [1, 2]):
    work = replace(training, recipe=replace(training.recipe, epochs=epochs))
    keys = [{"arch": a.id, "init": init, "seed": 0} for a in networks for init in INITS]
    by_id = {a.id: a for a in networks}
    results = [key | work(key, by_id[key["arch"]]) for key in keys]
    rows += [{"epochs": epochs} | row for row in summarize_inits(results)]
tuned = pd.DataFrame(rows)

# %%
from archrep.plot.predicted import draw_finetuning

title = f"Fine-tuning · {how}, {len(test):,} test images\nseed 0 · 95 % bootstrap over architectures"
keep(draw_finetuning(tuned, title), "prediction-finetuning")

# %%
tuned[["epochs", "init", "n", "mean", "ci_low", "ci_high"]].round(1)
