"""`archrep map` as users type it."""

import json

import numpy as np
import pandas as pd
import pytest

from archrep.cli import map as map_command
from archrep.data.embeddings import write_embeddings
from tests.cli import here


def write_table(path, names, header=None):
    rng = np.random.default_rng(len(names))
    n = len(names)
    columns = {"arch": names, "space": ["own"] * n, "split": [""] * n, "depth": list(range(n))}
    write_embeddings(path, columns, rng.normal(size=(n, 4)), header or {"checkpoint_digest": "a"}, False)


@pytest.fixture
def tables(tmp_path):
    """Embeddings of 30 and of 3 architectures, one of them in both, and labels of some."""
    write_table(tmp_path / "many.parquet", [f"nets.py:n{i}" for i in range(30)])
    write_table(tmp_path / "mine.parquet", ["nets.py:mine", "nets.py:other", "nets.py:n0"])
    labels = pd.DataFrame({"arch": [f"nets.py:n{i}" for i in range(20)], "accuracy": np.linspace(10, 90, 20)})
    labels.to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def test_tables_of_one_ghn_are_drawn_together(tables):
    both = ("--embeddings", "many.parquet", "--embeddings", "mine.parquet", "--labels", "labels.csv")
    done = here.archrep("map", *both, "--html", "--json", cwd=tables)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["n"], told["drawn"], told["color"]) == (32, 32, "accuracy")
    assert told["files"] == [f"map.{kind}" for kind in ("png", "svg", "csv", "html")]
    drawn = pd.read_csv(tables / "map.csv")
    assert list(drawn["arch"][-2:]) == ["nets.py:mine", "nets.py:other"]
    assert drawn["accuracy"].isna().sum() == 12
    again = here.archrep("map", *both, "--html", cwd=tables)
    assert (again.returncode, "--force" in again.stderr) == (2, True)


def test_many_points_are_a_stated_sample(tables, monkeypatch):
    monkeypatch.setattr(map_command, "DRAWN", 12)
    sample = ("map", "--embeddings", "many.parquet", "--color", "depth", "--html", "--force")
    done = here.archrep(*sample, cwd=tables)
    assert done.returncode == 0, done.stderr
    assert "Drawn: a random sample of 12 of 30 architectures" in done.stderr
    assert "n = 12 drawn at random of 30" in (tables / "map.html").read_text()
    first = pd.read_csv(tables / "map.csv")
    assert len(first) == 12
    assert list(first["arch"]) == [f"nets.py:n{depth}" for depth in first["depth"]]
    here.archrep(*sample, "--seed", 1, cwd=tables)
    assert set(pd.read_csv(tables / "map.csv")["arch"]) != set(first["arch"])


def test_embeddings_of_two_ghns_are_not_mixed(tables):
    write_table(tables / "others.parquet", ["nets.py:x"] * 1, {"checkpoint_digest": "b"})
    done = here.archrep("map", "--embeddings", "many.parquet", "--embeddings", "others.parquet", cwd=tables)
    assert done.returncode == 2
    assert "another GHN" in done.stderr


def test_few_of_ones_own_are_drawn_among_the_shipped(tables):
    alone = here.archrep("map", "--embeddings", "mine.parquet", "--color", "depth", cwd=tables)
    assert (alone.returncode, "--embeddings shipped" in alone.stderr) == (2, True)
    together = here.archrep("map", "--embeddings", "mine.parquet", "--embeddings", "shipped", cwd=tables)
    assert "another GHN" in together.stderr  # this one's embeddings are random numbers
    assert "ghn2-cifar10-small.embeddings.parquet" in together.stderr


def test_labels_of_other_architectures_say_what_can_be_done(tables):
    done = here.archrep("map", "--embeddings", "many.parquet", cwd=tables)
    assert done.returncode == 2
    assert "--color of space, split, depth" in done.stderr
