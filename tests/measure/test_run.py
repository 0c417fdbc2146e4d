"""The record: nothing measured is lost, whatever happens; a second call continues."""

import dataclasses
import json
import resource
import subprocess
import sys

import pytest

from archrep.data.labels import read_labels
from archrep.data.tables import read_table
from archrep.errors import ArchrepError
from archrep.files import alone
from archrep.measure import PROTOCOLS, HereCrew, Run, measure_all
from archrep.measure.record import Record
from archrep.probe.reference import noise_ceiling
from tests.measure.test_engines import NETS
from tests.measure.test_network import without_times

SMOKE = PROTOCOLS["smoke"]
A, B = Run("deepnets-small:test:6", 0), Run("deepnets-small:test:13", 0)


def measured(runs, digits, out, **options):
    return measure_all(runs, SMOKE, digits, out, HereCrew, **options)


def test_the_table_says_what_its_columns_are(digits, tmp_path):
    out = tmp_path / "l.parquet"
    outcome = measured([A, B, Run(A.arch, 1)], digits, out)
    assert [len(outcome.measured), outcome.failures, outcome.left] == [3, [], 0]
    raw, header = read_table(out, "labels", ("arch", "seed", "protocol", "device", "curve", "processor"))
    assert raw["seed"].to_pylist() == [0, 0, 1]
    facts = header["columns"]["accuracy"]
    assert facts | {"unit": "%", "direction": "higher", "dataset": "digits", "split": "test", "images": 128} == facts
    assert facts["epochs"] == pytest.approx(10 * 32 / len(digits.train), abs=1e-3)
    assert header["columns"]["robustness"]["noise"] == 0.08
    assert {"trainability", "latency_ms", "params", "flops", "activation_memory"} <= set(header["columns"])
    labels = read_labels(out)
    assert labels.table["seeds"].to_dict() == {A.arch: 2, B.arch: 1}
    assert labels.target("robustness").higher_is_better
    assert not labels.target("activation_memory").higher_is_better
    assert noise_ceiling(labels.runs, "accuracy") is None  # of one architecture only


def test_a_second_call_continues_and_failures_are_tried_again(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    out, seen = tmp_path / "l.parquet", []
    broken = Run("nets.py:Raises", 0)
    outcome = measured([broken, A], digits, out)
    assert [(f["arch"], f["error"]) for f in outcome.failures] == [(broken.arch, "ValueError: no such luck")]
    assert read_table(out, "labels", ())[1]["provenance"]["failures"] == [
        {"arch": broken.arch, "seed": 0, "error": "ValueError: no such luck"}
    ]
    (tmp_path / "nets.py").write_text(NETS.replace("raise ValueError", "ValueError"))
    outcome = measured([broken, A, B], digits, out, progress=lambda row, fresh: seen.append((row["arch"], fresh)))
    assert seen == [(A.arch, False), (broken.arch, True), (B.arch, True)]
    assert outcome.failures == []
    assert list(read_labels(out).table.index) == [broken.arch, A.arch, B.arch]
    assert read_table(out, "labels", ())[1]["provenance"]["failures"] == []


def test_journals_are_not_mixed(digits, tmp_path):
    out = tmp_path / "l.parquet"
    measured([A], digits, out)
    other = dataclasses.replace(SMOKE, steps=11)
    for change in ({"protocol": other}, {"threads": 2}, {"device": "cuda"}):
        with pytest.raises(ArchrepError, match="measured under another protocol"):
            Record(out, **{"protocol": SMOKE, "images": digits, "device": "cpu", "threads": 1, "force": False} | change)
    (tmp_path / "l.jsonl").write_text("{nonsense}\n")
    with pytest.raises(ArchrepError, match="damaged journal"):
        measured([A], digits, out)


def test_a_damaged_row_is_set_aside_and_measured_again(digits, tmp_path):
    out, journal = tmp_path / "l.parquet", tmp_path / "l.jsonl"
    measured([A, B], digits, out)
    header, first, second = journal.read_text().splitlines(keepends=True)
    impossible = json.dumps(json.loads(second) | {"accuracy": 4e9}) + "\n"
    journal.write_text(header + first[:40] + "\n" + impossible + second + second[:30])
    outcome = measured([A, B], digits, out)
    assert outcome.damaged == 2
    assert (tmp_path / "l.damaged.jsonl").read_text() == first[:40] + "\n" + impossible
    rows = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert [r["arch"] for r in rows] == [B.arch, A.arch]
    assert without_times(rows[1]) == without_times(json.loads(first))
    assert list(read_labels(out).table.index) == [A.arch, B.arch]


def test_an_interrupt_keeps_what_is_measured(digits, tmp_path):
    def interrupt(row, fresh):
        raise KeyboardInterrupt

    outcome = measured([A, B], digits, tmp_path / "l.parquet", progress=interrupt)
    assert (len(outcome.measured), outcome.left, outcome.interrupted) == (1, 1, True)
    assert list(read_labels(tmp_path / "l.parquet").table.index) == [A.arch]


FULL = """
import resource, sys
from pathlib import Path
from archrep.data import load_images
from archrep.errors import ArchrepError
from archrep.measure import PROTOCOLS, HereCrew, Run, measure_all

runs = [Run("deepnets-small:test:6", 0), Run("deepnets-small:test:13", 0)]
images = load_images("digits")
measure_all(runs[:1], PROTOCOLS["smoke"], images, Path("l.parquet"), HereCrew)
size = Path("l.jsonl").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY))
try:
    measure_all(runs, PROTOCOLS["smoke"], images, Path("l.parquet"), HereCrew)
except ArchrepError as error:
    print(error)
"""


def test_a_full_disk_is_one_line_and_loses_nothing(digits, tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.startswith("Cannot write l.jsonl: File too large")
    before = (tmp_path / "l.jsonl").read_bytes()
    assert before.endswith(b"\n")  # nothing of the line that found no room
    outcome = measured([A, B], digits, tmp_path / "l.parquet")
    assert (len(outcome.measured), outcome.left) == (2, 0)
    after = (tmp_path / "l.jsonl").read_bytes()
    assert after.startswith(before[: before.rfind(b"\n") + 1])
    assert after.count(b"\n") == 3
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_two_processes_do_not_measure_into_one_table(digits, tmp_path):
    with alone(tmp_path / "l.parquet"), pytest.raises(ArchrepError, match="another process"):
        measured([A], digits, tmp_path / "l.parquet")
    measured([A], digits, tmp_path / "l.parquet")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.jsonl", "l.parquet"]
