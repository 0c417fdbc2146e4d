"""Tables of columns that no label or embedding table has, of other types, twice or missing; what is no text file."""

import contextlib
import datetime
import decimal
import gzip
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from archrep import architectures
from archrep.data.curves import read_curves
from archrep.data.embeddings import read_embeddings
from archrep.data.labels import read_labels
from archrep.data.lint import check_labels, read_checked
from archrep.errors import ArchrepError
from archrep.probe.encoders import Context
from archrep.probe.groups import NORMAL_FORMS
from archrep.probe.label_card import describe, render
from archrep.probe.task import make_task
from archrep.shipped import EMBEDDINGS, LABELS, shipped
from tests.cli import here

ROWS = 12
DAY = datetime.date(9999, 1, 1)
VALUES = {
    "integers": pa.array(range(ROWS)),
    "floats": pa.array(np.arange(ROWS) / 3),
    "float16": pa.array(np.arange(ROWS, dtype=np.float16)),
    "huge integers": pa.array([2**64 - 1] * ROWS, pa.uint64()),
    "huge floats": pa.array([1e308] * ROWS),
    "NaN": pa.array([np.nan] * ROWS),
    "infinity": pa.array([np.inf] * ROWS),
    "negative": pa.array([-1] * ROWS),
    "half null": pa.array([1] * 6 + [None] * 6),
    "null": pa.nulls(ROWS),
    "no integer": pa.nulls(ROWS, pa.int64()),
    "no text": pa.nulls(ROWS, pa.string()),
    "truth": pa.array([True] * ROWS),
    "empty text": pa.array([""] * ROWS),
    "a zero byte": pa.array(["\0"] * ROWS),
    "digits": pa.array(["1"] * ROWS),
    "large text": pa.array(["x"] * ROWS, pa.large_string()),
    "text of a dictionary": pa.array(["x"] * ROWS).dictionary_encode(),
    "bytes": pa.array([b"\xff\xfe"] * ROWS),
    "three bytes": pa.array([b"\xff\xfe\xfd"] * ROWS, pa.binary(3)),
    "dates": pa.array([DAY] * ROWS),
    "times": pa.array([datetime.time(1)] * ROWS),
    "far times": pa.array([2**62] * ROWS, pa.timestamp("us")),
    "a zone that is none": pa.array([0] * ROWS, pa.timestamp("ns", "Mars/Phobos")),
    "durations": pa.array([2**62] * ROWS, pa.duration("s")),
    "decimals": pa.array([decimal.Decimal("1.5")] * ROWS),
    "wide decimals": pa.array([decimal.Decimal(10**60)] * ROWS, pa.decimal256(70)),
    "lists": pa.array([[1, 2]] * ROWS),
    "vectors": pa.array([[1.0, 2.0]] * ROWS, pa.list_(pa.float32(), 2)),
    "lists of text": pa.array([["a"]] * ROWS),
    "structs": pa.array([{"a": 1}] * ROWS),
    "maps": pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64())),
}


def used_labels(path):
    labels = read_labels(path)
    labels.target("accuracy")
    make_task(labels, "accuracy", ["size"], Context(labels.table, None, None, 0))


def used_embeddings(path):
    list(architectures(*read_embeddings(path).table.index[:3], typed=False))


READERS = {
    "labels": used_labels,
    "labels check": lambda path: check_labels(read_checked(path, NORMAL_FORMS)),
    "labels card": lambda path: render(describe(path), "figure.png"),
    "curves": read_curves,
}


@pytest.fixture(scope="module")
def labels():
    return pq.read_table(shipped(LABELS)).slice(0, ROWS)


@pytest.fixture(scope="module")
def embeddings():
    return pq.read_table(shipped(EMBEDDINGS)).slice(0, ROWS)


def accepted_or_refused(read, table, path):
    pq.write_table(table, path)
    with contextlib.suppress(ArchrepError):
        read(path)


def replaced(table, column, values):
    return table.set_column(table.column_names.index(column), column, values)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, of means of infinity
@pytest.mark.parametrize("kind", VALUES)
def test_columns_of_other_types(tmp_path, labels, embeddings, kind, record_property):
    record_property("fault", f"a column of a table holds {kind}")
    record_property("cases", 4 * 6 + 6)
    for column in ("arch", "seed", "protocol", "accuracy", "seconds", "curve"):
        for read in READERS.values():
            accepted_or_refused(read, replaced(labels, column, VALUES[kind]), tmp_path / "l.parquet")
    for column in ("arch", "space", "split", "embedding", "depth", "op_mix"):
        accepted_or_refused(used_embeddings, replaced(embeddings, column, VALUES[kind]), tmp_path / "e.parquet")


@pytest.mark.parametrize("name", READERS)
def test_columns_that_are_missing_or_twice(tmp_path, labels, name, record_property):
    record_property("fault", f"a label table without a column, or with it twice: {name}")
    record_property("cases", 2 * len(labels.column_names))
    for column in labels.column_names:
        accepted_or_refused(READERS[name], labels.drop_columns([column]), tmp_path / "l.parquet")
        pq.write_table(labels.append_column(column, labels[column]), tmp_path / "l.parquet")
        with pytest.raises(ArchrepError, match=f"column '{column}' occurs more than once"):
            READERS[name](tmp_path / "l.parquet")


def test_an_index_of_pandas_is_a_column(tmp_path, labels):
    labels.to_pandas().set_index("arch").to_parquet(tmp_path / "l.parquet")
    assert list(read_labels(tmp_path / "l.parquet").table.index) == labels["arch"].to_pylist()


@pytest.mark.parametrize("note", ["{", "[]", '{"index_columns": [7], "columns": 3}'])
def test_notes_of_pandas_are_not_read(tmp_path, labels, note, record_property):
    record_property("fault", f"a table with pandas' notes {note}")
    record_property("cases", 1)
    pq.write_table(labels.replace_schema_metadata({"pandas": note}), tmp_path / "l.parquet")
    assert len(read_labels(tmp_path / "l.parquet").table) == len(set(labels["arch"].to_pylist()))


HEADERS = {
    "format": ({"format": 2}, "its format is 2, not 1"),
    "columns": ({"columns": [1]}, "its columns are"),
    "facts": ({"columns": {"accuracy": "x"}}, "no plain facts"),
    "direction": ({"columns": {"accuracy": {"direction": "up"}}}, "not higher or lower"),
    "unit": ({"columns": {"accuracy": {"unit": 5}}}, "no text"),
    "provenance": ({"provenance": 3}, "its provenance"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_what_a_table_says_of_itself(tmp_path, labels, name, record_property):
    record_property("fault", f"a table that says of itself an impossible {name}")
    record_property("cases", 1)
    header, message = HEADERS[name]
    pq.write_table(labels.replace_schema_metadata({"archrep": json.dumps(header)}), tmp_path / "l.parquet")
    with pytest.raises(ArchrepError, match=f"l.parquet: .*{message}"):
        read_labels(tmp_path / "l.parquet")


def test_a_card_shows_text_as_text(tmp_path, labels, record_property):
    record_property("fault", "markup in what a label table says of itself")
    record_property("cases", 1)
    header = json.loads(labels.schema.metadata[b"archrep"])
    script = "<script>alert(1)</script> | x\n# title"
    header["provenance"] |= {"data": script, "command": script, "failures": [{"error": script}]}
    header["columns"]["accuracy"]["meaning"] = script
    pq.write_table(labels.replace_schema_metadata({"archrep": json.dumps(header)}), tmp_path / "l.parquet")
    card = render(describe(tmp_path / "l.parquet"), "figure.png")
    assert card.count("\\<script>") == 4
    assert card.count("<script>") == 4
    assert "\n# title" not in card
    assert " | x" not in card


def text_readers(path):
    return (
        lambda: read_labels(path),
        lambda: read_checked(path),
        lambda: list(architectures(str(path))),
        lambda: here.archrep("labels", "import", "nasbench201", path, "--out", path.with_name("o.parquet")),
    )


def refused(path):
    """By every command that reads CSV files."""
    for suffix in (".csv", ".csv.gz"):
        if not path.name.endswith(suffix):
            continue
        for read in text_readers(path)[: 2 if suffix == ".csv.gz" else 3]:
            with pytest.raises(ArchrepError, match=path.name):
                read()
        done = text_readers(path)[3]()
        assert done.returncode == 2
        assert path.name in done.stderr
        assert "Traceback" not in done.stderr


def test_a_compressed_table_that_is_cut_off_or_damaged(tmp_path, record_property):
    record_property("fault", "a compressed CSV table, cut off or damaged")
    record_property("cases", 2)
    whole = gzip.compress(b"arch,accuracy\n" + b"deepnets-small:test:0,50\n" * 999)
    (tmp_path / "cut.csv.gz").write_bytes(whole[:-20])
    (tmp_path / "damaged.csv.gz").write_bytes(whole[:40] + b"\xff\x00\xff" + whole[43:])
    refused(tmp_path / "cut.csv.gz")
    refused(tmp_path / "damaged.csv.gz")


def test_a_compressed_table_that_claims(tmp_path, record_property):
    record_property("fault", "a compressed CSV table of 1 MB that claims a gigabyte")
    record_property("cases", 1)
    with gzip.open(tmp_path / "t.csv.gz", "wb") as file:
        for _ in range(1024):
            file.write(b"a" * 2**20)
    with pytest.raises(ArchrepError, match="unfolds to more"):
        read_labels(tmp_path / "t.csv.gz")


def test_what_is_no_file(tmp_path, record_property):
    record_property("fault", "a pipe, a device, a folder, a link to itself in place of a table")
    record_property("cases", 4)
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "device.csv").symlink_to("/dev/zero")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "itself.csv").symlink_to(tmp_path / "itself.csv")
    for name in ("pipe", "device", "folder", "itself"):
        refused(tmp_path / f"{name}.csv")


@pytest.mark.parametrize("command", ["labels check", "embed --archs", "graph", "map --embeddings", "probe --labels"])
def test_names_that_are_too_long(command, tmp_path, record_property):
    record_property("fault", f"a file name of 300 letters: {command}")
    record_property("cases", 2)
    for suffix in (".csv", ".parquet"):
        done = here.archrep(*command.split(), "x" * 300 + suffix, cwd=tmp_path)
        assert done.returncode == 2
        assert "x" * 300 in done.stderr.replace("\n", "")
        assert "Traceback" not in done.stderr


def test_terminals_get_text(tmp_path, record_property):
    record_property("fault", "escape sequences in the names of a table")
    record_property("cases", 1)
    names = [f"\x1b]0;title\x07\x1b[2J\u202e{i}" for i in range(5)]
    table = pq.read_table(shipped(EMBEDDINGS)).slice(0, 5)
    pq.write_table(replaced(table, "arch", pa.array(names)), tmp_path / "e.parquet")
    done = here.archrep("neighbors", "deepnets-small:test:0", "--in", tmp_path / "e.parquet")
    assert "\x1b" not in done.stdout + done.stderr
    assert "\u202e" not in done.stdout + done.stderr
    assert "x1b]0;title" in done.stdout + done.stderr


@pytest.mark.parametrize("out", ["", "/", "."])
@pytest.mark.parametrize(
    "command", ["map --color accuracy", "embed --archs deepnets-small:test:0", "labels card l.parquet"]
)
def test_names_that_are_none(command, out, tmp_path, labels, record_property):
    record_property("fault", f"--out {out!r} of archrep {command.split()[0]}")
    record_property("cases", 1)
    pq.write_table(labels, tmp_path / "l.parquet")
    done = here.archrep(*command.split(), "--out", out, "--force", cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert "--out" in done.stderr


def test_only_files_are_replaced(tmp_path, record_property):
    record_property("fault", "--force over a pipe or a folder")
    record_property("cases", 2)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        done = here.archrep("embed", "--archs", "deepnets-small:test:0", "--out", tmp_path / name, "--force")
        assert done.returncode == 2
        assert f"{name} is no file" in done.stderr.replace("\n", " ")
    assert (tmp_path / "pipe").is_fifo()
