"""From a recorded list of operations to an ArchGraph: the one canonicaliser of capture and DeepNets.

An operation list is in execution order, so it is topologically sorted. What carries no structure
(activations, reshapes, unknown operations) is contracted: its predecessors and successors are joined.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from archrep.errors import CaptureError
from archrep.graph.archgraph import ArchGraph, Shape
from archrep.graph.primitives import NEAREST, VOCABULARIES


@dataclass
class Op:
    """One operation.

    Attributes:
        primitive: its kind, a name of the extended vocabulary; None if the operation carries no structure.
        inputs: positions of the operations whose results it takes.
        params: names of the parameters it owns, the main one first.
        shape: shape of the main parameter, or a pooling kernel as (1, 1, height, width).
    """

    primitive: str | None
    inputs: tuple[int, ...] = ()
    params: tuple[str, ...] = ()
    shape: Shape = ()


def build_graph(
    ops: Sequence[Op],
    output: int,
    param_shapes: Mapping[str, Shape],
    vocabulary: str = "released",
    nodes: "Nodes | None" = None,
) -> ArchGraph:
    """Builds the computational graph of everything that `ops[output]` depends on.

    Args:
        ops: operations in execution order; the first one is the network's input.
        output: position of the operation whose result is the network's output.
        param_shapes: shape of every parameter of the network.
        vocabulary: "released" or "extended"; kinds that it does not have become their nearest primitive.
        nodes: `wire(ops, output, vocabulary)` where it is known already.

    Raises:
        CaptureError: if the output does not depend on the input.
    """
    nodes = nodes or wire(ops, output, vocabulary)
    kept = [ops[i] for i in nodes.inputs]
    used = {name for op in kept for name in op.params}
    graph = ArchGraph()
    graph.num_nodes = len(kept)
    with torch.device("cpu"):  # whatever device the caller has set
        graph.primitive = torch.tensor(nodes.primitive)  # (N,)
        graph.shape = torch.tensor([as_4d(op.shape) for op in kept])  # (N, 4)
        graph.edge_index = torch.tensor(nodes.edges, dtype=torch.int64).reshape(-1, 2).t().contiguous()  # (2, E)
    names = VOCABULARIES[vocabulary]
    graph.vocabulary = vocabulary
    graph.kinds = [op.primitive or names[i] for i, op in zip(nodes.primitive, kept, strict=True)]
    graph.param_names = [op.params[0] if op.params else None for op in kept]
    graph.parameters = [op.params for op in kept]
    graph.parameter_shapes = [tuple(tuple(param_shapes[name]) for name in op.params) for op in kept]
    graph.tied = {}
    graph.unused = tuple(name for name in param_shapes if name not in used)
    return graph


@dataclass(frozen=True)
class Nodes:
    """The operations that are nodes of a graph, in its order.

    Attributes:
        inputs: position of the operation → positions of those that its node is joined to.
        primitive: index into the vocabulary, per node.
    """

    inputs: Mapping[int, set[int]]
    primitive: list[int]

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Pairs u → v of nodes, sorted by v, then u."""
        node = {i: n for n, i in enumerate(self.inputs)}
        return [(node[u], node[v]) for v, before in self.inputs.items() for u in sorted(before)]


def wire(ops: Sequence[Op], output: int, vocabulary: str = "released") -> Nodes:
    """Which operations are nodes, and how they are joined; arguments and errors are those of `build_graph`."""
    alive = _ancestors(ops, output)
    if 0 not in alive:
        raise CaptureError("The network's output does not depend on its input: no path joins them.")
    inputs = {i: set(ops[i].inputs) for i in alive}
    names = VOCABULARIES[vocabulary]
    primitive = {i: kind if kind in names else NEAREST.get(kind or "") for i in alive for kind in [ops[i].primitive]}
    primitive[output] = primitive[output] or "concat"  # several nodes that end in it still give one output
    inputs = _contract(inputs, lambda i, _: primitive[i] is None)
    # Sums before concatenations, as in the released graphs: a sum of x and concat(x) keeps its node.
    inputs = _contract(inputs, lambda i, before: primitive[i] == "sum" and len(before) < 2)
    inputs = _contract(inputs, lambda i, before: primitive[i] == "concat" and len(before) < 2)
    return Nodes(inputs, [names.index(primitive[i] or "") for i in inputs])


def as_4d(shape: Shape) -> tuple[int, int, int, int]:
    """Shape as (out, in, height, width).

    Rank 3 of the form (1, tokens, channels) is a position encoding, seen as (1, channels, √tokens, √tokens);
    a missing shape becomes zeros.
    """
    if len(shape) == 0:
        return (0, 0, 0, 0)
    if len(shape) == 3:
        first, second, third = shape
        if first == 1 and min(second, third) > 1:
            side = int(second**0.5)
            return (1, third, side, side)
        return (first, second, third, 1)
    out, into, height, width = (*shape[:4], 1, 1, 1)[:4]
    return (out, into, height, width)


def _ancestors(ops: Sequence[Op], output: int) -> list[int]:
    alive, stack = {output}, [output]
    while stack:
        for i in ops[stack.pop()].inputs:
            if i not in alive:
                alive.add(i)
                stack.append(i)
    return sorted(alive)


def _contract(inputs: dict[int, set[int]], drop: Callable[[int, set[int]], bool]) -> dict[int, set[int]]:
    """Removes the nodes that `drop(node, its predecessors)` names, joining their neighbours."""
    kept: dict[int, set[int]] = {}
    stands_for: dict[int, set[int]] = {}
    for i, direct in inputs.items():
        before = stands_for[next(iter(direct))] if len(direct) == 1 else set().union(*(stands_for[j] for j in direct))
        if drop(i, before):
            stands_for[i] = before
        else:
            kept[i] = before
            stands_for[i] = {i}
    return kept
