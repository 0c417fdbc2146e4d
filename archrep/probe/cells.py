"""Cells of the NAS spaces, read from the architecture's spec: nothing is captured or built.

NAS-Bench-201 has operations on edges, NAS-Bench-101 on vertices, NAS-Bench-Macro a chain of layers.
"""

from itertools import combinations

from archrep.errors import ArchrepError
from archrep.space import Architecture
from archrep.space.nasbench201 import EDGES, PATTERN

CELL_SPACES = ("nasbench201", "nasbench201-cell", "nasbench101", "nasbench_macro")


def has_cell(architecture: Architecture) -> bool:
    """Whether the architecture's space describes it by a cell that this module reads."""
    return architecture.space in CELL_SPACES


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
