"""Measures many architectures; every finished one is on disk before the next one starts.

`OUT.jsonl` is the journal: a header line, then one line per finished run, synced. `OUT` (Parquet) is
written from it at the end. A second run with the same arguments continues the journal.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from archrep.data.images import ImageSet
from archrep.data.labels import write_labels
from archrep.errors import ArchrepError
from archrep.files import provenance, refuse_existing
from archrep.measure.network import device_name, measure
from archrep.measure.protocol import Protocol
from archrep.space.architecture import Architecture

Progress = Callable[[Architecture, dict], None]


def measure_all(
    architectures: Iterable[Architecture],
    protocol: Protocol,
    images: ImageSet,
    out: Path,
    seed: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> list[dict]:
    """Measures what the journal does not hold yet, then writes the label table; returns the failures.

    An architecture that raises is recorded with its reason, and the rest goes on.

    Raises:
        ArchrepError: if the journal belongs to another protocol or data set, or `out` cannot be written.
    """
    journal = Journal(out.with_suffix(".jsonl"), protocol, images)
    if not journal.rows:
        refuse_existing(out, force)
    device = device_name()
    done = {(r["arch"], r["seed"], r["device"]) for r in journal.rows}
    for architecture in architectures:
        if (architecture.id, seed, device) in done:
            continue
        key = {"arch": architecture.id, "protocol": protocol.name, "seed": seed, "device": device}
        try:
            row = key | measure(architecture, protocol, images, seed)
        except (RuntimeError, MemoryError, ArchrepError) as error:  # RuntimeError: whatever torch raises
            row = key | {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"}
        journal.append(row)
        if progress:
            progress(architecture, row)
    facts = {"protocol": dataclasses.asdict(protocol), "data": images.name, "data_digest": images.digest}
    measured = [r for r in journal.rows if "error" not in r]
    if not measured:
        raise ArchrepError(f"No architecture could be measured; the reasons are in {journal.path}.")
    write_labels(out, measured, provenance(seed=seed, **facts), force=True)
    return [r for r in journal.rows if "error" in r]


class Journal:
    """A file of JSON lines: a header that says what is measured, then one line per finished run."""

    def __init__(self, path: Path, protocol: Protocol, images: ImageSet) -> None:
        self.path = path
        header = {"journal": 1, "protocol": dataclasses.asdict(protocol), "data_digest": images.digest}
        self.rows: list[dict] = []
        try:
            lines = path.read_text().split("\n") if path.exists() else []
            complete = lines[:-1]  # a line without its newline was cut off by a kill
            records = [json.loads(line) for line in complete]
            if records and records[0] != header:
                raise ArchrepError(
                    f"{path}: the journal was measured under another protocol or on other images. Choose another --out."
                )
            self.rows = records[1:]
            if lines and lines[-1]:
                path.write_text("".join(line + "\n" for line in complete))
            if not records:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(header) + "\n")
        except ValueError as error:
            raise ArchrepError(f"{path}: damaged journal ({error}). Repair or move it.") from error
        except OSError as error:
            raise ArchrepError(f"Cannot write {path}: {error.strerror or error}. Choose another --out.") from error

    def append(self, row: dict) -> None:
        """Adds a line and waits until it is on disk."""
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
