"""Figures: deterministic, complete, and refused in one line where they make no sense."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from archrep.errors import ArchrepError
from archrep.plot.style import save_figure
from archrep.plot.training import draw_training
from archrep.plot.umap_map import draw_map, project


@pytest.fixture(scope="session")
def projected():
    values = np.concatenate([np.random.default_rng(i).normal(4 * i, 1, (20, 8)) for i in range(3)])
    return values, project(values, seed=1)


def test_projection_is_deterministic_and_separates_clusters(projected):
    values, xy = projected
    assert np.array_equal(xy, project(values, seed=1))
    centres = np.stack([xy[20 * i : 20 * i + 20].mean(axis=0) for i in range(3)])
    spread = max(xy[20 * i : 20 * i + 20].std() for i in range(3))
    assert np.linalg.norm(centres[0] - centres[2]) > spread
    with pytest.raises(ArchrepError, match="at least 5"):
        project(values[:4])


def test_map_is_saved_three_ways(projected, tmp_path):
    _, xy = projected
    points = pd.DataFrame(xy, columns=["x", "y"]).assign(value=np.arange(60.0), kind=["a", "b", "c"] * 20)
    points.loc[3, "value"] = np.nan
    for color in ("value", "kind"):
        paths = save_figure(draw_map(points, color, "%", "title"), points, tmp_path / color)
        assert [p.suffix for p in paths] == [".png", ".svg", ".csv"]
        with Image.open(paths[0]) as image:
            assert image.size[0] > 400
        assert pd.read_csv(paths[2]).shape == points.shape
    again = save_figure(draw_map(points, "kind", "%", "title"), points, tmp_path / "again")
    assert again[0].read_bytes() == (tmp_path / "kind.png").read_bytes()
    assert again[1].read_bytes() == (tmp_path / "kind.svg").read_bytes()
    with pytest.raises(ArchrepError, match="--force"):
        save_figure(draw_map(points, "kind"), points, tmp_path / "kind")


def test_unknown_columns_are_refused():
    points = pd.DataFrame({"x": range(6), "y": range(6), "value": range(6)})
    with pytest.raises(ArchrepError, match="Unknown column 'size'"):
        draw_map(points, "size")


def test_of_many_classes_the_most_frequent_have_colours():
    kinds = [f"kind {i % 12}" for i in range(60)] + ["frequent $x$"] * 9 + [None]
    points = pd.DataFrame({"x": range(70), "y": range(70), "kind": kinds})
    legend = draw_map(points, "kind").axes[0].get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    assert len(names) == 10
    assert names[0] == "frequent $x$ (9)"
    assert names[-2:] == ["5 others (25)", "no value (1)"]


def test_curve_of_a_training_run():
    """One point per validation; a validation without a finite loss leaves a gap."""
    lines = [
        {"step": 2, "loss": 2.3, "accuracy": 11.0, "val_accuracy": 10.0, "seconds": 9.0},
        {"step": 4, "loss": None, "accuracy": None, "val_accuracy": 12.5, "seconds": 18.0},
        {"step": 6, "loss": 2.1, "accuracy": 14.0, "val_accuracy": 15.0, "seconds": 7200.0},
    ]
    figure, points = draw_training(lines, "run")
    assert points["step"].tolist() == [2, 4, 6]
    assert points["val_accuracy"].tolist() == [10.0, 12.5, 15.0]
    assert points["loss"].isna().tolist() == [False, True, False]
    loss, accuracy = figure.axes
    assert loss.lines[0].get_xydata()[-1].tolist() == [6, 2.1]
    assert [line.get_label() for line in accuracy.lines] == ["training", "validation"]
    assert "6 steps in 2.0 h" in figure.get_suptitle()
