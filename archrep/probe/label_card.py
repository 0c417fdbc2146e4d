"""What there is to say about a table of measured labels: distributions, failures, the noise of seeds, correlations."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from archrep.data.tables import read_table
from archrep.data.targets import TARGETS
from archrep.errors import ArchrepError
from archrep.probe.pairs import kendall_tau
from archrep.probe.reference import Ceiling, noise_ceiling
from archrep.probe.render import cell, markdown_table
from archrep.space.specs import architectures

SIZES = ("params", "flops", "activation_memory")
NUMBERS = ("seed", "seconds", "diverged", "trainability_reached", "accuracy")  # columns that a measured table has, …
WORDS = ("arch", "protocol", "device", "processor")
TOLD = {"protocol": dict, "versions": dict, "data": str, "data_digest": str, "command": str}  # … and its provenance


@dataclass(frozen=True)
class LabelCard:
    """A table of labels, described.

    Attributes:
        name: of the table. header: metadata of its file. runs: its rows, with `space` and `split`.
        targets: columns that are targets. tau: Kendall's τ of every target with every other, over architectures whose
            seeds are averaged.
        seed_tau: target → mean τ between two seeds over the architectures that have both, and how many those are.
        ceilings: target → τ that a perfect predictor would reach, where there are enough seeds.
        against: the same architectures measured otherwise, if such a table was given.
    """

    name: str
    header: Mapping
    runs: pd.DataFrame
    targets: Sequence[str]
    tau: pd.DataFrame
    seed_tau: Mapping[str, tuple[float, int]]
    ceilings: Mapping[str, Ceiling]
    against: "Agreement | None" = None

    @property
    def architectures(self) -> int:
        """How many there are."""
        return self.runs["arch"].nunique()


@dataclass(frozen=True)
class Agreement:
    """How a table ranks against another one, of the same architectures under another protocol.

    Attributes:
        protocol: of the other table. architectures: that both have.
        tau: target → Kendall's τ with the same target there.
        of_size: column of `SIZES` → τ with the other table's accuracy: what needs no training.
    """

    protocol: str
    architectures: int
    tau: Mapping[str, float]
    of_size: Mapping[str, float]


def describe(path: Path, against: Path | None = None) -> LabelCard:
    """Reads a table that `archrep measure` wrote.

    Args:
        against: another such table, of architectures of the first under another protocol, such as a longer one.

    Raises:
        ArchrepError: if one is none, or they share fewer than two architectures.
    """
    runs, header = read_measured(path)
    of = {a.id: (a.space, a.split) for a in architectures(*runs["arch"].unique(), typed=False)}
    runs["space"], runs["split"] = ([of[name][i] for name in runs["arch"]] for i in (0, 1))
    targets = [name for name in TARGETS if name in runs]
    means = runs.groupby("arch")[targets].mean()
    tau = pd.DataFrame(
        {a: {b: kendall_tau(means[a].to_numpy(float), means[b].to_numpy(float)) for b in targets} for a in targets}
    )
    ceilings = {name: noise_ceiling(runs, name) for name in targets}
    return LabelCard(
        path.stem,
        header,
        runs,
        targets,
        tau,
        {name: pair for name in targets if (pair := _between_seeds(runs, name))},
        {name: ceiling for name, ceiling in ceilings.items() if ceiling},
        _agreement(means, against) if against else None,
    )


def read_measured(path: Path) -> tuple[pd.DataFrame, Mapping]:
    """Rows and metadata of a table that `archrep measure` wrote.

    Raises:
        ArchrepError: if it is none.
    """
    raw, header = read_table(path, "label", (*WORDS, *NUMBERS))
    runs = raw.to_pandas()
    if why := _unlike_measured(runs, header):
        raise ArchrepError(f"{path}: not a table of archrep measure: {why}.")
    return runs.astype({"seconds": float}), header


def _unlike_measured(runs: pd.DataFrame, header: Mapping) -> str | None:
    """What tells a table from one that `archrep measure` wrote."""
    told = header.get("provenance", {})
    failures = told.get("failures", [])
    if missing := [name for name, kind in TOLD.items() if not isinstance(told.get(name), kind)]:
        return f"its metadata tells no {missing[0]}"
    if "name" not in told["protocol"]:
        return "its protocol has no name"
    if not (
        isinstance(failures, list) and all(isinstance(f, dict) and isinstance(f.get("error"), str) for f in failures)
    ):
        return "its failures have no reasons"
    targets = [name for name in TARGETS if name in runs]
    for name in (*NUMBERS, *targets):
        if not pd.api.types.is_numeric_dtype(runs[name]):
            return f"column {name} is not numeric"
    for name in targets:
        if not {"unit", "direction", "meaning"} <= header.get("columns", {}).get(name, {}).keys():
            return f"its metadata does not describe the column {name}"
    whole = len(runs) and runs[[*WORDS, *NUMBERS]].notna().all(axis=None)
    return None if whole else "a row lacks what every run has" if len(runs) else "it is empty"


def _agreement(means: pd.DataFrame, path: Path) -> Agreement:
    runs, header = read_measured(path)
    others = runs.groupby("arch")[[name for name in means if name in runs]].mean()
    both = means.index.intersection(others.index)
    if len(both) < 2:
        raise ArchrepError(f"{path}: shares {len(both)} architectures with the table; measure some of the same.")
    here, there = means.loc[both], others.loc[both]

    def tau(name: str, other: str) -> float:
        return kendall_tau(here[name].to_numpy(float), there[other].to_numpy(float))

    return Agreement(
        header["provenance"]["protocol"]["name"],
        len(both),
        {name: tau(name, name) for name in there if name not in SIZES},
        {name: tau(name, "accuracy") for name in SIZES if name in here},
    )


def _between_seeds(runs: pd.DataFrame, target: str) -> tuple[float, int] | None:
    wide = runs.pivot_table(index="arch", columns="seed", values=target)
    pairs = [wide[[a, b]].dropna().to_numpy() for a, b in combinations(wide.columns, 2)]
    pairs = [pair for pair in pairs if len(pair) >= 2]
    if not pairs:
        return None
    return float(np.mean([kendall_tau(*pair.T) for pair in pairs])), max(len(pair) for pair in pairs)


def render(card: LabelCard, figure: str) -> str:
    """The card as Markdown; `figure` is the path of the figure of correlations."""
    parts = [f"# Label card: {card.name}", _facts(card), "## Columns", _columns(card), "## Distributions"]
    parts += [_distribution(card), _by_split(card), "## Noise", noise(card), "## Failures", _failures(card)]
    if card.against:
        parts += ["## Against other training", agreement(card.against)]
    parts += ["## Correlations", f"![Kendall's τ between targets]({figure})", _frame(card.tau.round(2))]
    return "\n\n".join(parts) + "\n"


def _facts(card: LabelCard) -> str:
    told = card.header["provenance"]
    protocol = ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in told["protocol"].items())
    versions = ", ".join(f"{k} {v}" for k, v in told["versions"].items())
    seconds = card.runs["seconds"]
    seeds = card.runs.groupby("arch").size().value_counts().sort_index()
    lines = {
        "Architectures": f"{card.architectures:,} in {len(card.runs):,} runs ("
        + ", ".join(f"{count:,} with {n} seed{'s' * (n > 1)}" for n, count in seeds.items())
        + ")",
        "Protocol": protocol,
        "Data": f"{told['data']}, digest `{told['data_digest']}`",
        "Hardware": " and ".join(card.runs["processor"].unique()),
        "Device of latencies": " and ".join(card.runs["device"].unique()),
        "Time of a run": f"median {seconds.median():.1f} s, 90 % within {seconds.quantile(0.9):.1f} s",
        "Command": f"`{told['command']}`",
        "Versions": versions,
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {cell(text)} |" for name, text in lines.items())])


def _columns(card: LabelCard) -> str:
    facts = card.header["columns"]
    extra = {
        name: {k: v for k, v in facts[name].items() if k not in ("unit", "direction", "meaning")} for name in facts
    }
    return markdown_table(
        ["column", "unit", "better", "meaning", "measured"],
        [
            [
                f"`{name}`",
                facts[name]["unit"],
                facts[name]["direction"],
                facts[name]["meaning"],
                ", ".join(f"{key} {value}" for key, value in extra[name].items()),
            ]
            for name in card.targets
        ],
        align="---",
    )


def _distribution(card: LabelCard) -> str:
    table = card.runs.groupby("arch")[list(card.targets)].mean().describe().T
    return _frame(table[["mean", "std", "min", "25%", "50%", "75%", "max"]])


def _by_split(card: LabelCard) -> str:
    """Accuracy by split."""
    means = card.runs.groupby(["space", "split", "arch"], sort=False)["accuracy"].mean()
    table = means.groupby(["space", "split"], sort=False).describe()[["count", "mean", "std", "min", "50%", "max"]]
    table.index = [":".join(filter(None, key)) for key in table.index]
    return "Accuracy (%) by split:\n\n" + _frame(table)


def noise(card: LabelCard) -> str:
    """What is known of the noise of the labels, as Markdown."""
    if not card.seed_tau:
        return "One seed per architecture: the noise of the labels has not been measured."
    rows = []
    for name, (tau, n) in card.seed_tau.items():
        ceiling = card.ceilings.get(name)
        rows.append([f"`{name}`", f"{tau:.3f}", str(n), f"{ceiling.tau:.3f}" if ceiling else "–"])
    told = (
        "τ between seeds: Kendall's τ of the labels of one seed with those of another, mean over pairs of seeds. Noise "
        "ceiling: the τ that the true values would have with the table's averages over seeds (archrep.probe.reference)."
    )
    return told + "\n\n" + markdown_table(["target", "τ between seeds", "architectures", "noise ceiling"], rows)


def agreement(found: Agreement) -> str:
    """How the labels rank against those of another protocol, as Markdown."""
    rows = [[f"`{name}`", f"{tau:.3f}"] for name, tau in found.tau.items()]
    rows += [[f"`{name}` with its `accuracy`", f"{tau:.3f}"] for name, tau in found.of_size.items()]
    told = f"Kendall's τ with protocol `{found.protocol}`, over {found.architectures} architectures that both have:"
    return told + "\n\n" + markdown_table(["target", "τ"], rows)


def _failures(card: LabelCard) -> str:
    reasons = Counter(f["error"].split(":")[0] for f in card.header["provenance"].get("failures", []))
    lines = [f"- {count} runs failed: {cell(reason)}" for reason, count in reasons.most_common()] or ["- no run failed"]
    lines.append(
        f"- {int(card.runs['diverged'].sum())} of {len(card.runs):,} runs diverged (measured as they then were)"
    )
    never = int((~card.runs["trainability_reached"].astype(bool)).sum())
    lines.append(f"- {never} runs never reached the training accuracy of `trainability`, which is 1.0 then")
    return "\n".join(lines)


def _frame(frame: pd.DataFrame) -> str:
    rows = [[f"`{name}`", *(_number(v) for v in row)] for name, row in zip(frame.index, frame.to_numpy(), strict=True)]
    return markdown_table(["", *map(str, frame.columns)], rows)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
