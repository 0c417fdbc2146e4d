"""Predicted against measured target."""

import numpy as np
from matplotlib.figure import Figure

from archrep.plot.style import house_style
from archrep.probe.report import GHN_EMBEDDING, Report


def scatter(report: Report) -> Figure:
    """Out-of-fold predictions of the probe on the GHN embedding against the measured target."""
    with house_style():
        figure = Figure(figsize=(5.2, 5))
        axes = figure.subplots()
        measured, predicted = report.table["measured"], report.table["predicted"]
        axes.scatter(measured, predicted, s=22, alpha=0.75, color="#0173b2", edgecolor="white", linewidth=0.4)
        low, high = np.min([measured.min(), predicted.min()]), np.max([measured.max(), predicted.max()])
        axes.plot([low, high], [low, high], color="0.4", linewidth=1, linestyle="--", label="predicted = measured")
        score = next(s for s in report.scores if s.encoder == GHN_EMBEDDING)
        name, unit = report.target.name.replace("_", " "), f" ({report.target.unit})" if report.target.unit else ""
        axes.set(
            xlabel=f"measured {name}{unit}",
            ylabel=f"predicted {name}{unit}",
        )
        axes.set_title(
            f"Probe on the GHN embedding: {name}\n"
            f"τ = {score.tau:.2f} [{score.tau_low:.2f}, {score.tau_high:.2f}] · n = {report.facts['n']} · "
            f"out-of-fold means of {report.facts['repeats']}×{report.facts['folds']}-fold grouped CV",
            fontsize=10,
        )
        axes.legend(frameon=False, fontsize=9)
        return figure
