"""`archrep rank`."""

import sys
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archrep.cli import completion, options
from archrep.errors import ArchrepError

if TYPE_CHECKING:
    from archrep.probe.saved import FittedProbe
    from archrep.search.ranking import Ranking

SHOWN = 20  # rows on the screen


def rank(
    archs: options.Archs = None,
    labels: Annotated[
        list[Path] | None, typer.Option(help="The labels: table with columns `arch` and the target; may be repeated.")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Column to rank by; several, repeated or separated by commas, give their Pareto front.",
            autocompletion=completion.several("target"),
        ),
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Keep the best N; default: all, 20 on the screen.")] = None,
    out: Annotated[Path | None, typer.Option(help="Ranking to write, CSV or Parquet.")] = None,
    probe: Annotated[
        list[Path] | None, typer.Option(help="Instead of labels: folder that `archrep probe` wrote; may be repeated.")
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="Embedding table for the encoder ghn; without --archs it is the pool.")
    ] = None,
    encoders: Annotated[
        str | None,
        typer.Option(
            help="Encoders to choose from, separated by commas; default: by the pool's space.",
            autocompletion=completion.several("encoder", ",+"),
        ),
    ] = None,
    level: Annotated[float, typer.Option(min=0.01, max=0.99, help="Level of the prediction intervals.")] = 0.9,
    checkpoint: options.Checkpoint = None,
    data: Annotated[
        str | None, typer.Option(help="Real images, if encoders need them.", autocompletion=completion.one("images"))
    ] = None,
    dataset: options.Dataset = None,
    epochs: options.Epochs = None,
    limit: options.Limit = None,
    seed: options.Seed = 0,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Rank a pool of architectures from a handful of labels, with intervals.

    Example: `archrep rank --archs nasbench201:all --labels few.csv --target accuracy --top 20 --out ranking.csv`

    Example: `archrep rank --probe probe-accuracy --embeddings million.parquet --out ranking.parquet`

    Encoder and probe are chosen inside the labels. Columns: arch, rank (equal predictions share one), predicted, low,
    high. With several targets also NAME, NAME_low, NAME_high and pareto, and the front beside OUT as OUT-pareto.csv,
    .png and .svg; params and flops are counted where the labels do not have them.
    """
    from archrep.data.tables import check_rows_path
    from archrep.files import refuse_existing
    from archrep.plot.style import refuse_existing_figure

    if out is not None:
        check_rows_path(out)
        refuse_existing(out, force)
    setup = _Setup(archs, labels, target, probe, embeddings, encoders, checkpoint, data, dataset, epochs, limit, seed)
    if out is not None and len(setup.targets) > 1:
        refuse_existing_figure(_front_prefix(out), force)
    ranking = setup.rank(level)
    for line in setup.notes:
        print(line, file=sys.stderr)
    _write(ranking, top, out, force, json, setup.facts(level))


class _Setup:
    """What the options name, checked and loaded.

    Attributes:
        notes: what is to be said of labels and pool.
    """

    def __init__(
        self, archs, labels, target, probe, embeddings, encoders, checkpoint, data, dataset, epochs, limit, seed
    ) -> None:
        from archrep.probe.saved import load_probe

        self.archs, self.limit, self.seed = archs or [], limit, seed
        self.label_paths, self.probe_paths = labels or [], probe or []
        self.checkpoint, self.embeddings_path, self.data = checkpoint, embeddings, data
        self.request = (dataset, epochs)
        self.encoders, self.notes = encoders, list[str]()
        if bool(self.label_paths) == bool(self.probe_paths):
            raise ArchrepError("Give either --labels to learn from, or --probe with what `archrep probe` has fitted.")
        if not self.archs and embeddings is None:
            raise ArchrepError("Nothing to rank: give --archs, for example nasbench201:all, or --embeddings TABLE.")
        self.loaded = [load_probe(path) for path in self.probe_paths]
        named = [name.strip() for part in target or [] for name in part.split(",") if name.strip()]
        if self.loaded and named:
            raise ArchrepError("A fitted probe knows its target; leave --target out.")
        self.targets = [p.target.name for p in self.loaded] or named or ["accuracy"]
        if len(set(self.targets)) < len(self.targets):
            raise ArchrepError(f"Every target counts once; got {', '.join(self.targets)}.")

    def rank(self, level: float) -> "Ranking":
        """The ranking that is asked for."""
        from archrep.data import load_images
        from archrep.data.embeddings import read_embeddings
        from archrep.probe.encoders import Context
        from archrep.search.ranking import rank_pool, rank_table

        table = read_embeddings(self.embeddings_path) if self.embeddings_path else None
        names, spaces = self._pool_facts(table)
        images = load_images(self.data) if self.data else None
        if self.loaded:
            probes = dict(zip(self.targets, self.loaded, strict=True))
            self._check_digests(table)
            context = Context(None, self._ghn((s for p in self.loaded for s in p.encoders), table), images, self.seed)
        else:
            probes, context = self._fit(names, spaces, table, images)
        with _progress(len(names)) as bar:
            if table is not None and not self.archs:
                return rank_table(table, probes, level, bar)
            return rank_pool(self._pool(), probes, context, table, level, bar)

    def _pool(self) -> Iterator:
        from archrep.space import architectures

        return islice(architectures(*self.archs), self.limit)

    def _pool_facts(self, table) -> tuple[Collection[str], set[str]]:
        """Names and spaces of the pool."""
        if not self.archs:
            if self.limit:
                raise ArchrepError("--limit takes the first of --archs; an embedding table is ranked as a whole.")
            return table.table.index, set(table.table["space"].unique())
        names, spaces = set(), set()
        for architecture in self._pool():
            names.add(architecture.id)
            spaces.add(architecture.space)
        if not names:
            raise ArchrepError(f"No architectures: {', '.join(self.archs)} name none.")
        return names, spaces

    def _fit(self, names, spaces, table, images):
        from archrep.data.labels import read_labels
        from archrep.probe.encoders import Context, split_specs
        from archrep.search.ranking import EMBEDDED, ENCODERS, MIXED_ENCODERS, fit_targets

        labels = read_labels(self.label_paths, *self.request)
        specs = split_specs(self.encoders) if self.encoders else []
        if self.encoders is not None and not specs:
            raise ArchrepError("No encoder is given; name one with --encoders, for example graph-features.")
        if table is not None and not self.archs and any(spec != EMBEDDED for spec in specs):
            raise ArchrepError(f"An embedding table without --archs is ranked by the encoder {EMBEDDED} alone.")
        ghn = self._ghn(specs or [*ENCODERS, *MIXED_ENCODERS], table)
        context = Context(labels.table, ghn, images, self.seed)
        probes, notes = fit_targets(labels, self.targets, spaces, specs, context, table, seed=self.seed)
        self.notes += [f"Labels: {note}" for note in notes]
        if outside := int((~labels.table.index.isin(names)).sum()):
            self.notes.append(f"Labels: {outside:,} of {len(labels.table):,} are of architectures outside the pool")
        for name, probe in probes.items():
            self.notes.append(_described(name, probe))
        return probes, context

    def _ghn(self, specs, table):
        return options.ghn_for(specs, self.checkpoint, table is not None)

    def _check_digests(self, table) -> None:
        """Embeddings must come from the checkpoint that the probes learned from.

        Raises:
            ArchrepError: if they do not.
        """
        from archrep.files import file_digest
        from archrep.probe.encoders import needs_ghn
        from archrep.shipped import CHECKPOINT, shipped

        for path, fitted in zip(self.probe_paths, self.loaded, strict=True):
            if not any(map(needs_ghn, fitted.encoders)):
                continue
            wanted = fitted.facts.get("provenance", {}).get("checkpoint_digest")
            got = (
                table.header.get("checkpoint_digest") if table else file_digest(self.checkpoint or shipped(CHECKPOINT))
            )
            if wanted and got and wanted != got:
                raise ArchrepError(
                    f"{path}: fitted on embeddings of the checkpoint with digest {wanted}, these are of {got}. "
                    "Embed with that checkpoint, or fit the probe on these embeddings."
                )

    def facts(self, level: float) -> dict:
        """Provenance."""
        from archrep.files import file_digest, provenance

        inputs = [*self.label_paths, *([self.embeddings_path] if self.embeddings_path else [])]
        digests = {path.name: file_digest(path) for path in inputs}
        return provenance(seed=self.seed, level=level, inputs=digests, probes=[p.name for p in self.probe_paths])


def _described(name: str, probe: "FittedProbe | None") -> str:
    if probe is None:
        return f"{name}: counted, not predicted (the labels have no such column)"
    members = " + ".join(f"{encoder} · {model}" for encoder, model in probe.members)
    n, groups = probe.facts["n"], probe.facts["groups"]
    few = "; too few labels for finite intervals at 90 %" if groups < 9 else ""
    return f"{name}: learned from {n:,} labels, {groups:,} of them different, by {members}{few}"


def _progress(total: int):
    """A bar on stderr; gives what is called with the number of finished architectures."""
    from contextlib import contextmanager

    from tqdm import tqdm

    @contextmanager
    def bar() -> Iterator[Callable[[int], None]]:
        with tqdm(total=total, unit="arch", disable=not sys.stderr.isatty()) as shown:
            yield lambda count: shown.update(count) and None

    return bar()


def _front_prefix(out: Path) -> Path:
    return out.with_name(f"{out.stem}-pareto")


def _write(ranking: "Ranking", top: int | None, out: Path | None, force: bool, json: bool, origin: dict) -> None:
    from archrep.files import to_json

    table = ranking.table(top if out is not None or top else SHOWN)
    total = len(ranking.names)
    for reason, count in ranking.refused.items():
        print(f"Refused: {count:,} architectures {reason}", file=sys.stderr)
    if top and top > total:
        print(f"The pool has {total:,} architectures, fewer than --top {top:,}: all are ranked", file=sys.stderr)
    written = _save(ranking, table, out, force, origin) if out is not None else []
    if json:
        print(to_json({"n": total, "ranking": table.to_dict("records"), "provenance": origin, "files": written}))
        return
    _print_ranking(ranking, table.head(top or SHOWN))
    if tied := int(table["rank"].duplicated(keep=False).sum()):
        print(f"Ties: {tied:,} of {len(table):,} share their rank; they come in the order of their names")
    if out is not None:
        print(f"Ranking of {len(table):,} out of {total:,} architectures: {', '.join(map(str, written))}")


def _save(ranking: "Ranking", table, out: Path, force: bool, origin: dict) -> list[Path]:
    import pyarrow as pa

    from archrep.data.tables import write_table
    from archrep.files import atomic

    if out.suffix == ".csv":
        with atomic(out, force) as temporary:
            table.to_csv(temporary, index=False)
    else:
        header = {"format": 1, "kind": "ranking", "provenance": origin}
        write_table(pa.Table.from_pandas(table, preserve_index=False), header, out, force)
    if len(ranking.targets) == 1:
        return [out]
    return [out, *_save_front(ranking, _front_prefix(out), force)]


def _save_front(ranking: "Ranking", prefix: Path, force: bool) -> list[Path]:
    """The figure of the first two targets, with the front of all of them as its table."""
    import pandas as pd

    from archrep.plot.search import draw_front
    from archrep.plot.style import save_figure
    from archrep.search.ranking import column_names

    cloud = pd.DataFrame({"arch": ranking.names})
    for target in ranking.targets:
        cloud[list(column_names(target))] = ranking.values[target.name]
    first = ranking.targets[0]
    front = cloud[ranking.front()].sort_values([first.name, "arch"], ascending=[not first.higher_is_better, True])
    names = " and ".join(t.name.replace("_", " ") for t in ranking.targets)
    title = f"Pareto front of predicted {names}\nn = {len(cloud):,}, {len(front):,} on the front"
    figure, points = draw_front(cloud, front, (ranking.targets[0], ranking.targets[1]), title)
    return save_figure(figure, points, prefix, force)


def _print_ranking(ranking: "Ranking", table) -> None:
    first = ranking.targets[0]
    better = "higher is better" if first.higher_is_better else "lower is better"
    unit = f"{first.unit}, " if first.unit else ""
    title = f"{first.name} ({unit}{better}) · n = {len(ranking.names):,}"
    rows = [
        [f"{value:.5g}" if isinstance(value, float) else str(value) for value in row]
        for row in table.itertuples(index=False)
    ]
    options.print_table(title, list(map(str, table.columns)), rows, ["arch"], fold=True)
