"""What notebooks need besides the package: their size, optional data, and a place for the figures they draw."""

import os
from pathlib import Path
from typing import TypeVar

import pandas as pd
from matplotlib.figure import Figure

from archrep.errors import ArchrepError
from archrep.plot.style import save_figure

SIZE = "ARCHREP_NOTEBOOK_SIZE"  # full (the default) or small, for tests
FIGURES = "ARCHREP_FIGURES"  # folder that figures are written to; without it they are only shown
DATA = "ARCHREP_DATA"  # folder with data that do not ship: cifar10/, nasbench201/accuracy.csv.gz

T = TypeVar("T")


def sized(full: T, small: T) -> T:
    """The first value, or the second if the notebook runs in its small size.

    Raises:
        ArchrepError: if the environment variable names another size.
    """
    size = os.environ.get(SIZE, "full")
    if size not in ("full", "small"):
        raise ArchrepError(f"{SIZE} must be full or small; got {size!r}.")
    return small if size == "small" else full


def optional_data(name: str) -> Path | None:
    """Path of a file or folder in the folder of data that do not ship; None where there is none."""
    folder = os.environ.get(DATA)
    path = Path(folder) / name if folder else None
    return path if path is not None and path.exists() else None


def keep(drawn: tuple[Figure, pd.DataFrame], name: str) -> Figure:
    """The figure, which is also written as NAME.png, .svg and .csv if a folder of figures is named.

    Args:
        drawn: the figure and the plotted numbers.
    """
    figure, points = drawn
    if folder := os.environ.get(FIGURES):
        save_figure(figure, points, Path(folder) / name, force=True)
    return figure
