"""Architecture specs: one string names one architecture, or a range of them (design: architecture specs)."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import torch

from archrep.errors import ArchrepError, CaptureError, first_line, lookup, unknown
from archrep.graph.archgraph import ArchGraph
from archrep.graph.capture import capture
from archrep.space.architecture import Architecture
from archrep.space.deepnets import LIMITS, VIT, DeepNet, DeepNetConfig, Emitter, make_plan, sample
from archrep.space.hf import transformers_networks
from archrep.space.nasbench101 import nasbench101
from archrep.space.nasbench201 import nasbench201
from archrep.space.nasbench_macro import nasbench_macro
from archrep.space.official import official
from archrep.space.own import own_network
from archrep.space.resnet import resnet50
from archrep.space.span import indices
from archrep.space.zoo import timm_networks, torchvision_networks

TABLE_SUFFIXES = (".csv", ".parquet")


def architectures(*specs: str, refused: list[str] | None = None) -> Iterator[Architecture]:
    """Gives the architectures that the specs name, in order, each one once.

    Args:
        specs: spec strings such as `deepnets-small:test:0-99`, or CSV/Parquet tables with a column `arch`.
        refused: if given, networks of users' own that fail go here, with the reason, instead of being raised.

    Raises:
        ArchrepError: for an unknown space, split or index, or a table without a column `arch`.
        CaptureError: for a user's own network that fails, unless `refused` is given.
    """
    expanded = [_expand(spec, refused) for spec in specs]  # errors come here, not at the first use
    seen: set[str] = set()
    return (a for some in expanded for a in some if not (a.id in seen or seen.add(a.id)))  # type: ignore[func-returns-value]


def _expand(spec: str, refused: list[str] | None) -> Iterable[Architecture]:
    if spec.endswith(TABLE_SUFFIXES):
        return chain.from_iterable([_expand(one, refused) for one in _column_arch(Path(spec))])
    space, _, rest = spec.partition(":")
    if space in SPACES:
        return SPACES[space](space, rest)
    try:
        own = own_network(spec)
    except CaptureError as error:
        if refused is None:
            raise
        refused.append(str(error))
        return []
    if own is None:
        raise unknown("space", space, SPACES, " A network of your own is file.py:callable or package.module:callable.")
    return [own]


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
    sizes = {name: drawn_from.size for name, drawn_from in LIMITS[preset].items()}
    if preset == "deepnets":
        sizes["predefined"] = 2
    chosen = indices(span, lookup(sizes, split, f"split of {preset}"), f"{preset}:{split}")
    return (predefined(i) if split == "predefined" else deepnet(preset, split, i) for i in chosen)


def deepnet(preset: str, split: str, index: int) -> Architecture:
    """Architecture `index` of a DeepNets split."""
    return deepnet_of(sample(preset, split, index), preset, split, index)


def deepnet_of(config: DeepNetConfig, preset: str, split: str, index: int) -> Architecture:
    """The architecture of a configuration: that of `index`, or a variant with other channels."""
    return Architecture(
        id=f"{preset}:{split}:{index}",
        space=preset,
        split=split,
        make_graph=lambda vocabulary: Emitter(make_plan(config)).graph(vocabulary),
        make_network=lambda: DeepNet(config),
    )


def predefined(index: int) -> Architecture:
    """Of the paper's split "predefined": 0 is ResNet-50 in its CIFAR-10 form, 1 a ViT."""
    if index == 1:
        return deepnet_of(VIT, "deepnets", "predefined", 1)
    make = partial(resnet50, num_classes=10, cifar10=True)

    def graph(vocabulary: str) -> ArchGraph:
        with torch.device("meta"):
            network = make()
        return capture(network, vocabulary=vocabulary)

    return Architecture("deepnets:predefined:0", "deepnets", "predefined", graph, make)


SPACES: dict[str, Callable[[str, str], Iterable[Architecture]]] = {
    "deepnets": _deepnets,
    "deepnets-small": _deepnets,
    "deepnets-official": official,
    "torchvision": torchvision_networks,
    "timm": timm_networks,
    "transformers": transformers_networks,
    "nasbench101": nasbench101,
    "nasbench201": nasbench201,
    "nasbench201-cell": nasbench201,
    "nasbench_macro": nasbench_macro,
}
