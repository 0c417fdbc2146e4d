"""`archrep neighbors`, in this process."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from archrep import GHN
from archrep.cli.main import app
from archrep.data.embeddings import read_embeddings
from archrep.errors import ArchrepError
from archrep.shipped import EMBEDDINGS, shipped


def neighbors(*arguments):
    result = CliRunner().invoke(app, ["neighbors", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result


def test_of_the_shipped_table(tmp_path):
    done = neighbors("deepnets-small:test:0", "-k", 3, "--out", tmp_path / "n.csv")
    table = pd.read_csv(tmp_path / "n.csv")
    assert list(table) == ["arch", "distance", "differs"]
    embeddings = read_embeddings(shipped(EMBEDDINGS))
    own = embeddings.values[embeddings.table.index.get_loc("deepnets-small:test:0")]
    distance = np.linalg.norm(embeddings.values - own, axis=1)
    np.testing.assert_allclose(table["distance"], np.sort(distance)[1:4], rtol=1e-4)
    assert "→" in table["differs"][0]
    assert "what differs" in done.stdout
    with pytest.raises(ArchrepError, match="not overwritten"):
        neighbors("deepnets-small:test:0", "--out", tmp_path / "n.csv")


def test_of_an_architecture_that_the_table_does_not_have(tmp_path):
    assert "deepnets-small:train:4711: the nearest" in neighbors("deepnets-small:train:4711", "-k", 1).stdout
    found = json.loads(neighbors("deepnets-small:train:4711", "-k", 2, "--json").stdout)
    assert len(found["neighbors"]) == 2
    everything = neighbors("deepnets-small:test:0", "-k", 5000, "--metric", "cosine", "--json")
    table = read_embeddings(shipped(EMBEDDINGS)).table
    assert len(json.loads(everything.stdout)["neighbors"]) == len(table) - 1
    assert "fewer than -k 5,000" in everything.stderr
    GHN.untrained(seed=2).save(tmp_path / "ghn.safetensors")
    with pytest.raises(ArchrepError, match="is not the checkpoint that made the table"):
        neighbors("deepnets-small:train:4711", "--checkpoint", tmp_path / "ghn.safetensors")


def test_refusals(tmp_path):
    (tmp_path / "t.csv").write_text("arch\na\n")
    cases = {
        "names several architectures": ("deepnets-small:test:0-3",),
        "Unknown space": ("deepnet:0",),
        "Unknown metric": ("deepnets-small:test:0", "--metric", "l1"),
        "no such embeddings table": ("deepnets-small:test:0", "--in", tmp_path / "none.parquet"),
        "not a readable Parquet": ("deepnets-small:test:0", "--in", tmp_path / "t.csv"),
    }
    for message, arguments in cases.items():
        with pytest.raises(ArchrepError, match=message):
            neighbors(*arguments)
