"""NAS-Bench-101 (arXiv:1902.09635): `nasbench101:<adj_upper>:<ops>`.

A cell has the vertices 0 (its input) … n-1 (its output), n ≤ 7, and at most 9 edges. `<adj_upper>` is the upper
triangle of its adjacency matrix, row by row, as 0 and 1; `<ops>` one digit per inner vertex: 0 conv3x3-bn-relu,
1 conv1x1-bn-relu, 2 maxpool3x3. As in the benchmark, vertices on no path from input to output are pruned before the
network is built: the canonical id lacks them.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial, reduce
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archrep.errors import ArchrepError
from archrep.space.architecture import Architecture
from archrep.space.nasbench import Emitter, architecture, conv_bn

MAX_VERTICES, MAX_EDGES = 7, 9  # paper, § 2
CHANNELS = 128  # of the stem and the first stack
STACKS = CELLS = 3  # stacks per network, cells per stack
OPERATIONS: dict[str, Callable[[int], nn.Module]] = {
    "0": lambda c: _conv_bn_relu(c, c, 3),
    "1": lambda c: _conv_bn_relu(c, c, 1),
    "2": lambda c: nn.MaxPool2d(3, stride=1, padding=1),
}


@dataclass(frozen=True)
class Genotype:
    """A cell: `edges` as (source, target) with source < target, `ops` as in the spec."""

    edges: frozenset[tuple[int, int]]
    ops: str

    @property
    def last(self) -> int:
        """The output vertex."""
        return len(self.ops) + 1

    def __str__(self) -> str:
        return "".join("01"[pair in self.edges] for pair in _pairs(self.last + 1)) + f":{self.ops}"


@cache
def _pairs(n: int) -> tuple[tuple[int, int], ...]:
    """The upper triangle, row by row; the same objects for all cells, of which there may be millions."""
    return tuple(combinations(range(n), 2))


def nasbench101(space: str, rest: str) -> Iterator[Architecture]:
    """The one architecture that an adjacency matrix and operations name.

    Raises:
        ArchrepError: for a malformed spec, an output that is not connected to the input, or too many edges.
    """
    genotype = _pruned(_parse(space, rest))
    if not genotype.edges:
        raise ArchrepError(f"{space}:{rest}: no path from the cell's input to its output. Give a connected cell.")
    if len(genotype.edges) > MAX_EDGES:
        raise ArchrepError(f"{space}:{rest}: {len(genotype.edges)} edges; NAS-Bench-101 has cells up to {MAX_EDGES}.")
    emit = partial(_emit, genotype=genotype)
    return iter([architecture(f"{space}:{genotype}", space, partial(NASBench101, genotype), emit)])


def _parse(space: str, rest: str) -> Genotype:
    adjacency, _, ops = rest.partition(":")
    n = len(ops) + 2
    pairs = _pairs(n) if n <= MAX_VERTICES else ()
    if (
        not re.fullmatch("[01]+", adjacency)
        or not re.fullmatch("[012]*", ops)
        or n > MAX_VERTICES
        or len(adjacency) != len(pairs)
    ):
        raise ArchrepError(
            f"{space}:{rest}: expected {space}:ADJ_UPPER:OPS with n(n-1)/2 digits 0 or 1 and n-2 digits 0 (conv3x3), "
            f"1 (conv1x1) or 2 (maxpool3x3), for n = 2 … {MAX_VERTICES} vertices; got {len(adjacency)} and {len(ops)}."
        )
    return Genotype(frozenset(pair for pair, digit in zip(pairs, adjacency, strict=True) if digit == "1"), ops)


def _pruned(genotype: Genotype) -> Genotype:
    """Only vertices on a path from input to output, and the edges between them."""
    ahead, behind = {0}, {genotype.last}
    for source, target in sorted(genotype.edges):
        if source in ahead:
            ahead.add(target)
    for source, target in sorted(genotype.edges, key=lambda edge: -edge[1]):
        if target in behind:
            behind.add(source)
    kept = sorted((ahead & behind) | {0, genotype.last})
    if len(kept) == genotype.last + 1:
        return genotype
    number = {vertex: i for i, vertex in enumerate(kept)}
    edges = frozenset((number[u], number[v]) for u, v in genotype.edges if u in number and v in number)
    return Genotype(edges, "".join(genotype.ops[v - 1] for v in kept[1:-1]))


def vertex_channels(genotype: Genotype, c_in: int, c_out: int) -> list[int]:
    """Channels of every vertex of a pruned cell (paper, § 2).

    The output's channels are divided among the inner vertices that feed it, the earlier ones get the remainder. Any
    other inner vertex has as many as the widest vertex it feeds.
    """
    last, edges = genotype.last, genotype.edges
    channels = [c_in] + [0] * (last - 1) + [c_out]
    feeding = [v for v in range(1, last) if (v, last) in edges]
    for i, v in enumerate(feeding):
        channels[v] = c_out // len(feeding) + (i < c_out % len(feeding))
    for v in reversed(range(1, last)):
        if v not in feeding:
            channels[v] = max(channels[w] for w in range(v + 1, last) if (v, w) in edges)
    return channels


def _emit(e: Emitter, genotype: Genotype) -> int | None:
    """The operations of `NASBench101`."""
    x = e.conv_bn(0, "stem", (CHANNELS, 3, 3, 3))
    c_in = CHANNELS
    for layer in range(STACKS * (CELLS + 1) - 1):
        stack, cell = divmod(layer, CELLS + 1)
        if cell == CELLS:
            x = e.pool("max_pool", x, 2)
            e.side //= 2
        else:
            x = _emit_cell(e, x, genotype, f"layers.{layer}", c_in, CHANNELS << stack)
            c_in = CHANNELS << stack
    return e.classifier(x, c_in)


def _emit_cell(e: Emitter, x: int | None, genotype: Genotype, name: str, c_in: int, c_out: int) -> int | None:
    """The operations of `Cell`."""
    channels, last, edges = vertex_channels(genotype, c_in, c_out), genotype.last, genotype.edges
    states: dict[int, int | None] = {}

    def received(v: int, terms: list[int | None]) -> int | None:
        if (0, v) in edges:
            terms = [*terms, e.conv_bn(x, f"{name}.projections.{v}", (channels[v], c_in, 1, 1))]
        return reduce(lambda a, b: e.add("sum", a, b), terms)  # type: ignore[arg-type]

    for v, op in enumerate(genotype.ops, start=1):
        y = received(v, [states[u] for u in range(1, v) if (u, v) in edges])
        if op == "2":
            states[v] = e.pool("max_pool", y, 3)
        else:
            kernel = 3 if op == "0" else 1
            states[v] = e.conv_bn(y, f"{name}.vertices.{v - 1}", (channels[v], channels[v], kernel, kernel))
    ends = [states[v] for v in states if (v, last) in edges]
    return received(last, [e.add("concat", *ends)] if ends else [])  # type: ignore[arg-type]


class NASBench101(nn.Module):
    """The whole network (paper, § 2): images (B, 3, H, W) to logits (B, 10).

    Stem, three stacks of three cells with 128, 256 and 512 channels, 2×2 max pooling between stacks.
    """

    def __init__(self, genotype: Genotype) -> None:
        super().__init__()
        c_in = CHANNELS
        layers: list[nn.Module] = []
        for stack in range(STACKS):
            if stack > 0:
                layers.append(nn.MaxPool2d(2))
            for _ in range(CELLS):
                c = CHANNELS << stack
                layers.append(Cell(genotype, c_in, c))
                c_in = c
        self.stem = _conv_bn_relu(3, CHANNELS, 3)
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(c_in, 10)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 10)."""
        return self.classifier(F.adaptive_avg_pool2d(self.layers(self.stem(images)), 1).flatten(1))


class Cell(nn.Module):
    """One cell: inner vertices add what they receive, the output concatenates it (paper, § 2).

    Every edge from the input is a 1×1 projection of its own; one to the output is added to the concatenation. What
    comes from a vertex with one channel more loses its last channel.
    """

    def __init__(self, genotype: Genotype, c_in: int, c_out: int) -> None:
        super().__init__()
        self.genotype = genotype
        self.channels = vertex_channels(genotype, c_in, c_out)
        projected = [v for u, v in sorted(genotype.edges) if u == 0]
        self.projections = nn.ModuleDict({str(v): _conv_bn_relu(c_in, self.channels[v], 1) for v in projected})
        operations = zip(genotype.ops, self.channels[1:-1], strict=True)
        self.vertices = nn.ModuleList([OPERATIONS[op](c) for op, c in operations])

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) → (B, c_out, H, W)."""
        states: dict[int, Tensor] = {}
        for v, operation in enumerate(self.vertices, start=1):
            terms = [states[u][:, : self.channels[v]] for u in range(1, v) if (u, v) in self.genotype.edges]
            states[v] = operation(reduce(torch.add, terms + self._projection(x, v)))
        last = self.genotype.last
        ends = [state for v, state in states.items() if (v, last) in self.genotype.edges]
        concatenated = [torch.cat(ends, dim=1)] if ends else []
        return reduce(torch.add, concatenated + self._projection(x, last))

    def _projection(self, x: Tensor, v: int) -> list[Tensor]:
        """What vertex v receives from the input: nothing or one tensor (B, channels of v, H, W)."""
        return [self.projections[str(v)](x)] if str(v) in self.projections else []


def _conv_bn_relu(c_in: int, c_out: int, kernel: int) -> nn.Module:
    return nn.Sequential(*conv_bn(c_in, c_out, kernel), nn.ReLU())
