"""Architecture specs: one string names one architecture, or a range of them (design: architecture specs)."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from archrep.errors import ArchrepError, first_line, lookup
from archrep.space.architecture import Architecture
from archrep.space.deepnets import DeepNet, DeepNetConfig, Emitter, limits, make_plan, sample

TABLE_SUFFIXES = (".csv", ".parquet")


def architectures(*specs: str) -> Iterator[Architecture]:
    """Gives the architectures that the specs name, in order, each one once.

    Args:
        specs: spec strings such as `deepnets-small:test:0-99`, or CSV/Parquet tables with a column `arch`.

    Raises:
        ArchrepError: for an unknown space, split or index, or a table without a column `arch`.
    """
    expanded = [_expand(spec) for spec in specs]  # errors come here, not at the first use
    seen: set[str] = set()
    return (a for some in expanded for a in some if not (a.id in seen or seen.add(a.id)))  # type: ignore[func-returns-value]


def _expand(spec: str) -> Iterable[Architecture]:
    if spec.endswith(TABLE_SUFFIXES):
        return chain.from_iterable([_expand(one) for one in _column_arch(Path(spec))])
    space, _, rest = spec.partition(":")
    return lookup(SPACES, space, "space")(space, rest)


def _column_arch(path: Path) -> list[str]:
    import pandas as pd

    if not path.is_file():
        raise ArchrepError(
            f"{path}: no such table of architectures. Give a spec or a CSV/Parquet with a column 'arch'."
        )
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
    except (ValueError, OSError) as error:  # pyarrow and pandas parse errors are ValueErrors
        raise ArchrepError(f"{path}: not a readable {path.suffix[1:]} table ({first_line(error)}).") from error
    if "arch" not in table:
        raise ArchrepError(f"{path}: no column 'arch'; its columns are {', '.join(map(str, table))}.")
    names = [str(name) for name in table["arch"].dropna()]
    nested = next((name for name in names if name.endswith(TABLE_SUFFIXES)), None)
    if nested:
        raise ArchrepError(f"{path}: column 'arch' holds {nested!r}, a table; give architecture specs.")
    return names


def _deepnets(preset: str, rest: str) -> Iterator[Architecture]:
    split, _, span = rest.partition(":")
    size = limits(preset, split).size
    match = re.fullmatch(r"(\d{1,12})(?:-(\d{1,12}))?", span) if span else None
    if span and not match:
        raise ArchrepError(f"{preset}:{rest}: expected {preset}:SPLIT, …:SPLIT:i or …:SPLIT:i-j; got {span!r}.")
    first = int(match[1]) if match else 0
    last = int(match[2] or match[1]) if match else size - 1
    if not first <= last < size:
        raise ArchrepError(f"{preset}:{rest}: {split} has architectures 0 … {size - 1}; got {first} … {last}.")
    return (deepnet(preset, split, i) for i in range(first, last + 1))


def deepnet(preset: str, split: str, index: int) -> Architecture:
    """Architecture `index` of a DeepNets split."""
    return deepnet_of(sample(preset, split, index), preset, split, index)


def deepnet_of(config: DeepNetConfig, preset: str, split: str, index: int) -> Architecture:
    """The architecture of a configuration: that of `index`, or a variant with other channels."""
    return Architecture(
        id=f"{preset}:{split}:{index}",
        space=preset,
        split=split,
        make_graph=lambda: Emitter(make_plan(config)).graph(),
        make_network=lambda: DeepNet(config),
    )


SPACES: dict[str, Callable[[str, str], Iterable[Architecture]]] = {
    "deepnets": _deepnets,
    "deepnets-small": _deepnets,
}
