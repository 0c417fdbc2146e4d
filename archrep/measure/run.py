"""Measures many architectures; every finished one is on disk before the next one starts.

`OUT.jsonl` is the journal: a header line, then one line per finished run, synced. `OUT` (Parquet) is
written from it at the end. A second run with the same arguments continues the journal.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from archrep.data.images import ImageSet
from archrep.data.labels import write_labels
from archrep.errors import ArchrepError, first_line
from archrep.files import provenance, refuse_existing
from archrep.journal import Journal
from archrep.measure.network import device_name, measure
from archrep.measure.protocol import Protocol
from archrep.space.architecture import Architecture

Progress = Callable[[Architecture, dict], None]


def measure_all(
    architectures: Sequence[Architecture],
    protocol: Protocol,
    images: ImageSet,
    out: Path,
    seed: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> list[dict]:
    """Measures what the journal does not hold yet, then writes the journal's whole table.

    An architecture that fails is recorded with its reason, the rest goes on, and a later run tries it again.

    Returns:
        The failures among `architectures`.

    Raises:
        ArchrepError: if the journal belongs to another protocol or data set, `out` cannot be written, or
            nothing could be measured.
    """
    if out.suffix != ".parquet" or out.is_dir():
        raise ArchrepError(f"{out}: a label table is a Parquet file; give --out a name that ends in .parquet.")
    header = {"journal": 1, "protocol": dataclasses.asdict(protocol), "data_digest": images.digest}
    journal = Journal(out.with_suffix(".jsonl"), header, "measured under another protocol or on other images")
    refuse_existing(out, force or bool(journal.rows))
    device = device_name()
    done = {(r["arch"], r["seed"], r["device"]) for r in journal.rows if "error" not in r}
    failures = []
    for architecture in architectures:
        if (architecture.id, seed, device) in done:
            continue
        key = {"arch": architecture.id, "protocol": protocol.name, "seed": seed, "device": device}
        try:
            row = key | measure(architecture, protocol, images, seed)
        except Exception as error:  # noqa: BLE001 - a network's own code may raise anything
            row = key | {"error": first_line(error)}
            failures.append(row)
        journal.append(row)
        if progress:
            progress(architecture, row)
    measured = [r for r in journal.rows if "error" not in r]
    if not measured:
        raise ArchrepError(f"No architecture could be measured; the reasons are in {journal.path}.")
    facts = {"protocol": dataclasses.asdict(protocol), "data": images.name, "data_digest": images.digest}
    write_labels(out, measured, provenance(seed=seed, **facts), force=True)
    return failures
