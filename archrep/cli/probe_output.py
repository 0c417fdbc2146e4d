"""What `archrep probe` writes and prints."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archrep.cli import options

if TYPE_CHECKING:
    import pandas as pd

    from archrep.probe.report import Report

FIGURES = ("scatter", "residuals", "calibration", "curve", "devices")
FILES = (
    *("report.json", "report.md", "predictions.csv", "probe.skops", "probe.json", "curve.json"),
    *(name + suffix for name in FIGURES for suffix in (".png", ".svg", ".csv")),
)


def write_report(
    out: Path, force: bool, report: "Report", curve: "pd.DataFrame | None", origin: dict, json: bool
) -> None:
    """Writes the folder of a report, all or nothing, and prints the table or, with `json`, everything."""
    from archrep.files import atomic_folder, to_json
    from archrep.plot.probe import draw_calibration, draw_curve, draw_residuals, draw_scatter
    from archrep.plot.style import save_figure
    from archrep.probe.curves import summarize_curve
    from archrep.probe.render import HEAD, as_json, as_markdown, cells, notes, title
    from archrep.probe.saved import save_probe

    summary = as_json(report) | {"provenance": origin}
    with atomic_folder(out, force, FILES) as folder:
        report.table.to_csv(folder / "predictions.csv", index=False)
        for name, draw in (("scatter", draw_scatter), ("residuals", draw_residuals), ("calibration", draw_calibration)):
            save_figure(*draw(report), folder / name)
        if curve is not None:
            points = summarize_curve(curve)
            summary["learning_curve"] = points.to_dict("records")
            name = f"Learning curve of {report.target.name} · n = {report.facts['n']:,}"
            save_figure(*draw_curve(points, name), folder / "curve")
            (folder / "curve.json").write_text(to_json(curve.to_dict("records")))
        (folder / "report.json").write_text(to_json(summary))
        (folder / "report.md").write_text(as_markdown(report, origin["command"]))
        if report.probe:
            report.probe.facts["provenance"] = origin
            save_probe(report.probe, folder)
    if json:
        print(to_json(summary | {"out": out}))
        return
    print_report(title(report), HEAD, [cells(s, report.reference) for s in report.scores], notes(report))
    print(f"Report, figures and fitted probe: {out}")


def print_report(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
    """A table, whose first column stands at the left, and notes below."""
    options.print_table(title, head, rows, head[:1])
    for line in notes:
        print(line)
