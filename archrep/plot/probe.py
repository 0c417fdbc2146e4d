"""Figures of a probe report: predicted against measured, residuals, calibration of intervals, learning curves."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from archrep.plot.style import house_style
from archrep.probe.report import Report
from archrep.probe.transfer import Transfer

POINT, LINE = "#0173b2", "0.4"


def draw_scatter(report: Report) -> tuple[Figure, pd.DataFrame]:
    """Predictions of the reference encoder, averaged over the splits that tested an architecture, against the target.

    Returns:
        The figure and the plotted numbers: arch, measured, predicted.
    """
    points = _points(report)
    with house_style():
        figure = Figure(figsize=(5.2, 5))
        axes = figure.subplots()
        axes.scatter(points["measured"], points["predicted"], **_marks(len(points)))
        ends = [points[["measured", "predicted"]].min().min(), points[["measured", "predicted"]].max().max()]
        axes.plot(ends, ends, color=LINE, linewidth=1, linestyle="--", label="predicted = measured")
        name, unit = _named(report)
        axes.set(xlabel=f"measured {name}{unit}", ylabel=f"predicted {name}{unit}")
        score = next(s for s in report.scores if s.encoder == report.reference)
        axes.set_title(
            f"Probe on {report.reference}: {name}\n"
            f"τ = {score.tau:.2f} [{score.tau_low:.2f}, {score.tau_high:.2f}] · {_how(report)}",
            fontsize=10,
        )
        axes.legend(frameon=False, fontsize=9, loc="upper left")  # away from the line; "best" would try every point
    return figure, points


def draw_residuals(report: Report) -> tuple[Figure, pd.DataFrame]:
    """Measured minus predicted, against the prediction.

    Returns:
        The figure and the plotted numbers: arch, predicted, residual.
    """
    points = _points(report)
    points = points.assign(residual=points["measured"] - points["predicted"])[["arch", "predicted", "residual"]]
    with house_style():
        figure = Figure(figsize=(5.2, 4.2))
        axes = figure.subplots()
        axes.scatter(points["predicted"], points["residual"], **_marks(len(points)))
        axes.axhline(0, color=LINE, linewidth=1, linestyle="--")
        name, unit = _named(report)
        axes.set(xlabel=f"predicted {name}{unit}", ylabel=f"measured - predicted {name}{unit}")
        axes.set_title(f"Residuals of the probe on {report.reference}: {name}\n{_how(report)}", fontsize=10)
    return figure, points


def draw_calibration(report: Report) -> tuple[Figure, pd.DataFrame]:
    """Share of test architectures inside their intervals, against what the intervals promise.

    Returns:
        The figure and the plotted numbers: level, coverage, width.
    """
    points = pd.DataFrame(report.calibration)
    with house_style():
        figure = Figure(figsize=(4.6, 4.4))
        axes = figure.subplots()
        axes.plot([0.4, 1], [0.4, 1], color=LINE, linewidth=1, linestyle="--", label="coverage = level")
        axes.plot(points["level"], points["coverage"], color=POINT, marker="o", label=report.reference)
        axes.set(xlabel="level of the interval", ylabel="share of test architectures inside", aspect="equal")
        axes.set_title(f"Calibration: {_named(report)[0]}\n{_how(report)}", fontsize=10)
        axes.legend(frameon=False, fontsize=9)
    return figure, points


def draw_curve(summary: pd.DataFrame, title: str) -> tuple[Figure, pd.DataFrame]:
    """Learning curves with the 95 % interval of the mean: one panel per probe, one line per encoder.

    Args:
        summary: as `archrep.probe.curves.summarize_curve` gives it.

    Returns:
        The figure, and the summary, which is what is plotted.
    """
    probes, encoders = list(dict.fromkeys(summary["probe"])), sorted(set(summary["encoder"]))
    palette = dict(zip(encoders, sns.color_palette("colorblind", len(encoders)), strict=True))
    with house_style():
        figure = Figure(figsize=(5 * len(probes) + 1.5, 4.4), layout="constrained")
        panels = figure.subplots(1, len(probes), sharey=True, squeeze=False)[0]
        for axes, probe in zip(panels, probes, strict=True):
            for encoder in encoders:
                line = summary[(summary["probe"] == probe) & (summary["encoder"] == encoder)].sort_values("n")
                if line.empty:
                    continue
                axes.plot(line["n"], line["mean"], color=palette[encoder], marker="o", ms=3.5, label=encoder)
                axes.fill_between(line["n"], line["low"], line["high"], color=palette[encoder], alpha=0.2, linewidth=0)
            axes.set(xscale="log", xlabel="labelled architectures (count)", title=probe)
            sizes = sorted(set(summary["n"]))
            axes.set_xticks(sizes, [str(n) for n in sizes], fontsize=8)
            axes.minorticks_off()
        panels[0].set_ylabel("Kendall's τ on all other architectures")
        panels[-1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        figure.suptitle(title, fontsize=11)
    return figure, summary


def draw_devices(transfer: Transfer) -> tuple[Figure, pd.DataFrame]:
    """Rank correlation on each device that was taken for new, one point per training set, and its mean.

    Returns:
        The figure and the plotted numbers: device, resampling, spearman, kendall.
    """
    points, means = transfer.table, transfer.summary()
    order = [name for name in means.sort_values("spearman")["device"] if name != "mean"]
    with house_style():
        figure = Figure(figsize=(5.6, 1.4 + 0.22 * len(order)))
        axes = figure.subplots()
        place = {name: i for i, name in enumerate(order)}
        axes.scatter(points["spearman"], points["device"].map(place), s=14, alpha=0.4, color=POINT, linewidth=0)
        by_device = means.set_index("device")["spearman"]
        axes.scatter(by_device[order], range(len(order)), s=40, marker="|", color="black", label="mean of the device")
        axes.axvline(by_device["mean"], color=LINE, linewidth=1, linestyle="--", label=f"mean {by_device['mean']:.3f}")
        axes.set_yticks(range(len(order)), order, fontsize=8)
        axes.set(xlabel="Spearman's ρ of predicted and measured latency")
        axes.set_title(
            f"Latency on a new device from {transfer.train_size} measured architectures\n"
            f"the other devices known · n = {transfer.n:,}",
            fontsize=10,
        )
        axes.legend(frameon=False, fontsize=9, loc="upper left")
    return figure, points


def _points(report: Report) -> pd.DataFrame:
    table = report.table[["arch", "measured", report.reference]].rename(columns={report.reference: "predicted"})
    return table[np.isfinite(table["predicted"])].reset_index(drop=True)


def _marks(n: int) -> dict:
    return {
        "s": 22 if n <= 500 else 6,
        "alpha": 0.75 if n <= 500 else 0.25,
        "color": POINT,
        "edgecolor": "white",
        "linewidth": 0.4 if n <= 500 else 0,
        "rasterized": n > 2000,
    }


def _named(report: Report) -> tuple[str, str]:
    unit = f" ({report.target.unit})" if report.target.unit else ""
    return report.target.name.replace("_", " "), unit


def _how(report: Report) -> str:
    return f"{report.facts['split']} · n = {report.facts['n']:,}"
