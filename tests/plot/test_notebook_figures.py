"""Figures of the notebooks: complete, and nothing outside of the picture or on top of each other."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from archrep.data.embeddings import Embeddings
from archrep.data.targets import TARGETS
from archrep.errors import ArchrepError
from archrep.plot.maps import draw_maps
from archrep.plot.neighbors import draw_neighbors
from archrep.plot.predicted import draw_finetuning, draw_published, draw_weights
from archrep.plot.scores import draw_early, draw_scores
from archrep.plot.search import draw_front, draw_regret


def scores(encoders, targets):
    rows = [(t, e, 0.1 * i, 0.1 * i - 0.2, 0.1 * i + 0.1) for t in targets for i, e in enumerate(encoders)]
    table = pd.DataFrame(rows, columns=["target", "encoder", "tau", "tau_low", "tau_high"])
    return table.assign(n=50, ceiling=0.9)


def drawings():
    rng = np.random.default_rng(0)
    points = pd.DataFrame(rng.normal(size=(40, 2)), columns=["x", "y"])
    points = points.assign(kind=[f"a longer kind {i % 10}" for i in range(40)], size=np.geomspace(1, 1e6, 40))
    yield "maps", draw_maps(points, {"kind": "kind", "size": "size (count)"}, "Maps · n = 40")
    rows = scores(["one", "another"], ["accuracy", "latency_ms", "c", "d", "e"])
    yield "scores", draw_scores(rows, "Scores of encoders · n = 50")
    yield "score", draw_scores(scores(["one", "another", "a third encoder"], ["x"]).drop(columns="target"), "Scores")
    curve = scores([0.1, 0.5, 1.0], ["x"]).drop(columns="target")
    yield "early", draw_early({"accuracy": curve, "latency": curve}, "Early · n = 50")
    published = [(s, g, 9, 30.0, 28.0, 31.0, 60.0) for s in ("test", "wide") for g in ("GHN-2", "MLP")]
    table = pd.DataFrame(published, columns=["split", "ghn", "n", "mean", "low", "high", "published"])
    yield "published", draw_published(table, "Accuracy", "paper")
    table = pd.DataFrame({"kind": ["weight", "bias", "scale"] * 5, "predicted_sd": np.geomspace(0.01, 1, 15)})
    table = table.assign(random_sd=0.1, trained_sd=np.geomspace(0.02, 2, 15))
    yield "weights", draw_weights(table, "Weights")
    inits = [(e, i, m, m - 2, m + 2) for e in (1, 10) for i, m in (("ghn", 50), ("random", 40), ("ghn - random", 10))]
    yield (
        "tuned",
        draw_finetuning(pd.DataFrame(inits, columns=["epochs", "init", "mean", "ci_low", "ci_high"]), "Tuned"),
    )
    table = pd.DataFrame(index=pd.Index([f"a:{i}" for i in range(20)], name="arch"))
    embeddings = Embeddings(table, rng.normal(size=(20, 4)).astype(np.float32), {})
    values = pd.Series(np.arange(20.0), index=table.index)
    queries = [(s, q, 9.9 / q) for s in ("random", "gp-ei") for q in range(1, 13)]
    regret = pd.DataFrame(queries, columns=["strategy", "query", "regret_valid"])
    for name, source in (("valid_low", 0.9), ("valid_high", 1.1), ("test", 1.0), ("test_low", 0.8), ("test_high", 1.3)):
        regret[f"regret_{name}"] = source * regret["regret_valid"]
    yield "regret", draw_regret(regret, "%", "Regret")
    cloud = pd.DataFrame({"arch": ["a", "b"], "accuracy": [40.0, 50.0], "accuracy_low": 30.0, "accuracy_high": 60.0})
    cloud = cloud.assign(flops=[1e6, 2e6], flops_low=[1e6, 2e6], flops_high=[1e6, 2e6])
    yield "front", draw_front(cloud, cloud, (TARGETS["accuracy"], TARGETS["flops"]), "Front")
    yield "neighbours", draw_neighbors(embeddings, values, np.zeros(4), "accuracy (%)", "Neighbours")


DRAWN = dict(drawings())


@pytest.mark.parametrize("name", DRAWN)
def test_text_is_inside_and_apart(name):
    figure, points = DRAWN[name]
    assert len(points)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer, width, height = canvas.get_renderer(), *canvas.get_width_height()
    assert np.asarray(canvas.buffer_rgba())[0, 0, :3].min() > 240  # light background
    legends = [axes.get_legend().get_window_extent(renderer) for axes in figure.axes if axes.get_legend()]
    titles = [axes.title.get_window_extent(renderer) for axes in figure.axes if axes.get_title()]
    for box in [*legends, *titles]:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, box  # noqa: PT018
    for boxes in (titles, *(_tick_labels(axes, renderer) for axes in figure.axes)):
        assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.overlaps(b)]
    if figure._suptitle is not None:
        above = figure._suptitle.get_window_extent(renderer)
        assert above.x0 >= 0
        assert above.x1 <= width
        assert not [box for box in [*titles, *legends] if box.overlaps(above)]


def _tick_labels(axes, renderer):
    """Boxes of the labels at the y axis that are seen."""
    low, high = sorted(axes.transAxes.transform([(0, 0), (0, 1)])[:, 1])
    labels = [label for label in axes.get_yticklabels() if label.get_text() and label.get_visible()]
    boxes = [label.get_window_extent(renderer) for label in labels]
    return [box for box in boxes if low - box.height <= (box.y0 + box.y1) / 2 <= high + box.height]


def test_what_is_counted_is_not_called_predicted():
    axes = DRAWN["front"][0].axes[0]
    assert axes.get_xlabel() == "counted flops (per image), less is better"
    assert axes.get_ylabel() == "predicted accuracy (%), more is better"


def test_two_places_are_two_rows_of_the_same_points():
    points = pd.DataFrame(np.random.default_rng(0).normal(size=(9, 4)), columns=["x", "y", "u", "v"]).assign(value=1.0)
    figure, _ = draw_maps(points, {"value": "value", "x": "place"}, "Two", [("x", "y"), ("u", "v")])
    maps = [axes for axes in figure.axes if axes.get_xlabel() == "UMAP 1"]
    assert len(maps) == 4
    for axes, (x, y) in zip(maps, [("x", "y")] * 2 + [("u", "v")] * 2, strict=True):
        assert np.array_equal(axes.collections[-1].get_offsets(), points[[x, y]])


def test_maps_group_what_colours_cannot_tell():
    points = pd.DataFrame({"x": range(11), "y": range(11), "kind": [f"k{i}" for i in range(11)]})
    figure, _ = draw_maps(points, {"kind": "kind"}, "")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels[-1] == "3 others (3)"
    assert len(labels) == 9
    with pytest.raises(ArchrepError, match="column"):
        draw_maps(points, {"missing": ""}, "")
