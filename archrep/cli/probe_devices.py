"""`archrep probe --known-devices`: latency on a device that was hardly measured, from devices that were."""

from pathlib import Path
from typing import TYPE_CHECKING

from archrep.cli.probe_output import FILES, print_report
from archrep.errors import ArchrepError

if TYPE_CHECKING:
    from archrep.data.labels import Labels

TRAIN_SIZE, RESAMPLINGS = 10, 20
HEAD = ("device", "Spearman", "95 % interval", "Kendall τ")


def probe_devices(
    labels: "Labels",
    target: str,
    known: str,
    train_size: int | None,
    resamplings: int | None,
    limit: int | None,
    seed: int,
    out: Path,
    force: bool,
    json: bool,
) -> None:
    """Takes one device, or each in turn, for new; writes and prints how well the others and a few cells predict it.

    Args:
        target: the new device's column, or `all`. known: columns of other devices, separated by commas, or `all`.
    """
    import numpy as np

    from archrep.files import atomic_folder, file_digest, provenance, to_json
    from archrep.plot.probe import draw_devices
    from archrep.plot.style import save_figure
    from archrep.probe.cells import has_graph
    from archrep.probe.design import directed
    from archrep.probe.render import markdown, plain
    from archrep.probe.transfer import devices_of, evaluate_transfer
    from archrep.space import architectures

    table = labels.table.iloc[:limit]
    devices = devices_of(labels.header.get("columns", {}))
    names = devices if known == "all" else [name.strip() for name in known.split(",") if name.strip()]
    targets = (devices if known == "all" else names) if target == "all" else [target]
    if not targets or not names:
        raise ArchrepError(f"{labels.path}: no column is a latency; name the devices: --known-devices A,B,C.")
    for name in dict.fromkeys([*targets, *names]):
        directed(labels, name, "lower").target(name)  # which refuses what is unknown, or no number
    connected = np.array([has_graph(a) for a in architectures(*table.index, typed=False)])
    found = evaluate_transfer(
        table, targets, names, train_size or TRAIN_SIZE, resamplings or RESAMPLINGS, seed, connected
    )
    excluded = {reason: count for counts in (labels.counted, found.excluded) for reason, count in counts.items()}
    inputs = {path.name: file_digest(path) for path in map(Path, str(labels.path).split(" + "))}
    origin = provenance(seed=seed, inputs=inputs)
    facts = {"n": found.n, "train_size": found.train_size, "resamplings": resamplings or RESAMPLINGS, "seed": seed}
    rows = found.summary().to_dict("records")
    summary = {**facts, "known": names, "devices": rows[:-1], "mean": rows[-1], "excluded": excluded}
    shown = _title(facts), HEAD, [_cells(row) for row in rows], _notes(excluded)
    with atomic_folder(out, force, FILES) as folder:
        found.table.to_csv(folder / "predictions.csv", index=False)
        save_figure(*draw_devices(found), folder / "devices")
        (folder / "report.json").write_text(to_json(plain(summary | {"provenance": origin})))
        (folder / "report.md").write_text(markdown(*shown, str(origin["command"])))
    if json:
        print(to_json(plain(summary | {"provenance": origin, "out": str(out)})))
        return
    print_report(*shown)
    print(f"Report and figure: {out}")


def _title(facts: dict) -> str:
    return (
        f"Latency on a new device from {facts['train_size']} measured architectures and the other devices · "
        f"n = {facts['n']:,} · {facts['resamplings']} training sets"
    )


def _cells(row: dict) -> tuple[str, ...]:
    interval = f"{row['low']:.3f} – {row['high']:.3f}"
    return row["device"], f"{row['spearman']:.3f}", interval, f"{row['kendall']:.3f}"


def _notes(excluded: dict[str, int]) -> list[str]:
    lines = [
        "Rank correlations with the architectures not measured on the new device; 95 % interval over training sets."
    ]
    lines.append("The new device's own columns, of any batch size, are never known.")
    return lines + [f"Excluded: {count:,} {reason}." for reason, count in excluded.items()]
