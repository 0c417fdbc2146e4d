"""Many architectures, one row of results each: journalled, resumable, in one or several processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from archrep.data.images import Images, digest_of
from archrep.data.tables import check_rows_path, write_rows
from archrep.errors import ArchrepError, first_line
from archrep.files import file_digest, provenance, refuse_existing
from archrep.journal import Journal
from archrep.space.architecture import Architecture
from archrep.space.specs import architectures
from archrep.workers import in_processes

Work = Callable[[dict, Architecture], dict]
Progress = Callable[[dict], None]


class Job(NamedTuple):
    """What is done with an architecture; `key` tells its row from the others (`arch` and more)."""

    key: dict
    architecture: Architecture


def run_jobs(
    work: Work,
    jobs: Sequence[Job],
    journal: Journal | None = None,
    workers: int = 1,
    threads: int = 1,
    progress: Progress = lambda row: None,
) -> list[dict]:
    """Rows `key | work(key, architecture)` in the order of the jobs; `key | {"error": reason}` where work fails.

    Args:
        work: picklable if there are several workers, which rebuild architectures from their specs.
        journal: rows that it has are not computed again, but failures are; it gets the new ones.
        threads: CPU threads of each of several workers.
        progress: called with every row, in the order in which they come.

    Raises:
        ArchrepError: if nothing but failures came out, a worker died or the journal cannot be written.
    """
    known = {_frozen(row, jobs): row for row in journal.rows if "error" not in row} if journal else {}
    rows = [known.get(_frozen(job.key, jobs)) for job in jobs]
    for row in filter(None, rows):
        progress(row)
    todo = [i for i, row in enumerate(rows) if row is None]
    attempt = _Attempt(work)
    if workers > 1 and len(todo) > 1:
        specs = [(jobs[i].key, jobs[i].architecture.id) for i in todo]
        results = in_processes(attempt, specs, min(workers, len(todo)), threads)
    else:
        results = ((k, attempt(*jobs[i])) for k, i in enumerate(todo))
    for k, row in results:
        rows[todo[k]] = row
        if journal:
            journal.append(row)
        progress(row)
    finished = [row for row in rows if row is not None]
    if all("error" in row for row in finished):
        raise ArchrepError(f"All {len(finished)} runs failed; the first one, {jobs[0].key}: {finished[0]['error']}")
    return finished


def _frozen(row: dict, jobs: Sequence[Job]) -> tuple:
    return tuple(row.get(name) for name in jobs[0].key)


@dataclass(frozen=True)
class _Attempt:
    """Work whose failure is a row, too; takes an architecture or its spec."""

    work: Work

    def __call__(self, key: dict, architecture: Architecture | str) -> dict:
        try:
            if isinstance(architecture, str):
                architecture = next(iter(architectures(architecture)))
            return key | self.work(key, architecture)
        except ArchrepError as error:
            return key | {"error": str(error).removeprefix(f"{key['arch']}: ")}
        except Exception as error:  # noqa: BLE001 - a network's own code may raise anything
            return key | {"error": first_line(error)}


@dataclass(frozen=True)
class Output:
    """A table of rows and the journal beside it.

    Attributes:
        path: Parquet or CSV. facts: what the rows depend on, for the header of the table.
    """

    path: Path
    journal: Journal
    facts: dict

    @classmethod
    def of(cls, path: Path, what: dict, checkpoint: Path, data: str, images: Sequence[Images], force: bool) -> "Output":
        """Opens the output of work with a GHN on images; `what` says which work.

        Args:
            force: replaces a table, and a journal of other work; one of the same work is continued.

        Raises:
            ArchrepError: if `path` is no table, exists without a journal (and `force` is False) or cannot be written,
                or the journal is of other work (likewise).
        """
        check_output(path, force)
        facts = {**what, "checkpoint_digest": file_digest(checkpoint), "data": data, "data_digest": digest_of(*images)}
        of = "written by another checkpoint, on other images or with other options"
        journal = Journal(path.with_suffix(".jsonl"), {"journal": 1, **facts}, of, force)
        refuse_existing(path, force or bool(journal.rows))
        return cls(path, journal, facts)

    def write(self, jobs: Sequence[Job], rows: list[dict]) -> None:
        """Writes the table, atomically: the rows of these jobs, then what else the journal has; no failures."""
        done = {_frozen(row, jobs): row for row in (*rows, *self.journal.rows) if "error" not in row}
        header = {"format": 1, "kind": "results", "provenance": provenance(**self.facts)}
        write_rows(list(done.values()), header, self.path)


def check_output(path: Path, force: bool) -> None:
    """Asked before anything is loaded: refuses what `Output.of` would refuse without looking at the work.

    Raises:
        ArchrepError: if `path` is no table, or exists without a journal (and `force` is False).
    """
    check_rows_path(path)
    if not path.with_suffix(".jsonl").exists():
        refuse_existing(path, force)
