"""What notebooks need: two sizes by one variable, optional data, figures that are kept where asked."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from archrep.errors import ArchrepError
from archrep.notebook import DATA, FIGURES, SIZE, keep, optional_data, sized


def test_one_variable_sets_the_size(monkeypatch):
    monkeypatch.delenv(SIZE, raising=False)
    assert sized(100, 3) == 100
    monkeypatch.setenv(SIZE, "small")
    assert sized(100, 3) == 3
    monkeypatch.setenv(SIZE, "tiny")
    with pytest.raises(ArchrepError, match="full or small; got 'tiny'"):
        sized(100, 3)


def test_data_that_do_not_ship_are_none_where_they_are_not(monkeypatch, tmp_path):
    monkeypatch.delenv(DATA, raising=False)
    assert optional_data("cifar10") is None
    monkeypatch.setenv(DATA, str(tmp_path))
    assert optional_data("cifar10") is None
    (tmp_path / "cifar10").mkdir()
    assert optional_data("cifar10") == tmp_path / "cifar10"


def test_figures_are_kept_only_in_a_named_folder_and_twice_the_same(monkeypatch, tmp_path):
    points = pd.DataFrame({"x": [0.0, 1.0], "y": [1.0, 0.5]})
    monkeypatch.delenv(FIGURES, raising=False)
    monkeypatch.chdir(tmp_path)
    assert isinstance(keep(_drawn(points), "line"), Figure)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv(FIGURES, "kept")
    keep(_drawn(points), "line")
    first = {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
    assert sorted(first) == ["line.csv", "line.png", "line.svg"]
    keep(_drawn(points), "line")
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}


def _drawn(points):
    figure = Figure()
    figure.subplots().plot(points["x"], points["y"])
    return figure, points
