"""The table of faults that `make faults` has tried.

`python -m tests.faults.table quick|full --out FILE.md` writes it from the lines in build/.
"""

import argparse
import platform
from collections import Counter, defaultdict
from importlib.metadata import version
from pathlib import Path

from archrep.files import atomic
from archrep.measure.latency import processor_name
from archrep.probe.render import markdown_table
from tests.faults.conftest import log_path, read_log

KINDS = {  # file of tests → heading
    "test_kill": "Commands killed",
    "test_writers": "Writers",
    "test_disk": "Disk full, folders that cannot be written",
    "test_fuzz": "Damaged files",
    "test_claims": "Files that claim or lead elsewhere",
    "test_hostile_tables": "Tables that are none of ours",
    "test_hostile_spaces": "Specs, stores, official files and configurations",
    "test_hostile_data": "Images, archives, journals and runs",
    "test_sealed_probe": "Saved probes, sealed again",
    "test_code_in_data": "Code in data",
    "test_numbers": "Numbers",
    "test_load": "Load",
    "test_supply": "Supply chain",
}
PACKAGES = ("torch", "pyarrow", "h5py", "safetensors", "skops", "pandas")


def rows_of(lines: list[dict]) -> dict[str, list[list[str]]]:
    """Heading → a row per fault: what, times tried, times survived, seconds, figures."""
    faults = defaultdict(list)
    for line in lines:
        kind = Path(line["test"].split("::")[0]).stem
        faults[KINDS[kind], line["fault"]].append(line)
    rows = defaultdict(list)
    for (heading, fault), tries in faults.items():
        ran = [t for t in tries if t["outcome"] != "skipped"]
        tried, survived = (
            sum(t["cases"] for t in ran if t["outcome"] in o) for o in (("passed", "failed"), ("passed",))
        )
        notes = {t["note"] for t in tries if "note" in t}
        counts = [f"{tried:,}", f"{survived:,}"] if ran else ["not tried here", ""]
        rows[heading].append([fault, *counts, f"{sum(t['seconds'] for t in ran):,.0f}", "; ".join(sorted(notes))])
    return rows


def page(size: str, log: list[dict]) -> str:
    """The table as Markdown: the last try of every test, and how many had failed before."""
    lines = list({line["test"]: line for line in log}.values())
    before = {line["test"] for line in log if line["outcome"] == "failed"} - {
        line["test"] for line in lines if line["outcome"] == "failed"
    }
    command = "make faults FULL=1" if size == "full" else "make faults"
    failed = sum(line["outcome"] == "failed" for line in lines)
    seconds = sum(line["seconds"] for line in lines)
    days = sorted({line["at"] for line in lines})
    codes = ", ".join(f"`{code}` ({n} tests)" for code, n in Counter(line["code"] for line in lines).items())
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    when = " to ".join(dict.fromkeys([days[0], days[-1]]))
    text = [
        "# Faults tried and survived",
        f"`{command}`",
        f"{len(lines)} tests, {failed or 'none'} failed ({len(before) or 'none'} before they were tried again); "
        f"{seconds / 60:.0f} minutes of two processes together, {when}, "
        f"on {processor_name()}. Python {platform.python_version()}, {packages}; digest of the code tried: "
        f"{codes}.",
        "Damaged files are the same in every run, moments of kills are not. Survived: archrep did what it should, or "
        "said in one line what is wrong; nothing was lost, half-written or executed.",
    ]
    rows = rows_of(lines)
    for heading in KINDS.values():
        if rows[heading]:
            head = ["fault", "tried", "survived", "s", "measured"]
            text += [f"## {heading}", markdown_table(head, rows[heading])]
    return "\n\n".join(text) + "\n"


def main() -> None:
    """Writes the table of one size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", choices=("quick", "full"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    log = read_log(log_path(arguments.size))
    if not log:
        parser.error("nothing has been tried; run `make faults`.")
    with atomic(arguments.out, force=True) as temporary:
        temporary.write_text(page(arguments.size, log))


if __name__ == "__main__":
    main()
