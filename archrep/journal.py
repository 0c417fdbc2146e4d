"""A journal of long work: every finished piece is on disk before the next one, and a killed run continues."""

import fcntl
import json
import os
import weakref
from pathlib import Path

from archrep.errors import ArchrepError
from archrep.files import append, from_json


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
            ArchrepError: if the file has another header, is damaged, cannot be written or another process writes it.
        """
        self.path = path
        self.header = json.loads(json.dumps(header))
        self.rows: list[dict] = []
        self._size = 0  # of the file, as this process knows it
        self._lock: int | None = None
        try:
            if not path.exists():
                return
            self._hold()
            content = path.read_bytes()
            complete = content[: content.rfind(b"\n") + 1]  # a line without its end was cut off by a kill
            records = [from_json(line) for line in complete.split(b"\n")[:-1]]
            if not all(isinstance(r, dict) for r in records):
                raise ValueError("not JSON objects")
            if records and records[0] != self.header:
                if not force:
                    raise ArchrepError(
                        f"{path}: the journal was {of}. Choose another --out, or replace it with --force."
                    )
                complete = b""
                records = []
            self.rows = records[1:]
            if len(complete) < len(content):
                os.truncate(path, len(complete))
            self._size = len(complete)
        except ValueError as error:
            raise ArchrepError(f"{path}: damaged journal ({error}). Repair or move it.") from error
        except OSError as error:
            raise ArchrepError(f"Cannot write {path}: {error.strerror or error}. Choose another --out.") from error

    def append(self, row: dict) -> None:
        """Adds a line, after the header if it is the first, and waits until it is on disk.

        Raises:
            ArchrepError: if it cannot be written, or another process has written to the file since it was read.
        """
        self.rows.append(row)
        try:
            if self._lock is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._hold()
            if self.path.stat().st_size != self._size:
                raise self._busy()
            lines = [json.dumps(r) + "\n" for r in ([row] if self._size else [self.header, row])]
            append(self.path, lines)
            self._size += sum(map(len, lines))
        except OSError as error:
            raise ArchrepError(f"Cannot write {self.path}: {error.strerror or error}.") from error

    def _hold(self) -> None:
        """Locks the file, which appears if it is not there, for as long as the journal lives."""
        self._lock = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o666)
        weakref.finalize(self, os.close, self._lock)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._busy() from None
        except OSError:  # a file system without locks
            pass

    def _busy(self) -> ArchrepError:
        return ArchrepError(
            f"{self.path}: another process is writing this journal. Wait for it and run the command again, or choose "
            "another --out."
        )
