"""Architecture specs: one string names one architecture, or a range of them (design: architecture specs)."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import torch

from archrep.errors import ArchrepError, CaptureError, unknown
from archrep.graph.archgraph import ArchGraph
from archrep.graph.capture import capture
from archrep.space.architecture import Architecture
from archrep.space.deepnets import LIMITS, VIT, Generated, Split, Store, deepnet_of
from archrep.space.hf import transformers_networks
from archrep.space.nasbench101 import nasbench101
from archrep.space.nasbench201 import nasbench201
from archrep.space.nasbench_macro import nasbench_macro
from archrep.space.official import official, official_split
from archrep.space.own import own_network
from archrep.space.resnet import resnet50
from archrep.space.span import indices
from archrep.space.trust import admit_path
from archrep.space.zoo import timm_networks, torchvision_networks

TABLE_SUFFIXES = (".csv", ".parquet")


def architectures(*specs: str, refused: list[str] | None = None, typed: bool = True) -> Iterator[Architecture]:
    """Gives the architectures that the specs name, in order, each one once.

    Args:
        specs: spec strings such as `deepnets-small:test:0-99`, or CSV/Parquet tables with a column `arch`.
        refused: if given, networks of users' own that fail go here, with the reason, instead of being raised.
        typed: whether the specs come from a user. Those that come from data, also a table's, do not make code run.

    Raises:
        ArchrepError: for an unknown space, split or index, or a table without a column `arch`.
        CaptureError: for a user's own network that fails, unless `refused` is given.
    """
    expanded = [_expand(spec, refused, typed) for spec in specs]  # errors come here, not at the first use
    seen: set[str] = set()
    return (a for some in expanded for a in some if not (a.id in seen or seen.add(a.id)))  # type: ignore[func-returns-value]


def _expand(spec: str, refused: list[str] | None, typed: bool) -> Iterable[Architecture]:
    if spec.endswith(TABLE_SUFFIXES):
        return chain.from_iterable([_expand(one, refused, typed=False) for one in _column_arch(Path(spec))])
    space, _, rest = spec.partition(":")
    if space in SPACES:
        admit_path(spec, typed)
        return SPACES[space](space, rest)
    try:
        own = own_network(spec, typed)
    except CaptureError as error:
        if refused is None:
            raise
        refused.append(str(error))
        return []
    if own is None:
        raise unknown("space", space, SPACES, " A network of your own is file.py:callable or package.module:callable.")
    return [own]


def _column_arch(path: Path) -> list[str]:
    from archrep.frames import read_frame

    if not path.is_file():
        raise ArchrepError(
            f"{path}: no such table of architectures. Give a spec or a CSV/Parquet with a column 'arch'."
        )
    table = read_frame(path, {"arch": str})
    if "arch" not in table:
        raise ArchrepError(f"{path}: no column 'arch'; its columns are {', '.join(map(str, table))}.")
    names = [str(name) for name in table["arch"].dropna()]
    nested = next((name for name in names if name.endswith(TABLE_SUFFIXES)), None)
    if nested:
        raise ArchrepError(f"{path}: column 'arch' holds {nested!r}, a table; give architecture specs.")
    return names


def _deepnets(preset: str, rest: str) -> Iterator[Architecture]:
    if preset == "deepnets" and re.match("predefined(:|$)", rest):
        return map(predefined, indices(rest[11:], 2, "deepnets:predefined"))
    split, chosen = _split(preset, rest)
    return map(split.architecture, chosen)


def _split(preset: str, rest: str) -> tuple[Split, range]:
    """The split that a spec names, which may be a folder that `archrep sample` wrote, and the indices in it."""
    name, _, span = rest.partition(":")
    if name in LIMITS[preset]:
        split: Split = Generated(preset, name)
        return split, indices(span, len(split), f"{preset}:{name}")
    folder, _, span = rest.rpartition(":")  # the folder itself may hold colons
    if Path(rest).exists() or not re.fullmatch(r"\d+(-\d+)?", span):
        folder, span = rest, ""
    if not Path(folder).is_dir():
        raise unknown(
            f"split of {preset}", name, split_sizes(preset), " A folder that `archrep sample` wrote is one, too."
        )
    split = Store(folder)
    if split.space != preset:
        raise ArchrepError(f"{folder} holds {split.request}: its spec is {split.space}:{rest}.")
    return split, indices(span, len(split), f"{preset}:{folder}")


def split_of(spec: str) -> tuple[Split, range]:
    """The DeepNets split that a spec names, and the indices it chooses.

    Raises:
        ArchrepError: if the spec names no DeepNets split, or none that can be read.
    """
    space, _, rest = spec.partition(":")
    if space == "deepnets-official":
        return official_split(space, rest)
    if space not in LIMITS:
        raise unknown("DeepNets space", space, [*LIMITS, "deepnets-official"])
    if re.match("predefined(:|$)", rest):
        raise ArchrepError(f"{spec}: these networks have no genotypes; `archrep.architectures` gives them.")
    return _split(space, rest)


def split_sizes(preset: str) -> dict[str, int]:
    """Number of architectures in every split of a DeepNets preset."""
    sizes = {name: drawn_from.size for name, drawn_from in LIMITS[preset].items()}
    return sizes | {"predefined": 2} if preset == "deepnets" else sizes


def predefined(index: int) -> Architecture:
    """Of the paper's split "predefined": 0 is ResNet-50 in its CIFAR-10 form, 1 a ViT."""
    if index == 1:
        return deepnet_of(VIT, "deepnets:predefined:1", "deepnets", "predefined")
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
