"""`archrep search`, in this process: simulation, its files, resuming, hostile input, and a live search that trains."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from archrep.cli.main import app
from archrep.errors import ArchrepError


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """120 NAS-Bench-Macro networks whose accuracy counts their larger convolutions."""
    rng = np.random.default_rng(0)
    names = [np.base_repr(i, 3).zfill(8) for i in rng.permutation(3**8)[:120]]
    accuracy = [80 + sum(map(int, name)) + rng.normal(0, 0.1) for name in names]
    path = tmp_path_factory.mktemp("search") / "l.csv"
    table = pd.DataFrame({"arch": [f"nasbench_macro:{n}" for n in names], "accuracy": accuracy})
    table.assign(accuracy_val=table["accuracy"] + rng.normal(0, 0.1, 120)).to_csv(path, index=False)
    return path


def search(*arguments):
    result = CliRunner().invoke(app, ["search", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result


def macro(labels, *more):
    return search("--space", "nasbench_macro", "--labels", labels, *more)


def test_simulation_writes_regret_figure_and_report(labels, tmp_path):
    out = tmp_path / "s"
    done = macro(labels, "--strategies", "random,gp-ei", "--runs", 3, "--budget", 20, "--out", out)
    names = {"regret.csv", "search.json", "search.md", "curve.png", "curve.svg", "curve.csv"}
    assert {p.name for p in out.iterdir()} == names
    table = pd.read_csv(out / "regret.csv")
    assert list(table) == ["strategy", "run", "query", "regret_valid", "regret_test"]
    assert len(table) == 2 * 3 * 20
    assert not table.duplicated(["strategy", "run", "query"]).any()
    falls = table.groupby(["strategy", "run"])["regret_valid"].apply(lambda r: (np.diff(r) <= 0).all())
    assert falls.all()
    facts = json.loads((out / "search.json").read_text())
    assert (facts["runs"], facts["budget"], facts["architectures"]) == (3, 20, 120)
    assert facts["selected_by"] == "accuracy_val"
    assert "Regret @20, random - gp-ei" in done.stdout
    assert "| gp-ei |" in (out / "search.md").read_text()


def test_it_is_resumed_and_never_overwritten(labels, tmp_path):
    out, fixed = tmp_path / "s", ("--runs", 2, "--budget", 12)
    macro(labels, "--strategies", "random", *fixed, "--out", out)
    first = pd.read_csv(out / "regret.csv")
    with pytest.raises(ArchrepError, match="not overwritten without --force"):
        macro(labels, "--strategies", "random", *fixed, "--out", out)
    lines = (tmp_path / "s.jsonl").read_text().count("\n")
    macro(labels, "--strategies", "random,evolution", *fixed, "--out", out, "--force")
    assert (tmp_path / "s.jsonl").read_text().count("\n") == lines + 2
    both = pd.read_csv(out / "regret.csv")
    pd.testing.assert_frame_equal(both[both["strategy"] == "random"].reset_index(drop=True), first)
    macro(labels, "--strategies", "random", "--runs", 2, "--budget", 12, "--out", tmp_path / "again")
    assert (tmp_path / "again" / "regret.csv").read_bytes() == first.to_csv(index=False, float_format="%.6g").encode()


def test_a_budget_larger_than_the_pool_is_cut_and_said(labels, tmp_path):
    done = macro(labels, "--strategies", "random,local-search,evolution", "--runs", 2, "--budget", 5000, "--out",
                 tmp_path / "s")  # fmt: skip
    table = pd.read_csv(tmp_path / "s" / "regret.csv")
    classes = table["query"].max()
    assert classes < 120
    assert f"so the budget is {classes}, not 5,000" in done.stderr
    assert json.loads((tmp_path / "s" / "search.json").read_text())["strategies"][0]["ran out"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--strategies", "radnom"), "Unknown strategy 'radnom'. Did you mean 'random'"),
        (("--strategies", "gp-ei:one-hit"), "Unknown encoder 'one-hit'"),
        (("--target", "latency_ms"), "Unknown target 'latency_ms'"),
        (("--space", "nasbench201"), "no labels of the space 'nasbench201'"),
        (("--space", "nasbench202"), "Unknown space 'nasbench202'"),
        (("--archs", "nasbench_macro:00000000"), "is the pool of --evaluate"),
        (("--evaluate",), "give these, and no --labels"),
        (("--labels", "missing.csv"), "no such file"),
        (("--strategies", "gp-ei:zero-cost"), "images"),
    ],
)
def test_refusals(labels, tmp_path, options, message):
    with pytest.raises(ArchrepError, match=message):
        macro(labels, "--runs", 1, "--budget", 5, *options, "--out", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_nan_labels_and_tables_without_arch(labels, tmp_path):
    table = pd.read_csv(labels, dtype=str)
    table.loc[:9, "accuracy_val"] = ""
    table.to_csv(tmp_path / "nan.csv", index=False)
    done = macro(tmp_path / "nan.csv", "--strategies", "random", "--runs", 1, "--budget", 5, "--out", tmp_path / "s")
    assert "10 architectures without a finite accuracy_val, left out" in done.stderr
    table.drop(columns="arch").to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(ArchrepError, match="no column arch"):
        macro(tmp_path / "odd.csv", "--out", tmp_path / "t")
    table.head(0).to_csv(tmp_path / "empty.csv", index=False)
    with pytest.raises(ArchrepError, match="empty"):
        macro(tmp_path / "empty.csv", "--out", tmp_path / "t")


def test_shipped_labels_of_deepnets(tmp_path):
    out = tmp_path / "d"
    search("--space", "deepnets-small", "--strategies", "random,gp-ei", "--runs", 2, "--budget", 20, "--limit", 60,
           "--out", out)  # fmt: skip
    assert "nearest by graph-features" in (out / "search.md").read_text()


def test_live_search_trains_what_is_proposed_and_resumes(tmp_path):
    out = tmp_path / "live"
    fixed = ("--space", "deepnets-small", "--archs", "deepnets-small:train:0-5", "--evaluate", "--data", "digits",
             "--protocol", "smoke", "--strategies", "random,evolution")  # fmt: skip
    done = search(*fixed, "--budget", 2, "--out", out)
    table = pd.read_csv(out / "queries.csv")
    assert len(table) == 4
    assert table["accuracy_val"].notna().all()
    assert table.loc[0, "arch"] == table.loc[2, "arch"]  # both begin alike, it was trained once
    measured = pd.read_parquet(tmp_path / "live.parquet")
    assert set(measured["arch"]) == set(table["arch"])
    assert "best of 2 queries" in done.stdout
    before = (tmp_path / "live.jsonl").read_text()
    search(*fixed, "--budget", 2, "--out", out, "--force")
    assert (tmp_path / "live.jsonl").read_text() == before
    many = search(*fixed, "--budget", 3, "--limit", 2, "--out", tmp_path / "few")
    assert "the budget is that, not 3" in many.stderr
    with pytest.raises(ArchrepError, match="Unknown protocol"):
        search(*fixed[:-4], "--protocol", "slow", "--out", tmp_path / "t")
    with pytest.raises(ArchrepError, match="--space nasbench201: the pool holds deepnets-small:train:0"):
        search("--space", "nasbench201", *fixed[2:], "--out", tmp_path / "t")
