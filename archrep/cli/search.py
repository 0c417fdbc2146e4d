"""`archrep search`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archrep.cli import completion, options
from archrep.cli.search_live import FILES, live
from archrep.errors import ArchrepError

if TYPE_CHECKING:
    from archrep.search.pool import Pool
    from archrep.search.simulate import Trajectory

DEFAULT = "random,local-search,evolution,bananas,gp-ei,gp-ts"
SIMULATED = ("regret.csv", "search.json", "search.md", "curve.png", "curve.svg", "curve.csv")


def search(
    space: Annotated[
        str,
        typer.Option(
            help="Space to search: nasbench201, nasbench101, deepnets-small, …", autocompletion=completion.one("space")
        ),
    ],
    labels: Annotated[
        list[Path] | None, typer.Option(help="Label table, Parquet, CSV or a published one; may be repeated.")
    ] = None,
    strategies: Annotated[
        str,
        typer.Option(
            help="Separated by commas; bananas, gp-ei and gp-ts take an encoder: gp-ei:one-hot.",
            autocompletion=completion.several("strategy"),
        ),
    ] = DEFAULT,
    budget: Annotated[int, typer.Option(min=1, help="Queries: architectures paid for per run.")] = 150,
    runs: Annotated[int | None, typer.Option(min=1, help="Runs; default: 100, and 1 with --evaluate.")] = None,
    target: Annotated[
        str, typer.Option(help="Label that is reported.", autocompletion=completion.one("target"))
    ] = "accuracy",
    select_by: Annotated[
        str | None,
        typer.Option(
            help="Label that the search sees; default: accuracy_val for accuracy.",
            autocompletion=completion.one("target"),
        ),
    ] = None,
    dataset: options.Dataset = None,
    epochs: options.Epochs = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="Embedding table for the encoder ghn; default: the checkpoint embeds.")
    ] = None,
    checkpoint: options.Checkpoint = None,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Train what is proposed, instead of --labels.")] = False,
    archs: options.Archs = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="With --evaluate: images to train on, or for encoders.", autocompletion=completion.one("images")
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(help="With --evaluate: training protocol.", autocompletion=completion.one("measuring protocol")),
    ] = "quick",
    out: Annotated[Path, typer.Option(help="Folder of the results; the journal lies beside it.")] = Path("search"),
    limit: options.Limit = None,
    workers: options.Workers = 1,
    seed: options.Seed = 0,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Simulate architecture search: regret over queries of several strategies, with intervals over many runs.

    Example: `archrep search --space nasbench201 --labels nasbench201/accuracy.csv.gz --workers 2 --out search`

    Example: `archrep search --space deepnets-small --archs deepnets-small:search:0-199 --evaluate --data ~/cifar10
    --strategies random,gp-ei --budget 20 --out live`

    The search sees the selection label of what it pays for, a functional class is paid for once, and regret is in
    points against the best of the pool. Stopped in the middle, the same command continues.
    """
    from archrep.files import refuse_foreign_folder
    from archrep.search.strategies import encoder_of, split_strategies

    specs = split_strategies(strategies)
    refuse_foreign_folder(out, force, FILES if evaluate else SIMULATED)
    encoders = list(dict.fromkeys(filter(None, map(encoder_of, specs))))
    if evaluate:
        if labels or not archs:
            raise ArchrepError("--evaluate trains what is proposed out of --archs; give these, and no --labels.")
        live(
            *(space, archs, specs, encoders, runs or 1, budget, data or "cifar10", protocol, checkpoint),
            *(out, limit, seed, force, json),
        )
        return
    if archs:
        raise ArchrepError("--archs is the pool of --evaluate; a simulation searches the architectures of --labels.")
    runs = runs or 100
    pool, inputs = _pool(
        space, labels, target, select_by, encoders, dataset, epochs, embeddings, checkpoint, data, limit, seed
    )
    wanted, budget = budget, min(budget, pool.classes)
    notes = [f"Pool: {note}" for note in pool.notes]
    if budget < wanted:
        notes.append(f"Budget: the pool has {budget:,} functional classes, so the budget is {budget:,}, not {wanted:,}")
    for note in notes:
        print(note, file=sys.stderr)
    trajectories = _simulate(pool, specs, runs, budget, seed, workers, out, force)
    _write(pool, trajectories, specs, runs, budget, seed, space, notes, inputs, out, force, json)


def _pool(
    space, labels, target, select_by, encoders, dataset, epochs, embeddings, checkpoint, data, limit, seed
) -> tuple["Pool", dict]:
    """The pool, and the digests of what it was read from."""
    from archrep.data import load_images
    from archrep.data.embeddings import read_embeddings
    from archrep.data.labels import read_labels
    from archrep.files import file_digest
    from archrep.probe.encoders import Context
    from archrep.search.pool import make_pool
    from archrep.shipped import LABELS, shipped

    if not labels and space != "deepnets-small":
        raise ArchrepError(f"Give --labels with a label table of {space}; only deepnets-small has labels that ship.")
    paths = labels or [shipped(LABELS)]
    table = read_labels(paths, dataset, epochs)
    if limit:
        table = table.take(slice(limit))
    embedded = read_embeddings(embeddings) if embeddings else None
    images = load_images(data) if data else None
    context = Context(table.table, options.ghn_for(encoders, checkpoint, embedded is not None), images, seed)
    pool = make_pool(table, space, target, encoders, context, select_by, embedded)
    return pool, {path.name: file_digest(path) for path in [*paths, *([embeddings] if embeddings else [])]}


def _simulate(pool, specs, runs, budget, seed, workers, out: Path, force: bool) -> list["Trajectory"]:
    import torch
    from tqdm import tqdm

    from archrep.journal import Journal
    from archrep.search.simulate import journal_header, simulate

    torch.set_num_threads(1)
    header = journal_header(pool, budget, seed)
    journal = Journal(out.with_name(out.name + ".jsonl"), header, "of another pool, budget or seed", force)
    with tqdm(total=len(specs) * runs, unit="run", disable=not sys.stderr.isatty()) as bar:
        return simulate(pool, specs, runs, budget, seed, workers, journal, lambda: bar.update() and None)


def _write(pool, trajectories, specs, runs, budget, seed, space, notes, inputs, out, force, json) -> None:
    from archrep.files import atomic_folder, provenance, to_json
    from archrep.plot.search import draw_regret
    from archrep.plot.style import save_figure
    from archrep.search import regret
    from archrep.search.render import as_markdown, difference_line, meaning, strategy_rows, title

    table = regret.regret_table(pool, trajectories, budget)
    summary = regret.summarize(table)
    marks = regret.marks(budget)
    compared = regret.differences(table, 100 if budget > 100 else budget)
    rows = strategy_rows(summary, trajectories, marks, budget)
    name = title(pool, space, runs, seed)
    origin = provenance(seed=seed, inputs=inputs)
    notes = [*meaning(pool, budget), f"A step to a neighbour is {pool.candidates.neighbours.meaning}.", *notes]
    facts = {
        "space": space,
        "target": pool.target.name,
        "unit": pool.target.unit,
        "selected_by": pool.selected_by,
        "architectures": len(pool.names),
        "classes": pool.classes,
        "runs": runs,
        "budget": budget,
        "seed": seed,
        "best": {name: pool.best(values) for name, values in (("selection", pool.value), ("reported", pool.test))},
        "strategies": rows,
        "differences": compared.to_dict("records"),
        "notes": notes,
        "provenance": origin,
    }
    with atomic_folder(out, force, SIMULATED) as folder:
        table.to_csv(folder / "regret.csv", index=False, float_format="%.6g")
        save_figure(*draw_regret(summary, pool.target.unit, name), folder / "curve")
        (folder / "search.json").write_text(to_json(facts))
        (folder / "search.md").write_text(as_markdown(name, rows, compared, notes, str(origin["command"])))
    if json:
        print(to_json(facts | {"out": out}))
        return
    options.print_table(name, list(rows[0]), [[str(v) for v in row.values()] for row in rows], ["strategy"])
    for row in compared.to_dict("records"):
        print(difference_line(row))
    print(f"Regret of every run, figure and report: {out}")
