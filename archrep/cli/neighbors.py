"""`archrep neighbors`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archrep.cli import completion, options
from archrep.errors import ArchrepError

if TYPE_CHECKING:
    from archrep.data.embeddings import Embeddings


def neighbors(
    arch: Annotated[
        str, typer.Argument(help="Architecture spec; it need not be in the table.", autocompletion=completion.spec)
    ],
    table: Annotated[Path | None, typer.Option("--in", help="Embedding table; default: the shipped one.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many.")] = 10,
    metric: Annotated[
        str, typer.Option(help="euclidean or cosine.", autocompletion=completion.one("metric"))
    ] = "euclidean",
    checkpoint: options.Checkpoint = None,
    out: Annotated[Path | None, typer.Option(help="Table to write, CSV or Parquet.")] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Find the nearest architectures in an embedding table, with distances and what differs.

    Example: `archrep neighbors deepnets-small:test:0 -k 5`

    An architecture that is not in the table is embedded with the checkpoint that the table was made with.
    """
    from archrep.data.embeddings import read_embeddings
    from archrep.data.tables import check_rows_path, write_rows
    from archrep.files import file_digest, provenance, refuse_existing, to_json
    from archrep.search.neighbors import nearest
    from archrep.shipped import EMBEDDINGS, shipped

    if out is not None:
        check_rows_path(out)
        refuse_existing(out, force)
    path = table or shipped(EMBEDDINGS)
    embeddings = read_embeddings(path)
    name = arch if arch in embeddings.table.index else options.select_one(arch, "neighbors").id
    query = name if name in embeddings.table.index else _embed(name, embeddings, path, checkpoint)
    found = nearest(embeddings, query, k, metric)
    rows = [
        {"arch": other, "distance": float(distance), "differs": _difference(name, other)}
        for other, distance in zip(found.names, found.distances, strict=True)
    ]
    if len(rows) < k:
        print(f"The table has {len(rows):,} other architectures, fewer than -k {k:,}: all are listed", file=sys.stderr)
    if found.tied:
        print(f"{found.tied:,} more are as near as the last one; names decide between them", file=sys.stderr)
    facts = provenance(arch=name, metric=metric, table=path.name, digest=file_digest(path))
    if out is not None:
        write_rows(rows, {"format": 1, "kind": "neighbors", "provenance": facts}, out)
    if json:
        print(to_json({"arch": name, "metric": metric, "neighbors": rows, "provenance": facts, "out": out}))
        return
    shown = [(str(row["arch"]), f"{row['distance']:.4g}", str(row["differs"])) for row in rows]
    head = ("arch", "distance", "what differs")
    title = f"{name}: the nearest of {len(embeddings.table):,}, {metric} distance"
    options.print_table(title, head, shown, (head[0], head[2]), fold=True)
    if out is not None:
        print(f"Neighbours: {out}")


def _embed(name: str, embeddings: "Embeddings", path: Path, checkpoint: Path | None):
    """(d,) embedding of an architecture that the table does not have.

    Raises:
        ArchrepError: if the checkpoint is not the one that made the table.
    """
    from archrep.files import file_digest
    from archrep.ghn import GHN
    from archrep.probe.encoders import Context, encode
    from archrep.shipped import CHECKPOINT, shipped
    from archrep.space import architectures

    checkpoint = checkpoint or shipped(CHECKPOINT)
    wanted = embeddings.header.get("checkpoint_digest")
    if wanted and wanted != file_digest(checkpoint):
        raise ArchrepError(
            f"{name} is not in {path}, and {checkpoint} is not the checkpoint that made the table "
            f"({embeddings.header.get('checkpoint')}, digest {wanted}); give that one by --checkpoint."
        )
    return encode("ghn", list(architectures(name)), Context(ghn=GHN.load(checkpoint)))[0]


def _difference(name: str, other: str) -> str:
    """What differs; of what this archrep cannot make, that it is so."""
    from archrep.search.difference import difference_or_reason
    from archrep.space import architectures

    try:
        (one,), (two,) = architectures(name), architectures(other, typed=False)
    except ArchrepError as error:
        return f"unknown ({error})"
    return difference_or_reason(one, two)
