"""From labels to predictions of new architectures, with intervals that hold; what is refused."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from archrep.cli.main import app
from archrep.errors import ArchrepError
from archrep.space import architectures

WEIGHTS = {"nor_conv_3x3": 3.0, "nor_conv_1x1": 1.5, "skip_connect": 0.5, "avg_pool_3x3": 0.2, "none": 0.0}


def invoke(*args):
    result = CliRunner().invoke(app, [*map(str, args)])
    if result.exception:
        raise result.exception
    return result


def truth(name, rng):
    """Planted: what its operations weigh, and noise that is the cell's own."""
    words = name.replace("+", "|").split("|")
    return 60 + sum(WEIGHTS[word.split("~")[0]] for word in words if "~" in word) + rng.normal(0, 0.5)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """400 cells of NAS-Bench-201, 200 of them labelled, and the folder of a probe fitted on those."""
    folder = tmp_path_factory.mktemp("cells")
    rng = np.random.default_rng(0)
    chosen = [a.id for a in architectures("nasbench201:all")]
    chosen = [chosen[i] for i in rng.permutation(15625)[:400]]
    table = pd.DataFrame({"arch": chosen, "accuracy": [truth(name, rng) for name in chosen]})
    table.iloc[:200].to_csv(folder / "l.csv", index=False)
    table.iloc[200:].to_csv(folder / "new.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archrep.plot.style.save_figure", lambda figure, points, prefix: None)
        options = ("--encoders", "paths,one-hot", "--probe", "ridge", "--train-size", 100, "--resamplings", 2)
        invoke("probe", "--labels", folder / "l.csv", *options, "--out", folder / "p")
    return folder


def predict(cells, out, *more, archs="new.csv", probe="p"):
    args = ("predict-target", "--probe", cells / probe, "--archs", cells / archs, "--out", out, *more)
    return invoke(*args)


def test_new_cells_and_how_often_the_intervals_hold(cells, tmp_path):
    printed = predict(cells, tmp_path / "p.csv").stdout
    assert "Predicted accuracy (%) of 200 architectures, refused 0" in printed
    got, new = pd.read_csv(tmp_path / "p.csv"), pd.read_csv(cells / "new.csv")
    assert list(got["arch"]) == list(new["arch"])
    assert got["accuracy"].corr(new["accuracy"], "kendall") > 0.5
    for level, file in ((0.9, "p.csv"), (0.5, "half.csv")):
        predict(cells, tmp_path / "half.csv", "--level", 0.5, "--force")
        rows = pd.read_csv(tmp_path / file)
        inside = (rows["low"] <= new["accuracy"]) & (new["accuracy"] <= rows["high"])
        assert inside.mean() == pytest.approx(level, abs=0.1)
        assert ((rows["low"] <= rows["accuracy"]) & (rows["accuracy"] <= rows["high"])).all()


def test_the_order_and_number_of_architectures_do_not_matter(cells, tmp_path):
    predict(cells, tmp_path / "all.csv")
    pd.read_csv(cells / "new.csv").iloc[::-7].to_csv(cells / "some.csv", index=False)
    predict(cells, tmp_path / "some.csv", archs="some.csv")
    whole, some = (pd.read_csv(tmp_path / name, index_col="arch") for name in ("all.csv", "some.csv"))
    np.testing.assert_allclose(some, whole.loc[some.index], rtol=1e-9)


def test_deepnets(tmp_path, monkeypatch):
    """The shipped GHN embeds; parquet as the suffix says."""
    monkeypatch.setattr("archrep.plot.style.save_figure", lambda figure, points, prefix: None)
    chosen = list(architectures("deepnets-small:train:0-29"))
    share = [100 * a.graph.primitives.count("conv") / len(a.graph.primitives) for a in chosen]
    pd.DataFrame({"arch": [a.id for a in chosen], "accuracy": share}).to_csv(tmp_path / "l.csv", index=False)
    options = ("--encoders", "ghn", "--probe", "ridge", "--out", tmp_path / "p")
    invoke("probe", "--labels", tmp_path / "l.csv", *options)
    new = ("predict-target", "--probe", tmp_path / "p", "--archs", "deepnets-small:train:30-49")
    invoke(*new, "--out", tmp_path / "new.parquet")
    got = pd.read_parquet(tmp_path / "new.parquet")
    assert len(got) == 20
    assert np.isfinite(got[["accuracy", "low", "high"]].to_numpy()).all()
    new_share = [a.graph.primitives.count("conv") / len(a.graph.primitives) for a in architectures(new[-1])]
    assert got["accuracy"].corr(pd.Series(new_share), "kendall") > 0.2
    with pytest.raises(ArchrepError, match="is not the checkpoint that the probe was trained with"):
        invoke(*new, "--out", tmp_path / "x.csv", "--checkpoint", other_checkpoint(tmp_path))


def other_checkpoint(folder):
    from archrep import GHN

    GHN.untrained(seed=9).save(folder / "other.safetensors")
    return folder / "other.safetensors"


def test_what_is_refused(cells, tmp_path):
    shutil.copytree(cells / "p", cells / "changed", dirs_exist_ok=True)
    facts = json.loads((cells / "changed" / "probe.json").read_text())
    facts["residuals"] = [0.0 for _ in facts["residuals"]]  # narrow intervals
    (cells / "changed" / "probe.json").write_text(json.dumps(facts))
    shutil.copytree(cells / "p", cells / "cut", dirs_exist_ok=True)
    models = (cells / "cut" / "probe.skops").read_bytes()
    (cells / "cut" / "probe.skops").write_bytes(models[: len(models) // 2])
    out = tmp_path / "p.csv"
    cases = [
        ({"probe": "changed"}, (), "fit the probe again"),
        ({"probe": "cut"}, (), "fit the probe again"),
        ({"probe": "none"}, (), r"no probe\.json"),
        ({}, ("--archs", "deepnets-small:test:0"), "which differ between spaces|of several"),
    ]
    for how, more, message in cases:
        with pytest.raises(ArchrepError, match=message):
            predict(cells, out, *more, **how)
    with pytest.raises(ArchrepError, match="give --archs"):
        invoke("predict-target", "--probe", cells / "p", "--out", out)
    with pytest.raises(ArchrepError, match=r"was trained on .* columns"):
        invoke("predict-target", "--probe", cells / "p", "--archs", "nasbench_macro:00000000", "--out", out)
    with pytest.raises(ArchrepError, match=r"in \.parquet or \.csv"):
        predict(cells, tmp_path / "p.txt")
    assert not out.exists()
