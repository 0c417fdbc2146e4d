"""Groups: architectures that must not stand on both sides of a split (design: functional class)."""

from collections.abc import Callable, Sequence

import numpy as np

from archrep.errors import lookup
from archrep.probe.cells import digits_macro, edges_101, operations_201
from archrep.space import Architecture
from archrep.space.nasbench201 import EDGES
from archrep.space.nasbench_macro import STAGES


def group_of(architectures: Sequence[Architecture]) -> np.ndarray:
    """(n,) labels: the functional class where the space has one, else the graph hash without shapes."""
    return np.array(
        [
            f"{a.space}:{functional_class(a)}" if a.space in NORMAL_FORMS else a.graph.hash(shapes=False)
            for a in architectures
        ]
    )


def functional_class(architecture: Architecture) -> str:
    """The normal form of a NAS cell's output as an expression in its input x.

    None-edges and dead nodes are dropped, skip is the identity, sums are sorted multisets, and a sub-expression looks
    alike whether it is shared or repeated. All 15,625 NAS-Bench-201 cells fall into 5,390 classes, the 6,561
    NAS-Bench-Macro networks into 3,969 (arXiv:2103.11922, § 4.1).

    Raises:
        ArchrepError: in a space without cells.
    """
    return lookup(NORMAL_FORMS, architecture.space, "space with functional classes")(architecture)


def _nasbench201(architecture: Architecture) -> str:
    """Terms are written `(sum)@operation`; an output that does not depend on x is `0`.

    The benchmark's own canonicaliser, but with zeros dropped from sums (it keeps them: 6,466 classes). Like there, a
    sum that a skip passes on is sorted as one term, by its text: addition is commutative here, not quite associative,
    and the number of classes depends on the notation. With such sums flattened there are 4,930.
    """
    nodes = {0: "x"}
    for target in (1, 2, 3):
        terms = [
            nodes[source] if operation == "skip_connect" else f"({nodes[source]})@{operation}"
            for (source, end), operation in zip(EDGES, operations_201(architecture), strict=True)
            if end == target and operation != "none" and source in nodes
        ]
        if terms:
            nodes[target] = "+".join(sorted(terms))
    return nodes.get(3, "0")


def _nasbench101(architecture: Architecture) -> str:
    """Vertices are written `digit(sum)`, every x in a sum is projected; the output concatenates, or adds x.

    Concatenation is sorted: the order of channels carries no meaning. Channel counts, which depend on how many
    vertices feed the output, follow from the expression except where sharing changes them.
    """
    edges, ops = edges_101(architecture)
    last = len(ops) + 1
    states = {0: "x"}
    for vertex in range(1, last):
        terms = sorted(states[u] for u, v in edges if v == vertex)
        states[vertex] = f"{ops[vertex - 1]}({'+'.join(terms)})"
    ends = sorted(states[u] for u, v in edges if v == last and u > 0)
    return f"[{','.join(ends)}]" + ("+x" if (0, last) in edges else "")


def _nasbench_macro(architecture: Architecture) -> str:
    """Layers in order, stages apart; identity is left out where it changes no shape (not in a stage's first layer)."""
    digits, stages = digits_macro(architecture), []
    for _, layers in STAGES:
        stages.append(digits[0] + digits[1:layers].replace("0", ""))
        digits = digits[layers:]
    return "|".join(stages)


NORMAL_FORMS: dict[str, Callable[[Architecture], str]] = {
    "nasbench101": _nasbench101,
    "nasbench201": _nasbench201,
    "nasbench201-cell": _nasbench201,
    "nasbench_macro": _nasbench_macro,
}
