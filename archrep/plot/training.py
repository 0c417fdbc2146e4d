"""How a training run went."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from archrep.plot.style import house_style

TRAIN, VAL = "#0173b2", "#de8f05"


def draw_training(lines: Sequence[dict], title: str) -> tuple[Figure, pd.DataFrame]:
    """Loss and accuracy over the steps of a run.

    Args:
        lines: as `archrep.train.run.read_metrics` gives them.

    Returns:
        The figure, and the plotted numbers: step, loss, accuracy and val_accuracy in %.
    """
    points = pd.DataFrame(lines, columns=["step", "loss", "accuracy", "val_accuracy"]).astype(np.float64)
    with house_style():
        figure = Figure(figsize=(10, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(points["step"], points["loss"], color=TRAIN, marker="o", ms=3)
        left.set(xlabel="step", ylabel="training loss (nats)")
        right.plot(points["step"], points["accuracy"], color=TRAIN, marker="o", ms=3, label="training")
        right.plot(points["step"], points["val_accuracy"], color=VAL, marker="D", ms=3, label="validation")
        right.set(xlabel="step", ylabel="top-1 accuracy (%)")
        right.legend(frameon=False)
        hours = lines[-1]["seconds"] / 3600
        figure.suptitle(f"{title}: predicted parameters · {lines[-1]['step']:,.0f} steps in {hours:.1f} h", fontsize=11)
    return figure, points
