"""Labels as they come: each fault is one clear line, or an exclusion that is counted."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from archrep.cli.main import app
from archrep.errors import ArchrepError

CONNECTED, DEAD = "skip_connect", "none"


def cell(i, last):
    """NAS-Bench-201 cells that differ in their live part, but for `last` = none, which cuts the output off."""
    ops = ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "skip_connect", "none")
    a, b, c = ops[i % 4], ops[i // 4 % 5], ops[i // 20 % 4]
    return f"nasbench201:|{a}~0|+|{b}~0|{c}~1|+|none~0|none~1|{last}~2|"


@pytest.fixture
def table():
    """60 cells, no two of one class; accuracy depends on the operations."""
    names = [cell(i, CONNECTED) for i in range(80)]
    share = np.array([name.count("nor_conv") for name in names])
    values = 80 + 3 * share + np.random.default_rng(0).normal(size=80)
    return pd.DataFrame({"arch": names, "accuracy": values, "clue": values**2, "kind": "cell"}).iloc[:60]


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    monkeypatch.setattr("archrep.plot.style.save_figure", lambda figure, points, prefix: None)


def probe(table, folder, *more):
    table.to_csv(folder / "l.csv", index=False)
    fixed = ("probe", "--labels", folder / "l.csv", "--encoders", "graph-features,paths", "--probe", "ridge")
    result = CliRunner().invoke(app, [*map(str, (*fixed, "--out", folder / "p", *more))])
    if result.exception:
        raise result.exception
    assert str(sum(json.loads((folder / "p" / "report.json").read_text())["excluded"].values())) in result.stdout
    return json.loads((folder / "p" / "report.json").read_text())


def test_what_is_counted(table, tmp_path):
    faults = pd.concat(
        [
            table,
            table.iloc[[7]],  # the same again
            table.iloc[[8]].assign(accuracy=1.0),  # contradicting
            table.iloc[[9]].assign(arch="nasbench201:|odd~0|"),
            table.iloc[[9]].assign(arch="nasbench999:1"),
        ]
    ).reset_index(drop=True)
    faults.loc[0, "accuracy"], faults.loc[1, "accuracy"], faults.loc[2, "accuracy"] = np.nan, np.inf, -np.inf
    report = probe(faults, tmp_path)
    assert report["n"] == 56
    assert report["excluded"] == {
        "labels that are not finite": 3,
        "architectures labelled twice with different values and no seed to tell them apart": 1,
        "labels of architectures that cannot be made": 2,
    }
    assert "Excluded: 3 labels that are not finite." in (tmp_path / "p" / "report.md").read_text()


def test_seeds_are_averaged_and_give_a_ceiling(table, tmp_path):
    rng = np.random.default_rng(1)
    seeds = [table.assign(accuracy=table["accuracy"] + rng.normal(size=60), seed=seed) for seed in range(3)]
    report = probe(pd.concat(seeds), tmp_path)
    assert report["n"] == 60
    assert report["excluded"] == {}
    assert 0.5 < report["noise_ceiling"]["tau"] < 1
    assert report["noise_ceiling"]["seeds"] == 3
    first = report["scores"][0]
    assert first["of_ceiling"] == pytest.approx(first["tau"] / report["noise_ceiling"]["tau"])


def test_cells_without_a_graph(table, tmp_path):
    """Graph features and paths describe them, operation counts of the graph cannot."""
    dead = pd.DataFrame({"arch": [cell(i, DEAD) for i in range(6)], "accuracy": np.linspace(10, 11, 6)})
    both = pd.concat([table, dead])
    assert probe(both, tmp_path)["n"] == 66
    needing = probe(both, tmp_path, "--encoders", "graph-features,op-counts", "--force")
    assert needing["n"] == 60
    assert needing["excluded"] == {"architectures whose output does not depend on their input": 6}


def test_what_is_refused(table, tmp_path):
    scattered = table.assign(clue=table["clue"].where(table.index != 5))
    cases = [
        (table.assign(accuracy=3.0), (), "target 'accuracy' is constant"),
        (table.assign(accuracy=np.nan), (), "target 'accuracy' is missing .60 labels that are not finite"),
        (table.head(12), (), "12 architectures have labels and encodings; a probe needs at least 20"),
        (table.head(12), ("--train-size", 10), "10 out of 12 labelled architectures is not possible"),
        (scattered, ("--encoders", "columns:clue"), "no clue of 1 of 60 architectures"),
        (table, ("--encoders", "columns:kind"), "Unknown numeric column of the label table 'kind'"),
        (table, ("--encoders", "columns:clou"), "Did you mean 'clue'"),
        (table.assign(accuracy="high"), (), "'accuracy' is not numeric .it holds 'high'"),
        (table, ("--target", "kind"), "'kind' is not numeric"),
        (table, ("--target", "acuracy"), "Did you mean 'accuracy'"),
        (table, ("--group-by", "kin"), "no column 'kin' to group by"),
        (table.assign(arch=table["arch"] + "odd"), (), "none of its 60 architectures can be encoded"),
        (table.assign(arch=cell(0, CONNECTED)), (), "is missing .1 architectures labelled twice with different"),
        (table.rename(columns={"arch": "name"}), (), "no column arch"),
        (table.head(0), (), "is empty"),
        (table.assign(arch=cell(0, CONNECTED), seed=range(60)), (), "constant"),
    ]
    for labels, options, message in cases:
        with pytest.raises(ArchrepError, match=message):
            probe(labels, tmp_path, *options)
    assert not (tmp_path / "p").exists()
