"""`archrep sample` and `archrep info`."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from archrep.cli import completion, options
from archrep.errors import ArchrepError

FORMATS = ("arrow", "official")


def sample(
    out: Annotated[Path, typer.Option(help="Folder to write; deepnets:FOLDER is then a spec.")],
    split: Annotated[
        str,
        typer.Option(
            help="train, val, test, wide, deep, dense, bnfree or search.", autocompletion=completion.one("split")
        ),
    ] = "train",
    n: Annotated[
        int | None, typer.Option("-n", min=1, help="Architectures; default: the split's published size.")
    ] = None,
    space: Annotated[
        str,
        typer.Option(help="deepnets (the paper's size) or deepnets-small.", autocompletion=completion.one("deepnets")),
    ] = "deepnets",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")] = None,
    format: Annotated[
        str,
        typer.Option(
            help="arrow, or official: HDF5 and JSON as DeepNets-1M was released.",
            autocompletion=completion.one("store"),
        ),
    ] = "arrow",
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Generate architectures of DeepNets-1M, with their graphs, into a folder.

    Example: `archrep sample --split train -n 100000 --out graphs/train`

    Stopped in the middle, the same command continues. What it writes is the same on every machine, for any number of
    workers. What is in there: `archrep info graphs/train`. Use: `archrep embed --archs deepnets:graphs/train:0-99`.
    """
    from archrep.errors import lookup
    from archrep.files import to_json

    write = lookup({"arrow": _write_store, "official": _write_official}, format, "format")
    began = time.monotonic()
    count, path, spec = write(out, space, split, n, workers, force)
    seconds = time.monotonic() - began
    if json:
        print(to_json({"architectures": count, "spec": spec, "seconds": seconds, "out": path}))
        return
    print(f"Architectures: {count:,} of {space}:{split}")
    print(f"Written: {path}")
    print(f"Spec: {spec}")


def _write_store(
    out: Path, space: str, split: str, size: int | None, workers: int | None, force: bool
) -> tuple[int, Path, str]:
    from archrep.space.deepnets import generate, limits

    with _bar(size or limits(space, split).size) as bar:
        store = generate(out, space, split, size, workers, force, bar.update)
    return len(store), out, f"{space}:{out}"


def _write_official(
    out: Path, space: str, split: str, size: int | None, workers: int | None, force: bool
) -> tuple[int, Path, str]:
    from archrep.space.deepnets import Generated
    from archrep.space.official_writer import write_official

    if workers not in (None, 1):
        raise ArchrepError("--format official is written by one process; leave --workers out.")
    source = Generated(space, split)
    size = size or len(source)
    with _bar(size) as bar:
        path = write_official(source, out, size, force, bar.update)
    return size, path, f"deepnets-official:{out}:{split}"


def _bar(total: int):
    from tqdm import tqdm

    return tqdm(total=total, unit="arch", disable=not sys.stderr.isatty())


def info(
    folders: Annotated[list[Path], typer.Argument(help="Folders that `archrep sample` wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="Prefix of a figure beside the published one: .png, .svg, .csv.")
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """What sampled folders hold: sizes, operations, histograms, duplicates within and between them.

    Example: `archrep info graphs/train graphs/val graphs/test`

    Every shard is checked on the way. A duplicate has the graph of an earlier architecture, shapes ignored.
    """
    from archrep.files import to_json
    from archrep.space.deepnets import Store
    from archrep.space.deepnets.statistics import shared, statistics

    if out is not None:
        from archrep.plot.style import refuse_existing_figure

        refuse_existing_figure(out, force)
    stores = [Store(folder) for folder in folders]
    rows = [statistics(store) for store in stores]
    between = shared(stores)
    written = []
    if out is not None:
        from archrep.plot.deepnets import draw_statistics
        from archrep.plot.style import save_figure

        written = save_figure(*draw_statistics(rows), out, force)
    if json:
        print(to_json({"stores": rows, "shared": between, "files": written}))
        return
    if len(rows) == 1:
        _print_store(rows[0])
    else:
        _print_stores(rows, between)
    for path in written:
        print(f"Statistics: {path}")


def _print_store(row: dict) -> None:
    from rich.table import Table

    from archrep.space.deepnets.statistics import QUANTITIES

    per_arch = row["bytes"] / row["architectures"]
    _print(f"{row['path']}: {row['architectures']:,} architectures of {row['space']}:{row['split']}")
    _print(f"{row['bytes'] / 1e6:,.1f} MB, {per_arch:,.0f} bytes per architecture")
    shares = ", ".join(f"{100 * share:.1f} % with {name.replace('_', ' ')}" for name, share in row["shares"].items())
    _print(shares)
    _print(f"Duplicates: {row['duplicates']:,} have the graph of an earlier one (shapes ignored)")
    if row["published_nodes"]:
        _print("Published: {} ± {} nodes".format(*row["published_nodes"]))
    numbers = [_right(name) for name in ("mean", "sd", "least", "most")]
    table = Table("quantity", *numbers, "histogram", box=None, pad_edge=False)
    for name, words in QUANTITIES.items():
        d = row[name]
        figures = [_short(d[key]) for key in ("mean", "sd", "min", "max")]
        table.add_row(words, *figures, _spark(d["histogram"]["counts"]))
    _print(table)
    table = Table("operation", _right("normal cell"), _right("reduction cell"), box=None, pad_edge=False)
    for op, share in row["ops"]["normal"].items():
        table.add_row(op, f"{share:.3f}", f"{row['ops']['reduce'][op]:.3f}")
    _print(table)


def _print_stores(rows: list[dict], between: list[dict]) -> None:
    from rich.table import Table

    names = ("n", "nodes", "published", "edges", "params/M", "path", "ViT", "cse", "dupl.")
    table = Table("split", *(_right(name) for name in names), box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for row in rows:
        params = {key: row["params"][key] / 1e6 for key in ("mean", "sd")}
        published = row["published_nodes"]
        table.add_row(
            row["split"],
            f"{row['architectures']:,}",
            _mean_sd(row["nodes"], 0),
            "{:.0f}±{:.0f}".format(*published) if published else "",
            _mean_sd(row["edges"], 0),
            _mean_sd(params, 2),
            _mean_sd(row["path_length"], 1),
            *(f"{row['shares'][name]:.2f}" for name in ("attention", "squeeze_excite")),
            f"{row['duplicates']:,}",
        )
    _print(table)
    _print("mean±sd; published: nodes; parameters at C = 32; path: mean shortest-path length;")
    _print("ViT, cse: share with attention, with squeeze-excite; dupl.: have the graph of an")
    _print("earlier one, shapes ignored. More about one folder: archrep info FOLDER")
    for pair in between:
        if pair["shared"]:
            _print(f"{pair['first']}: {pair['shared']:,} have the graph of one in {pair['second']}")
    _print(f"No graph in common: {sum(not pair['shared'] for pair in between)} of {len(between)} pairs of folders")


def _mean_sd(d: dict[str, float], digits: int) -> str:
    return f"{d['mean']:.{digits}f}±{d['sd']:.{digits}f}"


def _right(name: str):
    from rich.table import Column

    return Column(name, justify="right", no_wrap=True)


def _short(value: float) -> str:
    """Three or four digits; M: millions, G: 1000 millions."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if abs(value) >= factor:
            return f"{value / (factor if unit != 'k' else 1e3):.3g} {unit}"
    return f"{value:.4g}"


def _spark(counts: list[int]) -> str:
    """A histogram in one line; only an empty bin is blank."""
    top = max(counts)
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // top)] for count in counts)


def _print(what: object) -> None:
    from rich.console import Console

    Console(markup=False, highlight=False, soft_wrap=isinstance(what, str)).print(what)
