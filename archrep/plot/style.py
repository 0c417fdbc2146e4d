"""House style of figures, and saving them as PNG, SVG and the plotted numbers as CSV."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from archrep.files import atomic, refuse_existing, refuse_unnamed

SUFFIXES = (".png", ".svg", ".csv")


@contextmanager
def house_style() -> Iterator[None]:
    """Colour-blind safe, light background, deterministic SVG; restores the settings afterwards."""
    rc = {
        **sns.axes_style("whitegrid"),
        **sns.plotting_context("notebook"),
        "svg.hashsalt": "archrep",
        "savefig.bbox": "tight",
        "savefig.dpi": 150,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with matplotlib.rc_context(rc):
        yield


def figure_paths(prefix: Path) -> list[Path]:
    """The three files of a figure."""
    refuse_unnamed(prefix)
    return [prefix.with_name(prefix.name + suffix) for suffix in SUFFIXES]


def refuse_existing_figure(prefix: Path, force: bool) -> None:
    """Raises ArchrepError if one of the figure's files exists and may not be replaced."""
    for path in figure_paths(prefix):
        refuse_existing(path, force)


def save_figure(figure: Figure, points: pd.DataFrame, prefix: Path, force: bool = False) -> list[Path]:
    """Writes PREFIX.png, PREFIX.svg and PREFIX.csv; returns the paths."""
    refuse_existing_figure(prefix, force)
    png, svg, csv = figure_paths(prefix)
    with house_style():
        with atomic(png, force) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})
        with atomic(svg, force) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
    with atomic(csv, force) as temporary:
        points.to_csv(temporary, index=False)
    return [png, svg, csv]
