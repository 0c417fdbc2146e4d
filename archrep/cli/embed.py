"""`archrep embed`."""

import itertools
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archrep.cli import options

if TYPE_CHECKING:
    from archrep.ghn import GHN
    from archrep.space import Architecture

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

    from archrep.data.embeddings import write_embedding_parts
    from archrep.files import file_digest, provenance, refuse_existing, to_json
    from archrep.ghn import GHN
    from archrep.shipped import CHECKPOINT, LABELS, shipped
    from archrep.space import architectures

    refuse_existing(out, force)
    checkpoint = checkpoint or shipped(CHECKPOINT)
    ghn = GHN.load(checkpoint).to(options.torch_device(device, threads))
    refused: list[str] = []
    selected = itertools.islice(architectures(*(archs or [str(shipped(LABELS))]), refused=refused), limit)
    mapped: dict[str, tuple[str, int]] = {}
    header = {
        "ghn": dataclasses.asdict(ghn.config),
        "checkpoint": checkpoint.name,
        "checkpoint_digest": file_digest(checkpoint),
        "provenance": provenance(),
    }
    try:
        embedded = write_embedding_parts(out, _parts(selected, ghn, refused, mapped), header, force)
    finally:
        _tell_refused(refused)
    print(f"Captured: {embedded}, refused: {len(refused)}", file=sys.stderr)
    for kind, (nearest, count) in sorted(mapped.items()):
        print(f"No primitive for {kind} ({count} nodes): the nearest is {nearest}", file=sys.stderr)
    if json:
        counts = {"architectures": embedded, "refused": refused, "dimensions": ghn.config.hidden}
        print(to_json({**counts, "mapped": {kind: near for kind, (near, _) in mapped.items()}, "out": out}))
    else:
        print(f"Embeddings of {embedded} architectures ({ghn.config.hidden}-dimensional): {out}")


def _parts(selected: "Iterator[Architecture]", ghn: "GHN", refused: list[str], mapped: dict[str, tuple[str, int]]):
    """Columns and embeddings of one chunk after the other: memory does not grow with their number."""
    from tqdm import tqdm

    from archrep.errors import ArchrepError
    from archrep.graph.summary import COLUMNS, summarise

    vocabulary = ghn.config.vocabulary
    empty = True
    with tqdm(unit="arch", disable=not sys.stderr.isatty()) as bar:
        while chunk := list(itertools.islice(selected, CHUNK)):
            captured = [a for a in chunk if _captured(a, vocabulary, refused, mapped)]
            if captured:
                empty = False
                graphs = [a.graph_in(vocabulary) for a in captured]
                facts = [summarise(graph) for graph in graphs]
                columns: dict[str, list] = {"arch": [a.id for a in captured]}
                columns |= {name: [getattr(a, name) for a in captured] for name in ("space", "split")}
                columns |= {name: [row[name] for row in facts] for name in COLUMNS}
                yield columns, ghn.embed(graphs).numpy()
            bar.update(len(chunk))
    if empty:
        raise ArchrepError(
            "No architectures to embed: the given specs and tables name none"
            + (f" that can be captured ({len(refused)} refused)." if refused else ".")
        )


def _tell_refused(refused: list[str]) -> None:
    for reason in refused[:SHOWN]:
        print(f"Refused: {reason}", file=sys.stderr)
    for reason, count in Counter(reason.partition(": ")[2] for reason in refused[SHOWN:]).items():
        print(f"Refused: {count} more: {reason}", file=sys.stderr)


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
