"""The computational graph, parameter shapes and cost of a DeepNets network, read from its plan.

Nothing is built or traced: that would take 400 CPU-hours for DeepNets-1M. Tests hold the graph against the
captured one.
"""

from collections.abc import Callable, Set
from functools import cached_property
from math import prod

from archrep.errors import ArchrepError
from archrep.graph.archgraph import ArchGraph, Shape
from archrep.graph.build import Nodes, Op, build_graph, wire
from archrep.space.deepnets.config import MOST_NODES, MOST_PARAMETERS
from archrep.space.deepnets.plan import HEADS, Plan, Step


class Emitter:
    """Collects the operations, parameter shapes and multiply-accumulates of a plan's steps.

    Attributes:
        ops: operations in execution order. cells: the cell of each of them.
        param_shapes: of every parameter of the network, in its order.
        macs: multiply-accumulates per image of all convolutions, linear layers and attention products.
        contracted: names of cse and msa steps whose node is left out, as in some released graphs (space/official.py).
    """

    def __init__(self, plan: Plan, contracted: Set[str] = frozenset()) -> None:
        self.norm = plan.norm
        self.contracted = contracted
        self.ops: list[Op] = [Op("input")]
        self.cells = [0]
        self.param_shapes: dict[str, Shape] = {}
        self.macs = 0
        result = {0: 0}  # step -> operation
        live = set(plan.live)
        for position, step in enumerate(plan.steps[1:], start=1):
            operations, macs = len(self.ops), self.macs
            inputs = tuple(result.get(i, 0) for i in step.inputs)
            result[position] = EMIT.get(step.kind, Emitter.nothing)(self, step, inputs)
            if position not in live:  # its parameters exist, but it never runs
                del self.ops[operations:]
                self.macs = macs
            self.cells += [step.cell] * (len(self.ops) - operations)
        self.output = result[len(plan.steps) - 1]

    def graph(self, vocabulary: str = "released", nodes: Nodes | None = None) -> ArchGraph:
        """The computational graph; `nodes` as in `build_graph`: those of the same genotype in any width."""
        return build_graph(self.ops, self.output, self.param_shapes, vocabulary, nodes)

    @cached_property
    def nodes(self) -> Nodes:
        """The operations that are nodes in the released vocabulary."""
        return wire(self.ops, self.output)

    @cached_property
    def num_params(self) -> int:
        """Parameters of the whole network, those that the forward pass never uses included."""
        return sum(prod(shape) for shape in self.param_shapes.values())

    def checked(self) -> "Emitter":
        """This, before its graph or its network is made: the configuration may come from a file.

        Raises:
            ArchrepError: if it has more nodes or parameters than that of any split.
        """
        sizes = {"operations": (len(self.ops), MOST_NODES), "parameters": (self.num_params, MOST_PARAMETERS)}
        for what, (number, most) in sizes.items():
            if number > most:
                raise ArchrepError(
                    f"A network of {number:,} {what}; DeepNets have up to {most:,}. If its record comes from a file, "
                    "that is damaged: copy it again."
                )
        return self

    # One method per block: appends its operations, returns the position of the last one.

    def add(self, primitive: str | None, inputs: tuple[int, ...], shape: Shape = ()) -> int:
        """An operation without parameters."""
        self.ops.append(Op(primitive, inputs, shape=shape))
        return len(self.ops) - 1

    def layer(self, primitive: str, x: int, params: dict[str, Shape], positions: int = 0) -> int:
        """An operation with parameters, applied at `positions` places of the feature map."""
        names = tuple(params)
        self.param_shapes.update(params)
        self.ops.append(Op(primitive, (x,) if x >= 0 else (), names, params[names[0]]))
        self.macs += positions * prod(params[names[0]])
        return len(self.ops) - 1

    def conv(self, x: int, name: str, shape: Shape, size: int, primitive: str = "conv") -> int:
        """Convolution without bias, with a `size` × `size` output."""
        return self.layer(primitive, x, {f"{name}.weight": shape}, size**2)

    def linear(self, x: int, name: str, c_in: int, c_out: int, bias: bool = True, tokens: int = 1) -> int:
        """Linear layer: a node for the weight, then a `bias` node."""
        x = self.layer("linear", x, {f"{name}.weight": (c_out, c_in)}, tokens)
        return self.layer("bias", x, {f"{name}.bias": (c_out,)}) if bias else x

    def batch_norm(self, x: int, name: str, c: int) -> int:
        """Batch norm, or nothing in a network without."""
        return self.layer("bn", x, _affine(name, c)) if self.norm else x

    def nothing(self, step: Step, inputs: tuple[int, ...]) -> int:
        """What carries no structure."""
        return self.add(None, inputs)


def _affine(name: str, c: int) -> dict[str, Shape]:
    return {f"{name}.weight": (c,), f"{name}.bias": (c,)}


def _stem(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    before_pool = s.size_out * (2 if s.kind == "stem_pool" else 1)
    x = e.conv(inputs[0], f"{s.name}.0", (s.c_out, s.c_in, s.kernel, s.kernel), before_pool)
    x = e.batch_norm(x, f"{s.name}.1", s.c_out)
    return e.add("max_pool", (x,), (1, 1, 3, 3)) if s.kind == "stem_pool" else x


def _stem0(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    half = s.c_out // 2
    x = e.conv(inputs[0], f"{s.name}.0", (half, s.c_in, s.kernel, s.kernel), s.size_in // s.stride)
    x = e.batch_norm(x, f"{s.name}.1", half)
    x = e.conv(x, f"{s.name}.3", (s.c_out, half, 3, 3), s.size_out)
    return e.batch_norm(x, f"{s.name}.4", s.c_out)


def _stem1(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    x = e.conv(inputs[0], f"{s.name}.1", (s.c_out, s.c_in, 3, 3), s.size_out)
    return e.batch_norm(x, f"{s.name}.2", s.c_out)


def _patches(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    return e.conv(inputs[0], s.name, (s.c_out, s.c_in, s.kernel, s.kernel), s.size_out)


def _pos_enc(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    encoding = e.layer("pos_enc", -1, {f"{s.name}.weight": (1, s.c_in, s.kernel, s.kernel)})
    return e.add("sum", (*inputs, encoding))


def _factorized_reduce(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    shape = (s.c_out // 2, s.c_in, 1, 1)
    halves = tuple(e.conv(inputs[0] if inputs else 0, f"{s.name}.conv_{i}", shape, s.size_out) for i in (1, 2))
    return e.batch_norm(e.add("concat", halves), f"{s.name}.bn", s.c_out)


def _conv(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    x = e.conv(inputs[0] if inputs else 0, f"{s.name}.op.1", (s.c_out, s.c_in, s.kernel, s.kernel), s.size_out)
    return e.batch_norm(x, f"{s.name}.op.2", s.c_out)


def _conv2(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    x = inputs[0] if inputs else 0
    x = e.layer("conv", x, {f"{s.name}.op.1.weight": (s.c_in, s.c_in, 1, s.kernel)}, s.size_in * s.size_out)
    x = e.conv(x, f"{s.name}.op.2", (s.c_out, s.c_in, s.kernel, 1), s.size_out)
    return e.batch_norm(x, f"{s.name}.op.3", s.c_out)


def _sep_conv(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    x = inputs[0] if inputs else 0
    for first, c_out in ((1, s.c_in), (5, s.c_out)):
        x = e.conv(x, f"{s.name}.op.{first}", (s.c_in, 1, s.kernel, s.kernel), s.size_out, "sep_conv")
        x = e.conv(x, f"{s.name}.op.{first + 1}", (c_out, s.c_in, 1, 1), s.size_out)
        x = e.batch_norm(x, f"{s.name}.op.{first + 2}", c_out)
    return x


def _dil_conv(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    x = inputs[0] if inputs else 0
    x = e.conv(x, f"{s.name}.op.1", (s.c_in, 1, s.kernel, s.kernel), s.size_out, "dil_conv")
    x = e.conv(x, f"{s.name}.op.2", (s.c_out, s.c_in, 1, 1), s.size_out)
    return e.batch_norm(x, f"{s.name}.op.3", s.c_out)


def _pool(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    return e.add(s.kind, inputs, (1, 1, s.kernel, s.kernel))


def _msa(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    x = inputs[0] if inputs else 0
    c, inner, tokens = s.c_in, s.c_in // HEADS * HEADS, s.size_out**2
    name = s.name
    shapes = {f"{name}.to_qkv.weight": (3 * inner, c), f"{name}.to_out.0.weight": (s.c_out, inner)}
    e.param_shapes.update(shapes | {f"{name}.to_out.0.bias": (s.c_out,)} | _affine(f"{name}.ln1", c))
    y = e.layer("ln", x, _affine(f"{name}.ln1", c))
    y = e.linear(y, f"{name}.to_qkv", c, 3 * inner, bias=False, tokens=tokens)
    y = e.add(None if name in e.contracted else "msa", (y,))
    e.macs += 2 * tokens**2 * inner
    y = e.linear(y, f"{name}.to_out.0", inner, s.c_out, tokens=tokens)
    x = e.add("sum", (x, y))
    y = e.layer("ln", x, _affine(f"{name}.ln2", c))
    y = e.linear(y, f"{name}.ff.net.0", c, s.c_out, tokens=tokens)
    y = e.linear(y, f"{name}.ff.net.3", s.c_out, c, tokens=tokens)
    return e.add("sum", (x, y))


def _cse(e: Emitter, s: Step, inputs: tuple[int, ...]) -> int:
    x = inputs[0] if inputs else 0
    y = e.linear(x, f"{s.name}.fc1", s.c_in, s.c_in // 2)
    y = e.linear(y, f"{s.name}.fc2", s.c_in // 2, s.c_in)
    return e.add(None if s.name in e.contracted else "cse", (x, y))


EMIT: dict[str, Callable[[Emitter, Step, tuple[int, ...]], int]] = {
    "patches": _patches,
    "pos_enc": _pos_enc,
    "stem": _stem,
    "stem_pool": _stem,
    "stem0": _stem0,
    "stem1": _stem1,
    "factorized_reduce": _factorized_reduce,
    "relu_conv_bn": _conv,
    "conv": _conv,
    "conv2": _conv2,
    "sep_conv": _sep_conv,
    "dil_conv": _dil_conv,
    "max_pool": _pool,
    "avg_pool": _pool,
    "msa": _msa,
    "cse": _cse,
    "linear": lambda e, s, inputs: e.linear(inputs[0], s.name, s.c_in, s.c_out),
    "sum": lambda e, s, inputs: e.add("sum", inputs),
    "concat": lambda e, s, inputs: e.add("concat", inputs),
    "glob_avg": lambda e, s, inputs: e.add("glob_avg", inputs),
}
