"""`archrep graph`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archrep.cli import completion, options
from archrep.errors import ArchrepError

if TYPE_CHECKING:
    from archrep.space import Architecture

FIGURES = (".png", ".svg")
SUFFIXES = (*FIGURES, ".json")


def graph(
    spec: Annotated[
        str, typer.Argument(help="Architecture spec that names one architecture.", autocompletion=completion.spec)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Drawing (.png, .svg), or nodes and edges (.json), to write.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Look at an architecture: what its computational graph is made of, and a drawing of it.

    Example: `archrep graph torchvision:resnet50 --out resnet50.png`

    `archrep list` shows where specs come from. A GHN sees exactly this graph.
    """
    from archrep.files import refuse_existing, to_json

    if out is not None:
        if out.suffix not in SUFFIXES:
            raise ArchrepError(f"{out}: no such format. Give --out a name that ends in {', '.join(SUFFIXES)}.")
        refuse_existing(out, force)
    architecture = options.select_one(spec, "graph")
    summary = _summarize(architecture)
    if out is not None:
        _write(architecture, summary, out, force)
        summary["out"] = str(out)
    if json:
        print(to_json(summary))
    else:
        _print_summary(summary)


def _summarize(architecture: "Architecture") -> dict:
    from collections import Counter

    import numpy as np
    import torch

    from archrep.graph.cost import count_flops, count_params
    from archrep.plot.graph_layout import node_levels
    from archrep.seeding import seeded

    graph = architecture.graph
    shape = architecture.input_shape  # empty where the network takes something else than one float tensor
    with seeded(0), torch.device("cpu" if shape else "meta"):
        network = architecture.build()
    levels = node_levels(graph)
    return {
        "arch": architecture.id,
        "input_shape": shape,
        "nodes": len(graph.primitive),
        "primitives": dict(Counter(graph.primitives).most_common()),
        "edges": graph.edge_index.shape[1],
        "virtual_edges": graph.virtual_edges.shape[1],
        "depth": int(levels.max()),
        "width": int(np.bincount(levels).max()),
        "params": graph.num_params,
        "params_unused": count_params(network) - graph.num_params,
        "flops": count_flops(network, shape) if shape else None,
        "hash": graph.hash(),
    }


def _write(architecture: "Architecture", summary: dict, out: Path, force: bool) -> None:
    from archrep.files import atomic, provenance, to_json
    from archrep.plot.graph import draw_graph
    from archrep.plot.style import house_style

    if out.suffix in FIGURES:
        subtitle = " · ".join(
            [
                *(f"{summary[name]:,} {name}" for name in ("nodes", "edges")),
                *(f"{name} {summary[name]:,}" for name in ("depth", "width")),
                f"{summary['params']:,} parameters",
                *([f"{summary['flops'] / 1e9:.3g} GFLOPs"] if summary["flops"] else []),
            ]
        )
        figure = draw_graph(architecture.graph, architecture.id, subtitle)
        metadata = {"Software": None} if out.suffix == ".png" else {"Date": None, "Creator": None}
        with house_style(), atomic(out, force) as temporary:
            figure.savefig(temporary, format=out.suffix[1:], metadata=metadata)
        return
    content = {"summary": summary, **_nodes_and_edges(architecture), "provenance": provenance()}
    with atomic(out, force) as temporary:
        temporary.write_text(to_json(content), encoding="utf-8")


def _nodes_and_edges(architecture: "Architecture") -> dict:
    graph = architecture.graph
    columns = zip(graph.primitives, graph.shape.tolist(), graph.parameters, graph.parameter_shapes, strict=True)
    return {
        "nodes": [
            {"primitive": primitive, "shape": shape, "parameters": dict(zip(names, shapes, strict=True))}
            for primitive, shape, names, shapes in columns
        ],
        "edges": graph.edge_index.t().tolist(),
        "unused": graph.unused,
    }


def _print_summary(summary: dict) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=summary["arch"], box=box.SIMPLE_HEAD, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    rows = {"nodes": "nodes", **{f"  {name}": name for name in summary["primitives"]}}
    rows |= {
        "edges": "edges",
        "virtual edges (distance 2 … 50)": "virtual_edges",
        "depth (edges on the longest path)": "depth",
        "width (nodes on the widest level)": "width",
        "parameters": "params",
        "unused parameters": "params_unused",
    }
    if summary["flops"] is not None:
        rows[f"FLOPs per input of {'×'.join(map(str, summary['input_shape']))}"] = "flops"
    for label, key in rows.items():
        table.add_row(label, f"{(summary | summary['primitives'])[key]:,}")
    Console(markup=False, highlight=False).print(table)
    if "out" in summary:
        print(f"Graph: {summary['out']}")
