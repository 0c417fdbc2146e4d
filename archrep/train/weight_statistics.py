"""What parameters look like, tensor by tensor: predicted ones beside trained and random ones."""

from collections.abc import Mapping
from itertools import chain

import pandas as pd
import torch
from torch import Tensor

from archrep.errors import ArchrepError
from archrep.graph.archgraph import ArchGraph


@torch.no_grad()
def weight_statistics(graph: ArchGraph, sets: Mapping[str, Mapping[str, Tensor]]) -> pd.DataFrame:
    """Mean, standard deviation and excess kurtosis of every parameter of a network, for several sets of values.

    Args:
        sets: name (such as "predicted") → parameter → values.

    Returns:
        Columns `parameter`, `primitive`, `kind` ("weight": two or more dimensions; "scale", "bias"), `size`, then
        `mean`, `sd` and `kurtosis` of every set as `NAME_mean` and so on. Kurtosis is 0 for a normal distribution, and
        NaN, like sd, where there is too little to tell.

    Raises:
        ArchrepError: if a set lacks a parameter of the graph.
    """
    rows = []
    nodes = zip(graph.primitives, graph.parameters, graph.parameter_shapes, strict=True)
    named = chain.from_iterable(
        ((primitive, name, position, shape) for position, (name, shape) in enumerate(zip(names, shapes, strict=True)))
        for primitive, names, shapes in nodes
    )
    for primitive, name, position, shape in named:
        bias = position > 0 or primitive == "bias"
        kind = "weight" if len(shape) > 1 else "bias" if bias else "scale"
        row = {"parameter": name, "primitive": primitive, "kind": kind, "size": int(torch.Size(shape).numel())}
        for source, values in sets.items():
            if name not in values:
                raise ArchrepError(f"The {source} parameters lack {name!r}; give those of the graph's network.")
            row |= {f"{source}_{key}": value for key, value in _moments(values[name]).items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _moments(values: Tensor) -> dict[str, float]:
    x = values.double().flatten()
    if len(x) < 2:
        return {"mean": float(x.mean()), "sd": float("nan"), "kurtosis": float("nan")}
    centred = x - x.mean()
    variance = float(centred.square().mean())
    kurtosis = float(centred.pow(4).mean()) / variance**2 - 3 if variance > 0 else float("nan")
    return {"mean": float(x.mean()), "sd": float(x.std()), "kurtosis": kurtosis}
