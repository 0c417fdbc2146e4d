"""NAS-Bench-201 (arXiv:2001.00326): `nasbench201:<arch_str>|all`; a cell alone: `nasbench201-cell:<arch_str>|all`.

A cell has the nodes 0 (its input) … 3 (its output) and an operation on each of its six edges. `<arch_str>` is the
benchmark's string: nodes 1 … 3 joined by `+`, each the list `|operation~source|…|` of its incoming edges.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archrep.errors import ArchrepError, lookup
from archrep.space.architecture import Architecture
from archrep.space.nasbench import Emitter, architecture, conv_bn

CHANNELS = 16  # of the stem and the first stage
CELLS = 5  # per stage
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # (source, target), as the string lists them
ARCH_STR = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
PATTERN = re.compile(re.escape(ARCH_STR).replace(r"\{\}", "([^|~+]*)"))


def nasbench201(space: str, rest: str) -> Iterator[Architecture]:
    """One architecture, or with `all` the 15,625 of the benchmark.

    The order of `all` is that of `itertools.product` over the six edges as the string lists them: the last edge
    changes fastest, operations come in the order of `OPERATIONS`. It is not the benchmark's index, which is random.

    Args:
        space: `nasbench201` for the whole network on (3, 32, 32); `nasbench201-cell` for one cell as a network of its
            own on (16, 32, 32), without stem and classifier.
        rest: the benchmark's string, or `all`.

    Raises:
        ArchrepError: for a malformed string or an unknown operation.
    """
    chosen = product(OPERATIONS, repeat=len(EDGES)) if rest == "all" else iter([_parse(space, rest)])
    return (_architecture(space, operations) for operations in chosen)


def _parse(space: str, arch_str: str) -> tuple[str, ...]:
    match = PATTERN.fullmatch(arch_str)
    if not match:
        form = ARCH_STR.format(*["OP"] * len(EDGES))
        raise ArchrepError(
            f"{space}:{arch_str}: not an architecture of NAS-Bench-201. Expected {space}:{form} or {space}:all; "
            f"OP is one of {', '.join(OPERATIONS)}."
        )
    for name in match.groups():
        lookup(OPERATIONS, name, f"operation in {space}:{arch_str}:")
    return match.groups()


def _architecture(space: str, operations: Sequence[str]) -> Architecture:
    spec = f"{space}:{ARCH_STR.format(*operations)}"
    if space == "nasbench201-cell":
        emit = partial(_emit_cell, x=0, operations=operations, name="", c=CHANNELS)
        return architecture(spec, space, partial(Cell, operations, CHANNELS), emit, (CHANNELS, 32, 32))
    return architecture(spec, space, partial(NASBench201, operations), partial(_emit, operations=operations))


def _emit(e: Emitter, operations: Sequence[str]) -> int | None:
    """The operations of `NASBench201`."""
    c = CHANNELS
    x = e.conv_bn(0, "stem", (c, 3, 3, 3))
    for layer in range(3 * CELLS + 2):
        if layer % (CELLS + 1) == CELLS:
            x, c = _emit_residual(e, x, f"layers.{layer}", c), 2 * c
        else:
            x = _emit_cell(e, x, operations, f"layers.{layer}.", c)
    return e.classifier(e.batch_norm(x, "norm", c), c)


def _emit_residual(e: Emitter, x: int | None, name: str, c: int) -> int | None:
    e.side //= 2
    y = e.layer("conv", e.pool("avg_pool", x, 2), {f"{name}.shortcut.1.weight": (2 * c, c, 1, 1)})
    x = e.conv_bn(x, f"{name}.body.0", (2 * c, c, 3, 3), first=1)
    x = e.conv_bn(x, f"{name}.body.1", (2 * c, 2 * c, 3, 3), first=1)
    return None if x is None or y is None else e.add("sum", y, x)


def _emit_cell(e: Emitter, x: int | None, operations: Sequence[str], name: str, c: int) -> int | None:
    """The operations of `Cell`; those that nothing reaches leave their parameters only."""
    nodes = {0: x}
    present = [(edge, operation) for edge, operation in zip(EDGES, operations, strict=True) if operation != "none"]
    for number, ((source, target), operation) in enumerate(present):
        y = nodes.get(source)
        if kernel := {"nor_conv_1x1": 1, "nor_conv_3x3": 3}.get(operation):
            y = e.conv_bn(y, f"{name}operations.{number}", (c, c, kernel, kernel), first=1)
        elif operation == "avg_pool_3x3":
            y = e.pool("avg_pool", y, 3)
        before = nodes.get(target)
        if y is not None:
            nodes[target] = y if before is None else e.add("sum", before, y)
    return nodes.get(3)


class NASBench201(nn.Module):
    """The whole CIFAR-10 network (paper, § 2.1): images (B, 3, H, W) to logits (B, 10).

    Stem, three stages of five cells with 16, 32 and 64 channels, a residual block with stride 2 before the second and
    the third stage.
    """

    def __init__(self, operations: Sequence[str]) -> None:
        super().__init__()
        c = CHANNELS
        self.stem = nn.Sequential(*conv_bn(3, c, 3))
        layers: list[nn.Module] = []
        for stage in range(3):
            if stage > 0:
                layers.append(ResidualBlock(c, 2 * c))
                c *= 2
            layers += [Cell(operations, c) for _ in range(CELLS)]
        self.layers = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(c)
        self.classifier = nn.Linear(c, 10)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 10)."""
        x = F.relu(self.norm(self.layers(self.stem(images))))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


class ResidualBlock(nn.Module):
    """Two 3×3 ReLU-Conv-BN, the first with stride 2, beside 2×2 average pooling and a 1×1 convolution."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_relu_conv_bn(c_in, c_out, 3, 2), _relu_conv_bn(c_out, c_out, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) → (B, c_out, H/2, W/2)."""
        return self.shortcut(x) + self.body(x)


class Cell(nn.Module):
    """One cell: every node is the sum of its incoming edges (paper, § 2.1).

    An edge `none` carries nothing, nor does any edge from a node that receives nothing; an output that receives
    nothing is zero. The benchmark's code computes such edges with zeros, where ReLU-Conv-BN gives its norm's bias:
    zero at initialisation, and never dependent on the input. Here those parameters exist but stay unused.
    """

    def __init__(self, operations: Sequence[str], c: int) -> None:
        super().__init__()
        present = [(edge, name) for edge, name in zip(EDGES, operations, strict=True) if name != "none"]
        self.edges = [edge for edge, _ in present]
        self.operations = nn.ModuleList([OPERATIONS[name](c) for _, name in present])

    def forward(self, x: Tensor) -> Tensor:
        """(B, c, H, W) → (B, c, H, W)."""
        nodes: dict[int, Tensor] = {0: x}
        for (source, target), operation in zip(self.edges, self.operations, strict=True):
            if source in nodes:
                y = operation(nodes[source])
                nodes[target] = nodes[target] + y if target in nodes else y
        return nodes[3] if 3 in nodes else torch.zeros(x.shape, dtype=x.dtype, device=x.device)


def _relu_conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.ReLU(), *conv_bn(c_in, c_out, kernel, stride))


# By channels. `none` has no module: a cell leaves the edge out.
OPERATIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda c: nn.Identity(),
    "skip_connect": lambda c: nn.Identity(),
    "nor_conv_1x1": lambda c: _relu_conv_bn(c, c, 1),
    "nor_conv_3x3": lambda c: _relu_conv_bn(c, c, 3),
    "avg_pool_3x3": lambda c: nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
}
