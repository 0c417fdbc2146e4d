"""A report as JSON and as Markdown."""

import dataclasses
import math
import re
from collections.abc import Sequence

from archrep.probe.report import Report, Score

HEAD = ("encoder", "d", "τ", "95 % interval", "Spearman", "top-10 % τ", "P@k", "regret@k", "R²", "coverage 90 %", "Δτ")

MORE = ("encoder", "weighted τ", "NDCG@k", "width of 90 % intervals", "τ / ceiling", "worth epochs", "chosen")


def as_json(report: Report) -> dict:
    """Everything that was found, as plain values; what is not defined is null."""
    summary = {
        "target": dataclasses.asdict(report.target),
        "reference": report.reference,
        "scores": [dataclasses.asdict(score) for score in report.scores],
        "increments": {base: dataclasses.asdict(d) for base, d in report.increments.items()},
        "control": report.control,
        "noise_ceiling": dataclasses.asdict(report.ceiling) if report.ceiling else None,
        "early": [{"epochs": epochs, "column": column, "tau": tau} for epochs, column, tau in report.early],
        "calibration": report.calibration,
        "excluded": report.excluded,
        "fitted": {"members": [list(m) for m in report.probe.members]} if report.probe else None,
        **report.facts,
    }
    return plain(summary)


def plain(value):
    """JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def title(report: Report) -> str:
    """What was probed, how, and on how many."""
    target, facts = report.target, report.facts
    unit = f"{target.unit}; " if target.unit else ""
    better = "higher is better" if target.higher_is_better else "lower is better"
    return (
        f"Probe of {target.name} ({unit}{better}) · n = {facts['n']:,}, {facts['groups']:,} groups · "
        f"{facts['split']} · seed {facts['seed']}"
    )


def cells(score: Score, reference: str) -> tuple[str, ...]:
    """One row of the table, for `HEAD`."""
    bounds = f"{score.tau_low:.3f} – {score.tau_high:.3f}"
    delta = f"{score.delta:+.3f} [{score.delta_low:+.3f}, {score.delta_high:+.3f}] p={score.p_holm:.2g}"
    return (
        *(score.encoder, str(score.dimensions) if score.dimensions else "", f"{score.tau:.3f}", bounds),
        *(f"{score.spearman:.3f}", f"{score.top_decile_tau:.3f}", f"{score.precision_at_k:.2f}"),
        *(f"{score.regret_at_k:.3g}", f"{score.r2:.3f}", f"{100 * score.coverage:.0f}"),
        "" if math.isnan(score.delta) or score.encoder == reference else delta,
    )


def notes(report: Report) -> list[str]:
    """What the table does not say, one line each."""
    facts = report.facts
    lines = [
        f"τ: Kendall's τ-b of predicted and measured, 95 % interval ({facts['interval']}); Δτ: encoder minus "
        f"{report.reference}, paired, p after Holm's correction; k = a tenth of the test set, 10 at most.",
        f"Groups: {facts['grouped_by']}; test architectures with a twin in training: {100 * facts['leaked']:.1f} %.",
    ]
    for base, d in report.increments.items():
        lines.append(
            f"Adding {report.reference} to {base}: Δτ = {d.delta:+.3f} [{d.low:+.3f}, {d.high:+.3f}], "
            f"p = {d.p_holm:.2g}."
        )
    if report.control:
        c = report.control
        lines.append(
            f"Control task, labels permuted between groups: τ = {c['tau']:+.3f} [{c['low']:+.3f}, {c['high']:+.3f}] on "
            f"test architectures without a twin in training, {c['with_twins']:+.3f} on all; "
            f"selectivity {c['selectivity']:.3f}."
        )
    if report.ceiling:
        lines.append(f"Noise ceiling of τ: {report.ceiling.tau:.3f} ({report.ceiling.architectures} architectures).")
    if report.early:
        known = ", ".join(f"{column} {tau:.3f}" for _, column, tau in report.early)
        worth = ", ".join(f"{s.encoder} {s.epochs}" for s in report.scores if s.epochs)
        lines.append(f"τ of early accuracies: {known}. Worth so many epochs: {worth or 'none is worth one'}.")
    selected = next((s for s in report.scores if s.encoder == "selected"), None)
    if selected:
        lines.append(f"selected: encoder and probe chosen inside each training set, most often {selected.chosen}.")
    lines += [f"Excluded: {count:,} {reason}." for reason, count in report.excluded.items()]
    return lines


def more(score: Score) -> tuple[str, ...]:
    """One row of the second table, for `MORE`."""
    return (
        *(score.encoder, f"{score.weighted_tau:.3f}", f"{score.ndcg_at_k:.3f}", f"{score.width:.3g}"),
        "" if score.of_ceiling is None else f"{score.of_ceiling:.3f}",
        "" if score.epochs is None else str(score.epochs),
        score.chosen,
    )


def as_markdown(report: Report, command: str) -> str:
    """The table and its notes, the other metrics, and how often intervals hold."""
    rows = [cells(s, report.reference) for s in report.scores]
    levels = [
        (f"{100 * c['level']:.0f} %", f"{100 * c['coverage']:.1f} %", f"{c['width']:.3g}") for c in report.calibration
    ]
    parts = [
        markdown(title(report), HEAD, rows, notes(report), command).rstrip(),
        markdown_table(MORE, [more(s) for s in report.scores]),
        f"Calibration of {report.reference}: test architectures inside their intervals, and the median width.",
        markdown_table(("level", "inside", "width"), levels),
    ]
    return "\n\n".join(parts) + "\n"


def markdown(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str], command: str) -> str:
    """A table under its title and the command that made it, then notes."""
    return "\n\n".join([f"# {title}", f"`{command}`", markdown_table(head, rows), *notes]) + "\n"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str = "---:") -> str:
    """A table whose columns after the first are aligned like that; cells are text in one line, never HTML."""
    lines = [head, ["---", *[align] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(text: str) -> str:
    """Text in one line of Markdown that ends no cell and begins no HTML."""
    return re.sub(r"<(?=[A-Za-z/!?])", r"\<", " ".join(text.split()).replace("|", r"\|"))
