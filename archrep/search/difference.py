"""What differs between two architectures, in words."""

import dataclasses
from collections import Counter

from archrep.errors import ArchrepError
from archrep.probe.cells import digits_macro, operations_201
from archrep.probe.groups import NORMAL_FORMS, functional_class
from archrep.space import Architecture
from archrep.space.deepnets.config import DeepNetConfig
from archrep.space.nasbench201 import EDGES

SAME = "computes the same"


def difference(one: Architecture, other: Architecture) -> str:
    """From `one` to `other`: operations of a cell, arguments of a DeepNets architecture, else counts of primitives.

    Raises:
        ArchrepError: if a graph is needed and cannot be captured.
    """
    if one.space == other.space and one.space in NORMAL_FORMS:
        parts = _cells(one, other)
        return "; ".join([SAME, *parts] if functional_class(one) == functional_class(other) else parts)
    if one.config is not None and other.config is not None:
        parts = _configs(one.config, other.config)
    else:
        parts = _graphs(one, other)
    return "; ".join(parts) or ("same counts, wired otherwise" if one.graph.hash() != other.graph.hash() else SAME)


def _cells(one: Architecture, other: Architecture) -> list[str]:
    if one.space.startswith("nasbench201"):
        pairs = zip(EDGES, operations_201(one), operations_201(other), strict=True)
        return [f"edge {u}→{v}: {a} → {b}" for (u, v), a, b in pairs if a != b]
    if one.space == "nasbench_macro":
        layers = enumerate(zip(digits_macro(one), digits_macro(other), strict=True))
        return [f"layer {i}: {a} → {b}" for i, (a, b) in layers if a != b]
    return _graphs(one, other)


def _configs(one: DeepNetConfig, other: DeepNetConfig) -> list[str]:
    fields = [f.name for f in dataclasses.fields(DeepNetConfig) if f.name != "genotype"]
    changed = [(name, getattr(one, name), getattr(other, name)) for name in fields]
    parts = [f"{name} {_plain(a)} → {_plain(b)}" for name, a, b in changed if a != b]
    for cell in ("normal", "reduce"):
        a, b = (Counter(op for op, _ in getattr(c.genotype, cell)) for c in (one, other))
        if a != b:
            parts.append(f"{cell} cell {_counts(a, b)}")
        elif getattr(one.genotype, cell) != getattr(other.genotype, cell):
            parts.append(f"{cell} cell wired otherwise")
    return parts


def _graphs(one: Architecture, other: Architecture) -> list[str]:
    a, b = Counter(one.graph.primitives), Counter(other.graph.primitives)
    parts = [_counts(a, b)] if a != b else []
    params = one.graph.num_params, other.graph.num_params
    if params[0] != params[1]:
        parts.append(f"parameters {params[0]:,} → {params[1]:,}")
    return parts


def _counts(a: Counter, b: Counter) -> str:
    """`+2 conv, -1 bn`: what comes to a to make it b, largest changes first."""
    changes = {name: b[name] - a[name] for name in sorted(a | b) if a[name] != b[name]}
    return ", ".join(f"{change:+d} {name}" for name, change in sorted(changes.items(), key=lambda c: -abs(c[1])))


def _plain(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def difference_or_reason(one: Architecture, other: Architecture) -> str:
    """Like `difference`; what cannot be captured is said instead of raised, so that the other neighbours are shown."""
    try:
        return difference(one, other)
    except ArchrepError as error:
        return f"unknown ({error})"
