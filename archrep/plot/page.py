"""The interactive map: one HTML page that needs neither a server nor the network."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from bokeh.embed import file_html
from bokeh.models import CategoricalColorMapper, ColumnDataSource, CustomJSHover, HoverTool, LinearColorMapper, Scatter
from bokeh.palettes import Viridis256
from bokeh.plotting import figure
from bokeh.resources import INLINE
from jinja2 import Template

from archrep.errors import unknown
from archrep.files import atomic

CLASSES = 10  # as many as colours can tell apart
FEW = 10_000  # points that are drawn large
GREY = "#bbbbbb"
NUMBER = "return String(Number(value.toPrecision(4)))"


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
        values, told = _column(points[name], f"c{i}")
        data |= values
        told |= {"name": str(name), "unit": units.get(name, ""), "first": name == color}
        columns.append({"field": f"c{i}", **told})
    source = ColumnDataSource(data, name="points", tags=columns)
    template = Template(files("archrep.plot").joinpath("page.html").read_text(encoding="utf-8"))
    return file_html(
        _plot(source, columns), INLINE, template=template, template_variables={"heading": title, "note": note}
    )


def _column(values: pd.Series, field: str) -> tuple[dict[str, object], dict[str, object]]:
    """What the page holds of a column: arrays by field, and how it is coloured, if it can be."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(np.float32, na_value=np.nan)
        finite = numbers[np.isfinite(numbers)]
        if not len(finite):
            return {field: numbers}, {}
        low, high = float(finite.min()), float(finite.max())
        mapper = LinearColorMapper(palette=Viridis256, low=low, high=high, nan_color=GREY)
        told = {"low": low, "high": high, "gradient": [*Viridis256[::32], Viridis256[-1]]}
        return {field: numbers}, {"mapper": mapper, "shade": field, "missing": len(numbers) - len(finite), **told}
    text = values.astype(object).where(values.notna(), "no value").astype(str)
    counts = text.value_counts()
    if len(counts) > max(CLASSES, len(text) // 4):  # names rather than classes
        return {field: text.tolist()}, {}
    told, shades = _classes(text, counts)
    return {field: text.tolist(), f"{field}_class": shades}, {"shade": f"{field}_class", **told}


def _classes(text: pd.Series, counts: pd.Series) -> tuple[dict[str, object], list[str]]:
    """Colours of the most frequent classes; grey for all others together. With them, the class (n,) of every row."""
    own = counts.index.drop("no value", errors="ignore")
    own = sorted(own if len(own) <= CLASSES else own[: CLASSES - 1])
    palette = sns.color_palette("colorblind", len(own)).as_hex()
    shades = text.map(dict(zip(own, map(str, range(len(own))), strict=True))).fillna("rest")
    classes = [[name, shade, int(counts[name])] for name, shade in zip(own, palette, strict=True)]
    rest = counts.drop(own)
    if len(rest):
        name = rest.index[0] if len(rest) == 1 else f"{len(rest)} others"
        classes.append([name, GREY, int(rest.sum())])
    mapper = CategoricalColorMapper(factors=[str(i) for i in range(len(own))], palette=palette, nan_color=GREY)
    return {"mapper": mapper, "classes": classes}, shades.tolist()


def _plot(source: ColumnDataSource, columns: list[dict]) -> figure:
    first = next(column for column in columns if column["first"])
    plot = figure(
        height=640,
        sizing_mode="stretch_width",
        tools="pan,wheel_zoom,box_zoom,lasso_select,reset,save",
        active_scroll="wheel_zoom",
        output_backend="webgl",
        x_axis_label="UMAP 1",
        y_axis_label="UMAP 2",
    )
    plot.grid.grid_line_color = "#eeeeee"
    plot.axis.major_label_text_font_size = "0px"  # positions of a UMAP mean nothing, distances do
    plot.axis.major_tick_line_color = plot.axis.minor_tick_line_color = None
    size = 8 if len(source.data["arch"]) <= FEW else 5
    fill = {"field": first["shade"], "transform": first["mapper"]} if "mapper" in first else GREY
    look = {"x": "x", "y": "y", "size": size, "fill_color": fill, "fill_alpha": 0.9, "line_color": "white"}
    circles = plot.add_glyph(
        source,
        Scatter(**look, line_width=0.4),
        selection_glyph=Scatter(**look, line_width=0.4),
        nonselection_glyph=Scatter(**look | {"fill_color": "#cccccc", "fill_alpha": 0.25, "line_color": None}),
    )
    circles.name = "circles"
    numbers = {c["field"] for c in columns if isinstance(source.data[c["field"]], np.ndarray)}
    told = ((c["name"], f"@{c['field']}{{custom}}" if c["field"] in numbers else f"@{c['field']}") for c in columns)
    formatters = dict.fromkeys((f"@{field}" for field in numbers), CustomJSHover(code=NUMBER))
    plot.add_tools(HoverTool(tooltips=[("arch", "@arch"), *told], formatters=formatters, renderers=[circles]))
    return plot
