"""`archrep list`."""

from typing import TYPE_CHECKING, Annotated

import typer

from archrep.cli import completion, options

if TYPE_CHECKING:
    from rich.table import Table


def list_spaces(
    space: Annotated[
        str | None,
        typer.Argument(help="Space to look into; without one, all spaces.", autocompletion=completion.one("space")),
    ] = None,
    json: options.Json = False,
) -> None:
    """List where architectures come from: all spaces, or the splits or names that one space holds.

    Example: `archrep list deepnets-small`

    What is listed goes into `--archs`: deepnets-small:test:0-9, torchvision:resnet18, …
    """
    import dataclasses

    from archrep.files import to_json
    from archrep.space.listing import listing, spaces

    if space is None:
        rows = {name: dataclasses.asdict(about) for name, about in spaces().items()}
        found = [{"space": name, **row} for name, row in rows.items()]
        print(to_json({"spaces": found})) if json else _print_spaces(rows)
        return
    facts = listing(space)
    print(to_json(facts)) if json else _print_listing(facts)


def _print_spaces(rows: dict[str, dict]) -> None:
    table = _table("space", "spec", "architectures", "what")
    for name, row in rows.items():
        table.add_row(name, row["form"], "" if row["size"] is None else f"{row['size']:,}", row["text"])
    _print(table)
    print("… is the name of the space. What one holds: archrep list SPACE")


def _print_listing(facts: dict) -> None:
    size = "" if facts["size"] is None else f" · {facts['size']:,} architectures"
    print(f"{facts['space']}: {facts['text']}{size}")
    print(f"Spec: {facts['spec']}" + (f", such as {facts['example']}" if "example" in facts else ""))
    if "splits" in facts:
        table = _table("split", "architectures")
        for split, count in facts["splits"].items():
            table.add_row(split, f"{count:,}")
        _print(table)
    for name in facts.get("names", ()):
        print(name)


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name == "architectures" else "left", no_wrap=name != "what")
    return table


def _print(table: "Table") -> None:
    from rich.console import Console

    Console(markup=False, highlight=False).print(table)
