"""`archrep labels`: import, check, card, as users type them."""

import json

import numpy as np
import pandas as pd
import pytest

from archrep.data.imported import Request
from archrep.data.labels import read_labels, write_labels
from archrep.data.tables import read_table
from tests.cli import here


def run(*args, cwd=None):
    return here.archrep("labels", *args, cwd=cwd)


@pytest.mark.shared
def test_import_then_read_and_check(shared, tmp_path):
    source = shared / "data" / "nasbench201" / "accuracy.csv.gz"
    table = pd.read_csv(source).head(300)
    table.to_csv(tmp_path / "nb.csv", index=False)
    done = run("import", "nasbench201", "nb.csv", "--out", "l.parquet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "accuracy: column cifar10_test_200ep, data set cifar10, split test, epochs 200" in done.stdout
    imported, direct = read_labels(tmp_path / "l.parquet"), read_labels(tmp_path / "nb.csv")
    pd.testing.assert_series_equal(imported.table["accuracy"], direct.table["accuracy"])
    assert imported.target("cifar100_test_200ep").higher_is_better
    _, header = read_table(tmp_path / "l.parquet", "labels", ())
    assert header["provenance"]["source"] == "nb.csv"
    checked = run("check", "l.parquet", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    assert "0 errors" in checked.stdout
    assert "copied column" not in checked.stdout
    again = run("import", "nasbench201", "nb.csv", "--out", "l.parquet", "--epochs", 12, cwd=tmp_path)
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    early = run("import", "nasbench201", "nb.csv", "--out", "l.parquet", "--epochs", 12, "--force", cwd=tmp_path)
    assert early.returncode == 0, early.stderr
    assert "warning: early as final [accuracy" in run("check", "l.parquet", cwd=tmp_path).stdout


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("nasbench201", "nasbench201/zero_cost_proxies.csv.gz"),
        ("nasbench101", "nasbench101/accuracy.csv.gz"),
        ("nasbench_macro", "nasbench_macro/accuracy.csv.gz"),
        ("timm", "timm/imagenet_accuracy.csv.gz"),
        ("timm", "timm/speed.csv.gz"),
    ],
)
def test_every_column_of_a_published_table_is_described(shared, tmp_path, name, file):
    from archrep.data.adapters import adapt

    adapted = adapt(name, shared / "data" / file, Request())
    assert not adapted.table.duplicated("arch").any()
    undirected = [n for n, facts in adapted.columns.items() if "direction" not in facts]
    assert set(undirected) <= {"std", "crop_pct", "param_count", "gmacs", "macts"} | {
        n for n in undirected if n.endswith("_err") or n.startswith("std") or n == "trainable_parameters"
    }


def test_check_tells_errors_by_its_exit_code(tmp_path):
    table = pd.DataFrame(
        {"arch": [f"deepnets-small:train:{i}" for i in range(9)], "accuracy": np.linspace(0.3, 0.4, 9)}
    )
    table.to_csv(tmp_path / "l.csv", index=False)
    done = run("check", "l.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert "error: out of range [accuracy] in 9 rows: all at most 1: fractions" in done.stdout
    assert "l.csv: 1 errors, 0 warnings, 0 notes" in done.stdout
    (finding,) = json.loads(run("check", "l.csv", "--json", cwd=tmp_path).stdout)["findings"]
    assert (finding["level"], finding["columns"], finding["rows"]) == ("error", ["accuracy"], 9)
    missing = run("check", "none.parquet", cwd=tmp_path)
    assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1)


def measured_rows():
    rng = np.random.default_rng(0)
    for i in range(30):
        for seed in range(3 if i < 12 else 1):
            yield {
                "arch": f"deepnets-small:{'test' if i < 20 else 'wide'}:{i}",
                "protocol": "quick-2",
                "seed": seed,
                "device": "cpu-x86_64-1t",
                "accuracy": 40 + i / 2 + rng.normal(),
                "trainability": 1 - i / 40,
                "trainability_reached": i > 0,
                "diverged": i == 29,
                "params": 1000 + i,
                "seconds": 20.0,
                "processor": "A",
            }


def test_card(tmp_path):
    told = {"protocol": {"name": "quick-2", "lr": 0.004}, "data": "cifar10", "data_digest": "d"}
    told |= {
        "failures": [{"arch": "x", "seed": 0, "error": "out of memory: RuntimeError"}],
        "command": "archrep measure",
    }
    write_labels(tmp_path / "l.parquet", list(measured_rows()), told | {"versions": {"torch": "2"}})
    done = run("card", "l.parquet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "l.md").read_text()
    assert "30 in 54 runs (18 with 1 seed, 12 with 3 seeds)" in text
    assert "- 1 runs failed: out of memory" in text
    assert "- 1 of 54 runs diverged" in text
    assert "![Kendall's τ between targets](l-correlations.png)" in text
    noise = next(line for line in text.splitlines() if line.startswith("| `accuracy` | 0."))
    assert noise.split(" | ")[2] == "12"
    assert "`deepnets-small:wide` | 10 |" in text
    points = pd.read_csv(tmp_path / "l-correlations.csv")
    assert points.query("target == 'params' and other == 'trainability'")["tau"].item() == pytest.approx(-1)
    assert run("card", "l.parquet", cwd=tmp_path).returncode == 2


def test_card_against_a_longer_training(tmp_path):
    told = {"data": "cifar10", "data_digest": "d", "command": "archrep measure", "versions": {"torch": "2"}}
    rows = list(measured_rows())
    write_labels(tmp_path / "l.parquet", rows, told | {"protocol": {"name": "quick-2"}})
    longer = [{**row, "accuracy": -row["accuracy"]} for row in rows if row["seed"] == 0][:20]
    write_labels(tmp_path / "longer.parquet", longer, told | {"protocol": {"name": "longer"}})
    done = run("card", "l.parquet", "--against", "longer.parquet", "--out", "a.md", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    against = json.loads(done.stdout)["against"]
    assert (against["protocol"], against["architectures"]) == ("longer", 20)
    assert against["tau"]["accuracy"] < -0.5
    assert against["tau"]["trainability"] == pytest.approx(1)
    assert against["of_size"]["params"] < -0.5
    text = (tmp_path / "a.md").read_text()
    assert "τ with protocol `longer`, over 20 architectures" in text
    assert "| `params` with its `accuracy` |" in text
    foreign = [{**row, "arch": f"deepnets-small:train:{i}"} for i, row in enumerate(longer)]
    write_labels(tmp_path / "foreign.parquet", foreign, told | {"protocol": {"name": "longer"}})
    done = run("card", "l.parquet", "--against", "foreign.parquet", "--out", "b.md", cwd=tmp_path)
    assert done.returncode == 2
    assert "shares 0 architectures" in done.stderr
