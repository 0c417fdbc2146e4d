"""A journal of long work: every finished piece is on disk before the next one, and a killed run continues."""

import json
import os
from pathlib import Path

from archrep.errors import ArchrepError


class Journal:
    """A file of JSON lines: a header that says what is done, then one line per finished piece.

    Attributes:
        rows: the lines, old and new.
    """

    def __init__(self, path: Path, header: dict, of: str, force: bool = False) -> None:
        """Opens a journal, or prepares a new one; the file appears with its first line.

        Args:
            of: what a journal with another header would be of, for the message. force: starts it over instead.

        Raises:
            ArchrepError: if the file has another header, is damaged or cannot be written.
        """
        self.path = path
        self.header = json.loads(json.dumps(header))
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
                if not force:
                    raise ArchrepError(
                        f"{path}: the journal was {of}. Choose another --out, or replace it with --force."
                    )
                path.unlink()
                return
            self.rows = records[1:]
            if len(complete) < len(content):
                os.truncate(path, len(complete))
        except ValueError as error:
            raise ArchrepError(f"{path}: damaged journal ({error}). Repair or move it.") from error
        except OSError as error:
            raise ArchrepError(f"Cannot write {path}: {error.strerror or error}. Choose another --out.") from error

    def append(self, row: dict) -> None:
        """Adds a line, after the header if it is the first, and waits until it is on disk.

        Raises:
            ArchrepError: if it cannot be written.
        """
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
