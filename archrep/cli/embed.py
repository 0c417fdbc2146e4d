"""`archrep embed`."""

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from archrep.cli import options

CHUNK = 512  # architectures whose graphs are in memory at once
SHOWN = 20  # refused architectures that are named; the others are counted by reason


def embed(
    checkpoint: options.Checkpoint = None,
    archs: options.Archs = None,
    out: Annotated[Path, typer.Option(help="Embedding table to write (Parquet).")] = Path("embeddings.parquet"),
    limit: options.Limit = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Embed architectures with a GHN: one row per architecture, the mean of its final node states.

    Example: `archrep embed --archs deepnets-small:test:0-99 --out embeddings.parquet`

    Without options, the architectures with shipped labels are embedded with the shipped GHN. What has no
    computational graph, such as a NAS-Bench-201 cell whose output does not depend on its input, is left out and
    reported.
    """
    import dataclasses
    import itertools

    import numpy as np
    from tqdm import tqdm

    from archrep.data.embeddings import write_embeddings
    from archrep.errors import ArchrepError
    from archrep.files import file_digest, provenance, refuse_existing, to_json
    from archrep.ghn import GHN
    from archrep.graph.summary import COLUMNS, summarise
    from archrep.shipped import CHECKPOINT, LABELS, shipped
    from archrep.space import architectures

    refuse_existing(out, force)
    checkpoint = checkpoint or shipped(CHECKPOINT)
    ghn = GHN.load(checkpoint).to(options.torch_device(device, threads))
    vocabulary = ghn.config.vocabulary
    refused: list[str] = []
    selected = itertools.islice(architectures(*(archs or [str(shipped(LABELS))]), refused=refused), limit)
    columns: dict[str, list] = {name: [] for name in ("arch", "space", "split", *COLUMNS)}
    values = []
    mapped: dict[str, tuple[str, int]] = {}
    with tqdm(unit="arch", disable=not sys.stderr.isatty()) as bar:
        while chunk := list(itertools.islice(selected, CHUNK)):
            captured = [a for a in chunk if _captured(a, vocabulary, refused, mapped)]
            if captured:
                values.append(ghn.embed([a.graph_in(vocabulary) for a in captured]).numpy())
            for a in captured:
                row = {"arch": a.id, "space": a.space, "split": a.split, **summarise(a.graph_in(vocabulary))}
                for name, column in columns.items():
                    column.append(row[name])
            bar.update(len(chunk))
    for reason in refused[:SHOWN]:
        print(f"Refused: {reason}", file=sys.stderr)
    for reason, count in Counter(reason.partition(": ")[2] for reason in refused[SHOWN:]).items():
        print(f"Refused: {count} more: {reason}", file=sys.stderr)
    if not values:
        raise ArchrepError(
            "No architectures to embed: the given specs and tables name none"
            + (f" that can be captured ({len(refused)} refused)." if refused else ".")
        )
    header = {
        "ghn": dataclasses.asdict(ghn.config),
        "checkpoint": checkpoint.name,
        "checkpoint_digest": file_digest(checkpoint),
        "provenance": provenance(),
    }
    write_embeddings(out, columns, np.concatenate(values), header, force)
    print(f"Captured: {len(columns['arch'])}, refused: {len(refused)}", file=sys.stderr)
    for kind, (nearest, count) in sorted(mapped.items()):
        print(f"No primitive for {kind} ({count} nodes): the nearest is {nearest}", file=sys.stderr)
    if json:
        counts = {"architectures": len(columns["arch"]), "refused": refused, "dimensions": ghn.config.hidden}
        print(to_json({**counts, "mapped": {kind: near for kind, (near, _) in mapped.items()}, "out": out}))
    else:
        print(f"Embeddings of {len(columns['arch'])} architectures ({ghn.config.hidden}-dimensional): {out}")


def _captured(architecture, vocabulary: str, refused: list[str], mapped: dict[str, tuple[str, int]]) -> bool:
    """Whether the architecture has a graph; else the reason goes to `refused`. Counts what had to be mapped."""
    from archrep.errors import CaptureError

    try:
        graph = architecture.graph_in(vocabulary)
    except CaptureError as error:
        refused.append(str(error))
        return False
    for kind, nearest in graph.mapped.items():
        if kind != "linear":  # which conv means in the released vocabulary
            mapped[kind] = (nearest, mapped.get(kind, ("", 0))[1] + graph.kinds.count(kind))
    return True
