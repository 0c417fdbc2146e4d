"""Label and embedding tables."""

import numpy as np
import pandas as pd
import pytest

from archrep.data.embeddings import read_embeddings, write_embeddings
from archrep.data.labels import read_labels, write_labels
from archrep.errors import ArchrepError

ROWS = [
    {"arch": "a", "protocol": "quick", "seed": 0, "device": "cpu", "accuracy": 40.0, "trainability": 1.0},
    {"arch": "a", "protocol": "quick", "seed": 1, "device": "cpu", "accuracy": 42.0, "trainability": 0.5},
    {"arch": "b", "protocol": "quick", "seed": 0, "device": "cpu", "accuracy": 30.0, "trainability": 0.25},
]


def test_labels_average_over_seeds_and_know_directions(tmp_path):
    write_labels(tmp_path / "l.parquet", ROWS, {})
    labels = read_labels(tmp_path / "l.parquet")
    assert labels.table["accuracy"].to_dict() == {"a": 41.0, "b": 30.0}
    assert labels.table["seeds"].to_dict() == {"a": 2, "b": 1}
    assert labels.target("accuracy").higher_is_better
    assert not labels.target("trainability").higher_is_better
    with pytest.raises(ArchrepError, match="Did you mean 'accuracy'"):
        labels.target("acuracy")
    with pytest.raises(ArchrepError, match="Unknown target 'device'"):
        labels.target("device")


def test_csv_labels(tmp_path):
    path = tmp_path / "l.csv"
    pd.DataFrame({"arch": ["a", "b"], "accuracy": [1.0, 2.0], "mystery": [3, 4], "note": ["x", "abc"]}).to_csv(
        path, index=False
    )
    labels = read_labels(path)
    assert labels.table["accuracy"].tolist() == [1.0, 2.0]
    with pytest.raises(ArchrepError, match="no known direction"):
        labels.target("mystery")
    with pytest.raises(ArchrepError, match="not numeric"):
        labels.target("note")


@pytest.mark.parametrize(
    ("text", "message"), [("x,y\n1,2\n", "no column arch"), ("arch,accuracy\n", "empty"), ("", "not a readable CSV")]
)
def test_bad_csv(tmp_path, text, message):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(ArchrepError, match=message):
        read_labels(tmp_path / "l.csv")


@pytest.mark.parametrize("column", ["protocol", "device"])
def test_protocols_and_devices_are_not_mixed(tmp_path, column):
    write_labels(tmp_path / "l.parquet", [*ROWS, {**ROWS[0], column: "other"}], {})
    with pytest.raises(ArchrepError, match=f"several {column}s"):
        read_labels(tmp_path / "l.parquet")


def test_embeddings_round_trip(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    columns = {"arch": ["a", "b", "c"], "space": ["s"] * 3, "split": ["t"] * 3}
    write_embeddings(tmp_path / "e.parquet", columns, values, {"ghn": {"hidden": 4}}, force=False)
    read = read_embeddings(tmp_path / "e.parquet")
    assert np.array_equal(read.values, values)
    assert list(read.table.index) == ["a", "b", "c"]
    assert read.header["ghn"] == {"hidden": 4}


def test_bad_embeddings(tmp_path):
    with pytest.raises(ArchrepError, match="no such embeddings table"):
        read_embeddings(tmp_path / "none.parquet")
    write_labels(tmp_path / "l.parquet", ROWS, {})
    with pytest.raises(ArchrepError, match="no column space, split, embedding"):
        read_embeddings(tmp_path / "l.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "l.parquet").read_bytes()[:200])
    with pytest.raises(ArchrepError, match="not a readable Parquet"):
        read_embeddings(tmp_path / "cut.parquet")
    twice = {"arch": ["a", "a"], "space": ["s"] * 2, "split": ["t"] * 2}
    write_embeddings(tmp_path / "t.parquet", twice, np.zeros((2, 4)), {}, force=False)
    with pytest.raises(ArchrepError, match="more than once"):
        read_embeddings(tmp_path / "t.parquet")
    once = {"arch": ["a"], "space": ["s"], "split": ["t"]}
    write_embeddings(tmp_path / "n.parquet", once, np.full((1, 4), np.nan), {}, force=False)
    with pytest.raises(ArchrepError, match="NaN"):
        read_embeddings(tmp_path / "n.parquet")
