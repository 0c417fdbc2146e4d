"""All commands, by name. Heavy imports sit inside them, so that `archrep --help` is fast."""

from collections.abc import Callable

import typer

from archrep.cli.embed import embed
from archrep.cli.evaluate import evaluate
from archrep.cli.finetune import finetune
from archrep.cli.graph import graph
from archrep.cli.labels import labels
from archrep.cli.list import list_spaces
from archrep.cli.map import map_embeddings
from archrep.cli.measure import measure
from archrep.cli.neighbors import neighbors
from archrep.cli.predict import convert, predict
from archrep.cli.predict_target import predict_target
from archrep.cli.probe import probe
from archrep.cli.rank import rank
from archrep.cli.sample import info, sample
from archrep.cli.search import search
from archrep.cli.train import train

ALL: dict[str, Callable[..., None]] = {
    "list": list_spaces,
    "graph": graph,
    "sample": sample,
    "info": info,
    "embed": embed,
    "probe": probe,
    "predict-target": predict_target,
    "rank": rank,
    "search": search,
    "neighbors": neighbors,
    "map": map_embeddings,
    "predict": predict,
    "evaluate": evaluate,
    "finetune": finetune,
    "train": train,
    "measure": measure,
    "convert": convert,
}

GROUPS: dict[str, typer.Typer] = {"labels": labels}
