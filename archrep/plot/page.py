"""The interactive map: one HTML page that needs neither a server nor the network."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
from bokeh.embed import file_html
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool, LinearColorMapper, LogColorMapper, Scatter
from bokeh.palettes import Viridis256
from bokeh.plotting import figure
from bokeh.resources import INLINE
from jinja2 import Template
from matplotlib.ticker import LogLocator, MaxNLocator

from archrep.errors import unknown
from archrep.files import atomic
from archrep.plot.shades import GREY, PALETTE, as_text, classify, is_numeric, spans_magnitudes

FEW = 10_000  # points that are drawn large and outlined
MOVED = 1_000  # points that are drawn while the map moves; all of them when it rests
TICKS = 4
# `value` is the number of a point and `format` the field; one formatter serves all columns
HOVER = """
const value_ = source.data[format][value];
if (typeof value_ !== "number") return String(value_);
return Number.isNaN(value_) ? "no value" : Number(value_.toPrecision(4)).toLocaleString("en");
"""


def write_page(
    points: pd.DataFrame,
    color: str,
    out: Path,
    title: str,
    note: str = "",
    units: Mapping[str, str] | None = None,
    force: bool = False,
) -> None:
    """Writes a map that shows an architecture's columns where one points, and can be coloured, searched and selected.

    Args:
        points: a row per architecture: `arch`, the position `x`, `y`, and any columns of numbers or text.
        color: the column that colours it at first.
        note: a line under the title.
        units: of columns of numbers.

    Raises:
        ArchrepError: if there is no such column, or `out` exists and `force` is False.
    """
    page = _page(points, color, title, note, units or {})
    with atomic(out, force) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _page(points: pd.DataFrame, color: str, title: str, note: str, units: Mapping[str, str]) -> str:
    names = [name for name in points.columns if name not in ("arch", "x", "y")]
    if color not in names:
        raise unknown("column", color, names)
    data: dict[str, object] = {"arch": points["arch"].astype(str).tolist()}
    data |= {axis: points[axis].to_numpy(np.float32) for axis in "xy"}
    columns = []
    for i, name in enumerate(names):  # fields of our own: a name may hold anything
        values, told = _column(points[name], f"c{i}", name == color)
        data |= values
        unit = units.get(name, "")
        label = f"{name} ({unit})" if unit else str(name)
        columns.append({"field": f"c{i}", "name": str(name), "label": label, "first": name == color, **told})
    source = ColumnDataSource(data, name="points", tags=columns)
    template = Template(files("archrep.plot").joinpath("page.html").read_text(encoding="utf-8"))
    return file_html(
        _plot(source, columns), INLINE, template=template, template_variables={"heading": title, "note": note}
    )


def _column(values: pd.Series, field: str, asked: bool) -> tuple[dict[str, object], dict[str, object]]:
    """What the page holds of a column: arrays by field, and how it is coloured, if it can be.

    Args:
        asked: colour it even if it has nearly as many classes as rows.
    """
    if is_numeric(values):
        numbers = _numbers(values)
        return {field: numbers}, _scale(numbers, field)
    text = as_text(values)
    if not asked and text.nunique() > max(len(PALETTE), len(text) // 4):  # names rather than classes
        return {field: text.tolist()}, {}
    classes, places = classify(values)
    mapper = LinearColorMapper(palette=[c.color for c in classes], low=-0.5, high=len(classes) - 0.5)
    told = {"mapper": mapper, "shade": f"{field}_class", "classes": [[c.label, c.color, c.count] for c in classes]}
    return {field: text.tolist(), f"{field}_class": places}, told


def _numbers(values: pd.Series) -> np.ndarray:
    """Numbers (n,) as small as they can be: counts exactly, others as float32, missing ones as NaN."""
    wide = values.to_numpy(np.float64, na_value=np.nan)
    narrow = wide.astype(np.float32)
    finite = np.isfinite(wide)
    counts = bool((wide[finite] == np.floor(wide[finite])).all())
    exact = not counts or bool((narrow[finite] == wide[finite]).all())
    return narrow if exact and np.isfinite(narrow[finite]).all() else wide


def _scale(numbers: np.ndarray, field: str) -> dict[str, object]:
    """Colours by magnitude, and the ticks of the colour bar: place from 0 to 1 and number."""
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return {}
    low, high = float(finite.min()), float(finite.max())
    logarithmic = spans_magnitudes(numbers)
    kind = LogColorMapper if logarithmic else LinearColorMapper
    mapper = kind(palette=Viridis256, low=low, high=high if high > low else low + 1, nan_color=GREY)
    locator = LogLocator(numticks=TICKS + 2) if logarithmic else MaxNLocator(TICKS)
    bend = np.log if logarithmic else np.asarray
    ticks = [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]
    if len(ticks) < 2:
        ticks = [low, high] if high > low else [low]
    width = float(bend(high) - bend(low)) or 1.0
    places = [[float(bend(tick) - bend(low)) / width, tick] for tick in ticks]
    missing = int(np.isnan(numbers).sum())
    gradient = [*Viridis256[::32], Viridis256[-1]]
    return {"mapper": mapper, "shade": field, "ticks": places, "gradient": gradient, "grey": GREY, "missing": missing}


def _plot(source: ColumnDataSource, columns: list[dict]) -> figure:
    """The scatter plot. On a canvas: WebGL without a graphics card takes seconds for a frame."""
    first = next(column for column in columns if column["first"])
    n = len(source.data["arch"])
    plot = figure(
        height=600,
        sizing_mode="stretch_width",
        tools="pan,wheel_zoom,box_zoom,lasso_select,tap,reset,save",
        active_scroll="wheel_zoom",
        x_axis_label="UMAP 1",
        y_axis_label="UMAP 2",
        lod_threshold=MOVED,
        lod_factor=max(1, n // MOVED),
    )
    plot.grid.grid_line_color = "#eeeeee"
    plot.axis.major_label_text_font_size = "0px"  # positions of a UMAP mean nothing, distances do
    plot.axis.major_tick_line_color = plot.axis.minor_tick_line_color = None
    size = 8 if n <= FEW else 5
    fill = {"field": first["shade"], "transform": first["mapper"]} if "mapper" in first else GREY
    look = {"x": "x", "y": "y", "size": size, "fill_color": fill, "line_color": "white" if n <= FEW else None}
    circles = plot.add_glyph(
        source,
        Scatter(**look, line_width=0.4),
        selection_glyph=Scatter(**look | {"size": size + 3, "line_color": "#222222"}, line_width=0.8),
        nonselection_glyph=Scatter(**look | {"fill_color": "#cccccc", "fill_alpha": 0.25, "line_color": None}),
    )
    circles.name = "circles"
    told = [("arch", "$index{arch}"), *((c["label"], f"$index{{{c['field']}}}") for c in columns)]
    formatter = CustomJSHover(args={"source": source}, code=HOVER)
    plot.add_tools(HoverTool(tooltips=told, formatters={"$index": formatter}, renderers=[circles], limit=1))
    return plot
