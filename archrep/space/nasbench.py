"""What the three NAS-Bench spaces share: graphs emitted from the genotype, and a convolution with its batch norm."""

from collections.abc import Callable
from functools import lru_cache
from math import prod

from torch import nn

from archrep.errors import CaptureError
from archrep.graph.archgraph import ArchGraph, Shape
from archrep.graph.build import Nodes, Op, build_graph, wire
from archrep.space.architecture import Architecture


class Emitter:
    """Collects the operations of a network in the order in which it runs them, as capture would record them.

    Nothing is built or traced: that takes 0.1 s per network, and there are 15,625 cells in NAS-Bench-201 alone. Tests
    hold the graphs against the captured ones. Activations, reshapes and slices carry no structure and are left out.
    An operation is its position; None stands for what does not depend on the input.

    Attributes:
        ops: the operations; the first one is the network's input.
        param_shapes: of every parameter, also of those that the forward pass never uses.
        side: height and width of what the next convolution gives. macs: multiply-accumulates so far, per image.
    """

    def __init__(self) -> None:
        self.ops = [Op("input")]
        self.param_shapes: dict[str, Shape] = {}
        self.side = 32
        self.macs = 0

    def add(self, primitive: str, *inputs: int, shape: Shape = ()) -> int:
        """An operation without parameters."""
        self.ops.append(Op(primitive, tuple(dict.fromkeys(inputs)), shape=shape))
        return len(self.ops) - 1

    def pool(self, primitive: str, x: int | None, kernel: int) -> int | None:
        """Pooling."""
        return None if x is None else self.add(primitive, x, shape=(1, 1, kernel, kernel))

    def layer(self, primitive: str, x: int | None, params: dict[str, Shape]) -> int | None:
        """An operation with parameters, the main one first."""
        self.param_shapes.update(params)
        if x is None:
            return None
        names = tuple(params)
        if len(shape := params[names[0]]) > 1:
            self.macs += prod(shape) * (self.side**2 if len(shape) == 4 else 1)
        self.ops.append(Op(primitive, (x,), names, params[names[0]]))
        return len(self.ops) - 1

    def conv_bn(self, x: int | None, name: str, shape: Shape, first: int = 0, primitive: str = "conv") -> int | None:
        """What `conv_bn` below makes, as the modules `first` and `first + 1` of a sequence of that name."""
        x = self.layer(primitive, x, {f"{name}.{first}.weight": shape})
        return self.batch_norm(x, f"{name}.{first + 1}", shape[0])

    def batch_norm(self, x: int | None, name: str, c: int) -> int | None:
        """Batch norm: one node for both of its parameters."""
        return self.layer("bn", x, {f"{name}.weight": (c,), f"{name}.bias": (c,)})

    def classifier(self, x: int | None, c: int) -> int | None:
        """Global average pooling and the linear layer `classifier`."""
        x = None if x is None else self.add("glob_avg", x)
        x = self.layer("linear", x, {"classifier.weight": (10, c)})
        return self.layer("bias", x, {"classifier.bias": (10,)})


def architecture(
    spec: str,
    space: str,
    make: Callable[[], nn.Module],
    emit: Callable[[Emitter], int | None],
    input_shape: Shape = (3, 32, 32),
) -> Architecture:
    """An architecture of a NAS-Bench space.

    Args:
        make: builds the network.
        emit: puts its operations into an emitter, returns the one whose result is the network's output.
    """

    def graph(vocabulary: str) -> ArchGraph:
        emitter = Emitter()
        output = emit(emitter)
        if output is None:
            raise CaptureError("The network's output does not depend on its input: no path joins them.")
        structure = tuple((op.primitive, op.inputs) for op in emitter.ops)
        return build_graph(emitter.ops, output, emitter.param_shapes, vocabulary, _wired(structure, output, vocabulary))

    def flops() -> int:
        emitter = Emitter()
        emit(emitter)
        return 2 * emitter.macs

    return Architecture(spec, space, "", graph, make, input_shape, make_flops=flops)


@lru_cache(maxsize=512)
def _wired(structure: tuple[tuple[str, tuple[int, ...]], ...], output: int, vocabulary: str) -> Nodes:
    """How operations are joined, which takes half of the time; networks that differ in shapes only share it."""
    return wire([Op(primitive, inputs) for primitive, inputs in structure], output, vocabulary)


def conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Convolution without bias, (B, c_in, H, W) → (B, c_out, H/stride, W/stride), and its batch norm."""
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(c_out)
