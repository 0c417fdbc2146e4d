"""Measures many architectures; every finished run is on disk before its worker's next one ends."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from archrep.data.images import ImageSet
from archrep.errors import ArchrepError
from archrep.files import alone
from archrep.measure.crew import Crew, Limits, Run, measure_runs
from archrep.measure.local import LocalCrew
from archrep.measure.network import Measuring
from archrep.measure.protocol import Protocol
from archrep.measure.record import Record

Progress = Callable[[dict, bool], None]
MakeCrew = Callable[[Measuring], Crew]


@dataclass(frozen=True)
class Outcome:
    """What became of the runs that were asked for.

    Attributes:
        measured: of them, rows that the record has. failures: rows with `error`. left: not done yet.
        damaged: lines of an earlier journal that could not be read.
        interrupted: it was, rather than ending or coming to its time limit.
    """

    measured: list[dict]
    failures: list[dict]
    left: int
    damaged: int
    interrupted: bool


def measure_all(
    runs: Sequence[Run],
    protocol: Protocol,
    images: ImageSet,
    out: Path,
    make_crew: MakeCrew = LocalCrew,
    limits: Limits = Limits(),
    device: str = "cpu",
    threads: int = 1,
    force: bool = False,
    progress: Progress = lambda row, fresh: None,
) -> Outcome:
    """Measures what the journal does not hold yet, then writes the journal's whole table.

    A run that fails is recorded with its reason, the rest goes on, and a later call tries it again.

    Args:
        make_crew: the engine; gets the work. device, threads: of each worker, as the crew has them.
        force: see `Record`.
        progress: called with every row and whether it is fresh: first those that the journal has, then as they come.

    Raises:
        ArchrepError: if the record belongs to other work or cannot be written, a seed is none of torch's, or workers
            do not start.
    """
    if unfit := [run.seed for run in runs if not 0 <= run.seed < 2**63]:
        raise ArchrepError(f"A seed must be within 0 … 2**63 - 1; got {unfit[0]}.")
    if out.suffix != ".parquet" or out.is_dir():
        raise ArchrepError(f"{out}: a label table is a Parquet file; give --out a name that ends in .parquet.")
    with alone(out):
        record = Record(out, protocol, images, device, threads, force)
        known = {Run(r["arch"], r["seed"]): r for r in record.rows}
        runs = list(dict.fromkeys(runs))
        for run in runs:
            if run in known:
                progress(known[run], False)
        todo = [run for run in runs if run not in known]
        failures, interrupted = _measure(record, make_crew, Measuring(protocol, images, device), todo, limits, progress)
        asked = set(runs)
        measured = [r for r in record.rows if Run(r["arch"], r["seed"]) in asked]
        left = len(runs) - len(measured) - len(failures)
        if record.rows:
            record.write(runs)
    return Outcome(measured, failures, left, record.damaged, interrupted)


def _measure(
    record: Record, make_crew: MakeCrew, work: Measuring, todo: list[Run], limits: Limits, progress: Progress
) -> tuple[list[dict], bool]:
    """Failures, and whether an interrupt ended it."""
    failures: list[dict] = []
    if not todo:
        return failures, False
    try:
        with closing(measure_runs(make_crew(work), todo, limits)) as rows:  # ends the workers, whatever happens
            for run, row in rows:
                row = record.add(run, row)
                progress(row, True)
                if "error" in row:
                    failures.append(row)
    except KeyboardInterrupt:
        return failures, True
    return failures, False
