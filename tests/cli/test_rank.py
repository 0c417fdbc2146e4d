"""`archrep rank`, in this process: from labels, from a fitted probe, Pareto fronts, hostile input."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from archrep.cli.main import app
from archrep.data.embeddings import read_embeddings
from archrep.errors import ArchrepError
from archrep.shipped import EMBEDDINGS, LABELS, shipped


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A pool of 90 NAS-Bench-Macro networks and labels of 40, 30 of them inside."""
    folder = tmp_path_factory.mktemp("rank")
    rng = np.random.default_rng(0)
    names = [np.base_repr(i, 3).zfill(8) for i in rng.permutation(3**8)[:100]]
    table = pd.DataFrame(
        {
            "arch": [f"nasbench_macro:{n}" for n in names],
            "accuracy": [80 + sum(map(int, n)) + rng.normal(0, 0.1) for n in names],
            "latency_ms": [1 + 0.5 * sum(map(int, n[:4])) + rng.normal(0, 0.1) for n in names],
        }
    )
    table.iloc[:40].to_csv(folder / "few.csv", index=False)
    table.iloc[10:][["arch"]].to_csv(folder / "pool.csv", index=False)
    table.to_csv(folder / "truth.csv", index=False)
    return folder


def rank(*arguments):
    result = CliRunner().invoke(app, ["rank", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result


def of(tables, *more):
    return rank("--archs", tables / "pool.csv", "--labels", tables / "few.csv", *more)


def test_a_ranking_from_few_labels(tables, tmp_path):
    done = of(tables, "--target", "accuracy", "--out", tmp_path / "r.csv")
    table = pd.read_csv(tmp_path / "r.csv")
    assert list(table) == ["arch", "rank", "predicted", "low", "high"]
    assert len(table) == 90
    assert (table["low"] <= table["predicted"]).all()
    assert (table["predicted"] <= table["high"]).all()
    assert (np.diff(table["predicted"]) <= 1e-8).all()
    truth = pd.read_csv(tables / "truth.csv").set_index("arch")["accuracy"]
    assert truth[table["arch"]].reset_index(drop=True).corr(table["predicted"], method="kendall") > 0.75
    assert "10 of 40 are of architectures outside the pool" in done.stderr
    assert "learned from 40 labels" in done.stderr
    assert str(tmp_path / "r.csv") in done.stdout
    with pytest.raises(ArchrepError, match="not overwritten"):
        of(tables, "--out", tmp_path / "r.csv")


def test_the_best_ones_and_json(tables, tmp_path):
    of(tables, "--top", 5, "--out", tmp_path / "r.parquet")
    assert len(pd.read_parquet(tmp_path / "r.parquet")) == 5
    found = json.loads(of(tables, "--top", 5, "--json").stdout)
    assert (found["n"], len(found["ranking"])) == (90, 5)
    assert "fewer than --top 500" in of(tables, "--top", 500).stderr


def test_several_targets_give_a_front(tables, tmp_path):
    of(tables, "--target", "accuracy,latency_ms", "--target", "params", "--out", tmp_path / "r.csv")
    table = pd.read_csv(tmp_path / "r.csv")
    front = pd.read_csv(tmp_path / "r-pareto.csv")
    assert (tmp_path / "r-pareto.png").stat().st_size > 1000
    assert (tmp_path / "r-pareto.svg").exists()
    assert set(front["arch"]) == set(table.loc[table["pareto"], "arch"])
    best = front.iloc[0]
    assert best["accuracy"] == pytest.approx(table["predicted"].max())
    assert (front["params"] == front["params_high"]).all()


def test_from_a_fitted_probe_and_an_embedding_table(tmp_path):
    fixed = ("--labels", shipped(LABELS), "--embeddings", shipped(EMBEDDINGS), "--encoders", "ghn", "--probe", "ridge")
    done = CliRunner().invoke(app, ["probe", *map(str, fixed), "--limit", "60", "--out", str(tmp_path / "p")])
    assert done.exit_code == 0, done.exception
    rank("--probe", tmp_path / "p", "--embeddings", shipped(EMBEDDINGS), "--out", tmp_path / "r.csv")
    table = pd.read_csv(tmp_path / "r.csv")
    embeddings = read_embeddings(shipped(EMBEDDINGS))
    assert set(table["arch"]) == set(embeddings.table.index)
    some = embeddings.table.index[0]
    rank("--probe", tmp_path / "p", "--archs", some, "--out", tmp_path / "one.csv")
    one = pd.read_csv(tmp_path / "one.csv").iloc[0]
    same = table.set_index("arch").loc[some]
    assert one["predicted"] == pytest.approx(same["predicted"], abs=0.05)
    with pytest.raises(ArchrepError, match="leave --target out"):
        rank("--probe", tmp_path / "p", "--embeddings", shipped(EMBEDDINGS), "--target", "accuracy")
    with pytest.raises(ArchrepError, match=r"90 not in the embedding table"):
        raise _in_table(tmp_path)


def _in_table(tmp_path):
    names = [f"deepnets-small:train:{i}" for i in range(50_000, 50_090)]
    pd.DataFrame({"arch": names}).to_csv(tmp_path / "pool.csv", index=False)
    result = CliRunner().invoke(
        app,
        ["rank", "--probe", str(tmp_path / "p"), "--embeddings", str(shipped(EMBEDDINGS)), "--archs",
         str(tmp_path / "pool.csv")],
    )  # fmt: skip
    return result.exception


def test_refusals(tables, tmp_path):
    table = pd.read_csv(tables / "few.csv")
    table.drop(columns="arch").to_csv(tmp_path / "odd.csv", index=False)
    table.head(3).to_csv(tmp_path / "three.csv", index=False)
    table.assign(accuracy=np.nan).to_csv(tmp_path / "nan.csv", index=False)
    table.assign(accuracy=1.0).to_csv(tmp_path / "same.csv", index=False)
    pool = ("--archs", tables / "pool.csv")
    cases = {
        "Give either --labels": pool,
        "Nothing to rank": ("--labels", tables / "few.csv"),
        "no column arch": (*pool, "--labels", tmp_path / "odd.csv"),
        "no column 'arch'": ("--archs", tmp_path / "odd.csv", "--labels", tables / "few.csv"),
        "3 usable labels": (*pool, "--labels", tmp_path / "three.csv"),
        "is missing": (*pool, "--labels", tmp_path / "nan.csv"),
        "constant": (*pool, "--labels", tmp_path / "same.csv"),
        "Unknown target 'speed'": (*pool, "--labels", tables / "few.csv", "--target", "speed"),
        "Every target counts once": (*pool, "--labels", tables / "few.csv", "--target", "accuracy,accuracy"),
        "Unknown encoder": (*pool, "--labels", tables / "few.csv", "--encoders", "sise"),
        "a table is a Parquet or CSV": (*pool, "--labels", tables / "few.csv", "--out", tmp_path / "r.txt"),
        "Unknown space": ("--archs", "nasbench:1", "--labels", tables / "few.csv"),
        "no probe.json": ("--probe", tmp_path, *pool),
    }
    for message, arguments in cases.items():
        with pytest.raises(ArchrepError, match=message):
            rank(*arguments)


def test_nan_labels_are_left_out_and_said(tables, tmp_path):
    table = pd.read_csv(tables / "few.csv")
    table.loc[:4, "accuracy"] = np.nan
    table.to_csv(tmp_path / "nan.csv", index=False)
    done = rank("--archs", tables / "pool.csv", "--labels", tmp_path / "nan.csv")
    assert "5 labels that are not finite" in done.stderr
    assert "learned from 35 labels" in done.stderr
