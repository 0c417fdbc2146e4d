"""Measures many architectures; every finished one is on disk before the next one starts.

`OUT.jsonl` is the journal: a header line, then one line per finished run, synced. `OUT` (Parquet) is
written from it at the end. A second run with the same arguments continues the journal.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from archrep.data.images import ImageSet
from archrep.data.labels import write_labels
from archrep.errors import ArchrepError, first_line
from archrep.files import provenance, refuse_existing
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
    journal = Journal(out.with_suffix(".jsonl"), protocol, images)
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


class Journal:
    """A file of JSON lines: a header that says what is measured, then one line per finished run."""

    def __init__(self, path: Path, protocol: Protocol, images: ImageSet) -> None:
        self.path = path
        self.header = {"journal": 1, "protocol": dataclasses.asdict(protocol), "data_digest": images.digest}
        self.rows: list[dict] = []
        if not path.exists():
            return
        try:
            content = path.read_bytes()
            complete = content[: content.rfind(b"\n") + 1]  # a line without its end was cut off by a kill
            records = [json.loads(line) for line in complete.splitlines()]
            if not all(isinstance(r, dict) for r in records):
                raise ValueError("not JSON objects")
            if records and records[0] != self.header:
                raise ArchrepError(
                    f"{path}: the journal was measured under another protocol or on other images. Choose another --out."
                )
            self.rows = records[1:]
            if len(complete) < len(content):
                os.truncate(path, len(complete))
        except ValueError as error:
            raise ArchrepError(f"{path}: damaged journal ({error}). Repair or move it.") from error
        except OSError as error:
            raise ArchrepError(f"Cannot write {path}: {error.strerror or error}. Choose another --out.") from error

    def append(self, row: dict) -> None:
        """Adds a line, after the header if it is the first, and waits until it is on disk."""
        self.rows.append(row)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                if file.tell() == 0:
                    file.write(json.dumps(self.header) + "\n")
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ArchrepError(f"Cannot write {self.path}: {error.strerror or error}.") from error
