"""`archrep search --evaluate`: trains what the strategies propose."""

import sys
from pathlib import Path

from archrep.cli import options
from archrep.errors import ArchrepError

FILES = ("queries.csv", "search.json")


def live(
    space: str,
    archs: list[str],
    specs: list[str],
    encoders: list[str],
    runs: int,
    budget: int,
    data: str,
    protocol: str,
    checkpoint: Path | None,
    out: Path,
    limit: int | None,
    seed: int,
    force: bool,
    json: bool,
) -> None:
    """Searches the pool that `archs` names; labels go to OUT.parquet with its journal OUT.jsonl, so it resumes."""
    import numpy as np
    import torch

    from archrep.data import load_images
    from archrep.files import atomic_folder, provenance, to_json
    from archrep.search.live import REPORT, SELECT, Measured, search_live

    selected = options.select(archs, limit)
    if foreign := next((a.id for a in selected if a.space != space), None):
        raise ArchrepError(f"--space {space}: the pool holds {foreign}; give --archs of that space.")
    images = load_images(data)
    candidates = _candidates(selected, encoders, checkpoint, images, seed)
    classes = len(np.unique(candidates.classes))
    notes = []
    if budget > classes:
        notes.append(f"Budget: the pool has {classes} different architectures, so the budget is that, not {budget}")
        budget = classes
    for note in notes:
        print(note, file=sys.stderr)
    torch.set_num_threads(1)
    labels = out.with_name(out.name + ".parquet")
    with options.progress(len(specs) * runs * budget, "query") as show:
        measured = Measured(selected, protocol, images, labels, seed, force, show)
        table, trajectories = search_live(candidates, measured, specs, runs, budget, seed)
    options.print_failures(list(measured.rows.values()))
    best: dict[str, dict | None] = {}
    for spec in specs:
        trained = table[(table["strategy"] == spec) & table[SELECT].notna()]
        top = trained.loc[trained[SELECT].idxmax()] if len(trained) else None
        best[spec] = None if top is None else {"arch": top["arch"], SELECT: top[SELECT], REPORT: top[REPORT]}
    facts = {
        "space": space,
        "pool": len(selected),
        "classes": classes,
        "budget": budget,
        "runs": runs,
        "seed": seed,
        "trained": len(measured.rows),
        "best": best,
        "duplicate_rate": {s: np.mean([t.duplicate_rate for t in trajectories if t.strategy == s]) for s in specs},
        "notes": notes,
        "provenance": provenance(seed=seed, protocol=protocol, data=images.name, data_digest=images.digest),
    }
    with atomic_folder(out, force, FILES) as folder:
        table.to_csv(folder / "queries.csv", index=False)
        (folder / "search.json").write_text(to_json(facts))
    if json:
        print(to_json(facts | {"out": out, "labels": labels}))
        return
    for spec, found in best.items():
        told = "nothing could be trained"
        if found is not None:
            told = f"{found['arch']}, {SELECT} {found[SELECT]:.2f} %, {REPORT} {found[REPORT]:.2f} %"
        print(f"{spec}: best of {budget} queries: {told}")
    print(f"Trained {len(measured.rows)} architectures; queries: {out}, labels: {labels}")


def _candidates(selected, encoders: list[str], checkpoint: Path | None, images, seed: int):
    from archrep.probe.encoders import Context, encode
    from archrep.search.pool import make_candidates

    context = Context(None, options.ghn_for(encoders, checkpoint), images, seed)
    return make_candidates(selected, {spec: encode(spec, selected, context) for spec in encoders}, context)
