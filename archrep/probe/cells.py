"""Cells of the NAS spaces, read from the architecture's spec: nothing is captured or built.

NAS-Bench-201 has operations on edges, NAS-Bench-101 on vertices, NAS-Bench-Macro a chain of layers.
"""

from collections.abc import Sequence
from itertools import combinations

from archrep.errors import ArchrepError
from archrep.space import Architecture
from archrep.space.nasbench201 import EDGES, PATTERN

CELL_SPACES = ("nasbench201", "nasbench201-cell", "nasbench101", "nasbench_macro")
WHOLE = "network"  # argument of encoders: look at the whole network even where there is a cell


def has_cell(architecture: Architecture) -> bool:
    """Whether the architecture's space describes it by a cell that this module reads."""
    return architecture.space in CELL_SPACES


def cell_space(architectures: Sequence[Architecture], encoder: str, argument: str = "") -> str:
    """The one NAS space of all cells; empty if none has a cell, or if the argument is `network`.

    Raises:
        ArchrepError: for another argument, or cells of several spaces or beside networks without cells.
    """
    if argument not in ("", WHOLE):
        raise ArchrepError(f"{encoder}:{argument}: expected {encoder} or {encoder}:{WHOLE}.")
    spaces = {a.space.removesuffix("-cell") if has_cell(a) else "" for a in architectures}
    if argument == WHOLE or spaces == {""}:
        return ""
    if len(spaces) > 1:
        raise ArchrepError(
            f"The encoder {encoder!r} describes cells, which differ between spaces; got architectures of "
            f"{', '.join(sorted({a.space for a in architectures}))}. Compare them by graph-features:{WHOLE}."
        )
    return spaces.pop()


def genotype_space(architectures: Sequence[Architecture], encoder: str) -> str:
    """The one NAS space of all cells, or `deepnets` for DeepNets genotypes.

    Raises:
        ArchrepError: for architectures without a genotype, or genotypes of several spaces.
    """
    plain = next((a for a in architectures if not has_cell(a) and a.config is None), None)
    if plain is not None:
        raise ArchrepError(
            f"{plain.id}: has no genotype, which the encoder {encoder!r} needs; it takes {', '.join(CELL_SPACES)} "
            "and DeepNets. For other networks use graph-features or wl."
        )
    if not any(has_cell(a) for a in architectures):
        return "deepnets"
    return cell_space(architectures, encoder)


def has_graph(architecture: Architecture) -> bool:
    """Whether there is a computational graph: a NAS-Bench-201 cell may not connect its output to its input."""
    if not architecture.space.startswith("nasbench201"):
        return True
    reached = {0}
    for (source, target), operation in zip(EDGES, operations_201(architecture), strict=True):
        if operation != "none" and source in reached:
            reached.add(target)
    return 3 in reached


def operations_201(architecture: Architecture) -> tuple[str, ...]:
    """The operation on each of the six edges, in the order of `nasbench201.EDGES`."""
    match = PATTERN.fullmatch(_rest(architecture))
    if match is None:
        raise ArchrepError(f"{architecture.id}: not a cell of NAS-Bench-201.")
    return match.groups()


def edges_101(architecture: Architecture) -> tuple[list[tuple[int, int]], str]:
    """Edges (source, target) and the digits of the inner vertices 1 …; the pruned cell, as the spec has it."""
    adjacency, _, ops = _rest(architecture).partition(":")
    pairs = combinations(range(len(ops) + 2), 2)
    return [pair for pair, digit in zip(pairs, adjacency, strict=True) if digit == "1"], ops


def digits_macro(architecture: Architecture) -> str:
    """The eight digits, one per layer."""
    return _rest(architecture)


def _rest(architecture: Architecture) -> str:
    return architecture.id.partition(":")[2]
