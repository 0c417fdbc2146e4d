"""The record of a measuring: a journal that survives anything, and the label table that is written from it."""

import dataclasses
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from archrep.data.images import ImageSet
from archrep.data.labels import write_labels
from archrep.data.targets import TARGETS
from archrep.errors import ArchrepError
from archrep.files import append, atomic, from_json, is_number, provenance, refuse_existing
from archrep.journal import Journal
from archrep.measure.crew import Run
from archrep.measure.protocol import Protocol


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)  # halves of characters


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)


def _is_whole(value: object) -> bool:
    """Whether a value is a whole number of 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_number(value: object) -> bool:
    """Whether a column of floats can hold it."""
    return is_number(value) and (isinstance(value, float) or abs(value) <= 2**53)  # type: ignore[arg-type]


def _is_percent(value: object) -> bool:
    return is_number(value) and 0 <= value <= 100  # type: ignore[operator]


def _are_percents(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_percent, value))


OF_UNIT = {"%": _is_percent} | dict.fromkeys(("count", "per image", "bytes per image"), _is_whole)
# Columns of a row and what they hold; of those that are needed, and of the rest.
KEY: dict[str, Callable[[object], bool]] = {"arch": _is_text, "seed": _is_whole}
MEASURED: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("accuracy", "accuracy_val", "robustness"), _is_percent),
    "diverged": _is_truth,
}
COLUMNS: dict[str, Callable[[object], bool]] = {
    **KEY,
    **MEASURED,
    **dict.fromkeys(("protocol", "device", "processor", "error"), _is_text),
    "trainability_reached": _is_truth,
    **{name: OF_UNIT.get(target.unit, _is_number) for name, target in TARGETS.items()},
    **dict.fromkeys(("seconds", "cpu_seconds"), _is_number),
    "curve": _are_percents,
}


class Record:
    """`OUT.jsonl`, a header and then one synced line per finished run, and `OUT`, the table.

    Attributes:
        damaged: lines of the journal that could not be read; they lie in `OUT.damaged.jsonl` now.
    """

    def __init__(self, out: Path, protocol: Protocol, images: ImageSet, device: str, threads: int, force: bool) -> None:
        """Opens or begins a record.

        Args:
            force: replaces a table, and a journal of other work; one of the same work is continued.

        Raises:
            ArchrepError: if `out` is no Parquet file, exists without a journal or cannot be written, or the journal
                is of other work, and `force` is not given.
        """
        self.out, self._protocol, self._images = out, protocol, images
        path = out.with_suffix(".jsonl")
        self.damaged = _set_aside_damaged(path)
        header = {
            "journal": 2,
            "protocol": dataclasses.asdict(protocol),
            "data_digest": images.digest,
            "device": device.partition(":")[0],
            "threads": threads,
        }
        of = "measured under another protocol, on other images or with another device or number of threads"
        self._journal = Journal(path, header, of, force)
        refuse_existing(out, force or bool(self._journal.rows))

    @property
    def path(self) -> Path:
        """The journal."""
        return self._journal.path

    @property
    def rows(self) -> list[dict]:
        """Measured runs, each once."""
        return list({Run(r["arch"], r["seed"]): r for r in self._journal.rows if "error" not in r}.values())

    def failures(self) -> list[dict]:
        """The last failure of every run that failed and was never measured."""
        done = {Run(r["arch"], r["seed"]) for r in self.rows}
        failed = {Run(r["arch"], r["seed"]): r for r in self._journal.rows if "error" in r}
        return [row for run, row in failed.items() if run not in done]

    def add(self, run: Run, row: dict) -> dict:
        """Journals a run; when this returns, it is on disk.

        Raises:
            ArchrepError: if it cannot be written.
        """
        row = {"arch": run.arch, "protocol": self._protocol.name, "seed": run.seed, **row}
        self._journal.append(row)
        return row

    def write(self, runs: Sequence[Run]) -> None:
        """Writes the table, atomically: rows in the order of `runs`, then whatever else was measured."""
        by_run = {Run(r["arch"], r["seed"]): r for r in self.rows}
        order = dict.fromkeys([*(run for run in runs if run in by_run), *by_run])
        facts = {
            "protocol": dataclasses.asdict(self._protocol),
            "data": self._images.name,
            "data_digest": self._images.digest,
            "failures": [{k: row[k] for k in ("arch", "seed", "error")} for row in self.failures()],
        }
        rows = [by_run[run] for run in order]
        columns = column_facts(self._protocol, self._images)
        write_labels(self.out, rows, provenance(**facts), force=True, facts=columns)


def column_facts(protocol: Protocol, images: ImageSet) -> dict[str, dict]:
    """What the columns of a label table were measured on: data set, split, epochs and more."""
    epochs = round(protocol.steps_on(len(images.train)) * protocol.batch / len(images.train), 3)
    trained = {"dataset": images.name, "epochs": epochs}
    noisy = {"noise": protocol.noise, "images": protocol.noise_images or len(images.test)}
    return {
        "accuracy": {**trained, "split": "test", "images": protocol.test_images or len(images.test)},
        "accuracy_val": {**trained, "split": "val", "images": protocol.val_images or len(images.val)},
        "robustness": {**trained, "split": "test", **noisy},
        "trainability": {**trained, "split": "train", "reach": protocol.reach, "window": protocol.window},
        "train_accuracy_mean": {**trained, "split": "train"},
        "latency_ms": {"batch": protocol.latency_batch, "repeats": protocol.latency_repeats},
    }


def _set_aside_damaged(path: Path) -> int:
    """Moves lines of a journal that are no rows to `…damaged.jsonl`; a damaged header is the journal's business.

    A last line without its end was cut off by a kill, and is the journal's business, too.
    """
    if not path.is_file():
        return 0
    try:
        lines = io.BytesIO(path.read_bytes()).readlines()
        damaged = [line.endswith(b"\n") and not _is_row(line) for line in lines[1:]]
        bad = [line for line, is_bad in zip(lines[1:], damaged, strict=True) if is_bad]
        if not bad or _parsed(lines[0]) is None:
            return 0
        append(path.with_suffix(".damaged.jsonl"), bad)
        with atomic(path, force=True) as temporary:
            kept = [line for line, is_bad in zip(lines[1:], damaged, strict=True) if not is_bad]
            temporary.write_bytes(b"".join([lines[0], *kept]))
    except OSError as error:
        raise ArchrepError(f"Cannot repair {path}: {error.strerror or error}. Choose another --out.") from error
    return len(bad)


def _parsed(line: bytes) -> dict | None:
    try:
        value = from_json(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _is_row(line: bytes) -> bool:
    row = _parsed(line)
    needed = KEY if row and "error" in row else KEY | MEASURED
    return row is not None and needed.keys() <= row.keys() <= COLUMNS.keys() and all(COLUMNS[n](row[n]) for n in row)
