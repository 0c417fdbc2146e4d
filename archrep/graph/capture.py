"""Capture: the computational graph of any nn.Module, from the calls of one forward pass on the meta device.

A `TorchFunctionMode` sees every call with its tensors; parameters are recognised by identity. Nothing is
computed and no weights are allocated. The network's weights, buffers, mode and all random states stay as
they were.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from archrep.errors import CaptureError, first_line
from archrep.graph.archgraph import ArchGraph, Shape
from archrep.graph.build import Op, build_graph
from archrep.graph.meta import forward_on_meta, meta_parameters

CONVOLUTIONS = {f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3)}
BATCH_NORMS = {"batch_norm", "instance_norm", "group_norm"}
LAYER_NORMS = {"layer_norm", "rms_norm"}
ADDITIONS = {"add", "add_", "__add__", "__radd__", "__iadd__"}
PRODUCTS = {"mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"}
MATRIX_PRODUCTS = {"matmul", "__matmul__", "bmm", "einsum"}
CONCATENATIONS = {"cat", "concat", "concatenate", "hstack", "stack"}
SOFTMAXES = {"softmax", "_softmax"}


def capture(network: nn.Module, input_shape: Sequence[int] = (3, 32, 32)) -> ArchGraph:
    """Captures the computational graph of a network.

    Args:
        network: any module that takes one tensor; with or without allocated weights, in any mode.
        input_shape: shape of one input without the batch dimension.

    Returns:
        The graph; parameters that the forward pass never uses are in `graph.unused`.

    Raises:
        CaptureError: if the forward pass fails on the meta device, its output does not depend on its input,
            or it uses a parameter in an operation that archrep does not know.
    """
    named = dict(network.named_parameters())
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in named.values()):
        raise CaptureError("The network has lazily created layers; run it once on real data, then capture it.")
    parameters = meta_parameters(network)
    images = torch.empty(2, *input_shape, device="meta")
    recorder = _Recorder(parameters, images)
    try:
        with recorder:
            output = forward_on_meta(network, parameters, images)
    except CaptureError:
        raise
    except Exception as error:
        raise CaptureError(
            f"{type(network).__name__} cannot run on inputs of shape {tuple(input_shape)}: {first_line(error)}. "
            "If its inputs have another shape, give input_shape."
        ) from error
    shapes = {name: tuple(p.shape) for name, p in named.items()}
    return build_graph(recorder.ops, recorder.position_of_output(output), shapes)


class _Recorder(TorchFunctionMode):
    """Turns calls into operations (see `build.Op`)."""

    def __init__(self, parameters: dict[str, Tensor], images: Tensor) -> None:
        super().__init__()
        self.ops: list[Op] = [Op("input")]
        self.position: dict[int, int] = {id(images): 0}  # tensor → operation that made it
        self.names: dict[int, tuple[str, ...]] = {id(p): (name,) for name, p in parameters.items()}
        self.shapes: dict[str, Shape] = {name: tuple(p.shape) for name, p in parameters.items()}
        self.owned: set[str] = set()
        self.softmax: set[int] = set()
        self.alive: list[object] = [parameters, images]  # ids stay unique while tensors live

    def position_of_output(self, output: object) -> int:
        """Operation of the first tensor in the network's output."""
        first = next((t for t in tree_leaves(output) if isinstance(t, Tensor)), None)
        if first is None:
            raise CaptureError(f"The network returns no tensor but {type(output).__name__}.")
        if id(first) not in self.position:
            raise CaptureError("The network's output does not depend on its input: no path joins them.")
        return self.position[id(first)]

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        made = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        if name == "__setitem__":
            made = [args[0]]
        if not made:
            return result
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        inputs = tuple(dict.fromkeys(self.position[id(t)] for t in tensors if id(t) in self.position))
        names = tuple(dict.fromkeys(n for t in tensors for n in self.names.get(id(t), ())))
        self.alive.append((result, tensors))
        if inputs:
            position = self._record(name, args, kwargs, tensors, inputs, names)
            self.position.update({id(t): position for t in made})
        elif names:  # a reshaped or otherwise derived parameter still is that parameter
            self.names.update({id(t): names for t in made})
        return result

    def _record(self, name: str, args, kwargs, tensors: list[Tensor], inputs, names) -> int:
        """Appends the operations of one call on data; returns the position of the last one."""
        if name in CONVOLUTIONS or name == "linear":
            return self._weighted(name, args, kwargs, inputs, tensors)
        if name in BATCH_NORMS or name in LAYER_NORMS:
            return self._add("bn" if name in BATCH_NORMS else "ln", inputs, names) if names else self._add(None, inputs)
        if name in ADDITIONS and len(tensors) == 2:
            return self._sum(tensors, inputs)
        if name in CONCATENATIONS:
            tokens = [self._add("pos_enc", (), (n,)) for n in names]
            return self._add("concat", (*inputs, *tokens))
        if name in MATRIX_PRODUCTS and names:
            return self._add("conv", inputs, names)
        if name in PRODUCTS and names and all(_is_vector(self.shapes[n]) for n in names):
            return self._add("ln", inputs, names)  # layer scale: a norm's gain without the norm
        if names:
            raise CaptureError(f"Parameter {names[0]!r} is used by `{name}`, which archrep cannot place in a graph.")
        return self._without_parameters(name, args, kwargs, tensors, inputs)

    def _without_parameters(self, name: str, args, kwargs, tensors: list[Tensor], inputs) -> int:
        if name in PRODUCTS and len(tensors) == 2 and len(inputs) == 2:
            return self._product(tensors)
        if name == "scaled_dot_product_attention":
            return self._add("msa", inputs)
        if name in MATRIX_PRODUCTS and any(self._from_softmax(i) for i in inputs):
            return self._add("msa", inputs)
        if name.startswith(("max_pool", "avg_pool")):
            size = kwargs.get("kernel_size", args[1] if len(args) > 1 else 1)
            height, width = (size, size) if isinstance(size, int) else (*size, *size)[:2]
            return self._add(name[:8], inputs, shape=(1, 1, int(height), int(width)))
        if name.startswith("adaptive_avg_pool") or (name == "mean" and _over_space(tensors[0], args, kwargs)):
            return self._add("glob_avg", inputs)
        position = self._add(None, inputs)
        if name in SOFTMAXES:
            self.softmax.add(position)
        return position

    def _add(self, primitive: str | None, inputs, names: tuple[str, ...] = (), shape: Shape = ()) -> int:
        """A parameter belongs to the first node that uses it; a later one has its shape only."""
        shape = self.shapes[names[0]] if names else shape
        own = tuple(n for n in names if n not in self.owned)
        self.owned.update(own)
        self.ops.append(Op(primitive, tuple(inputs), own, shape))
        return len(self.ops) - 1

    def _weighted(self, name: str, args, kwargs, inputs, tensors: list[Tensor]) -> int:
        """Convolution or linear layer: a node for the weight, one for the bias."""
        weight = args[1] if len(args) > 1 else kwargs["weight"]
        bias = args[2] if len(args) > 2 else kwargs.get("bias")
        weight_names = self.names.get(id(weight), ())
        if not weight_names:
            raise CaptureError(f"`{name}` uses a weight that is computed or constant, not a parameter of the network.")
        primitive = "conv"
        if name != "linear" and _argument(args, kwargs, 6, "groups", 1) > 1:
            dilation = _argument(args, kwargs, 5 if "transpose" not in name else 7, "dilation", 1)
            primitive = "dil_conv" if min(tree_leaves(dilation)) > 1 else "sep_conv"
        position = self._add(primitive, inputs, weight_names)
        bias_names = self.names.get(id(bias), ())
        return self._add("bias", (position,), bias_names) if bias_names else position

    def _sum(self, tensors: list[Tensor], inputs) -> int:
        names = [n for t in tensors for n in self.names.get(id(t), ())]
        if not names:
            return self._add("sum", inputs)
        if all(_is_vector(self.shapes[n]) for n in names):
            return self._add("bias", inputs, tuple(names))
        encodings = [self._add("pos_enc", (), (n,)) for n in names]
        return self._add("sum", (*inputs, *encodings))

    def _product(self, tensors: list[Tensor]) -> int:
        """Squeeze-and-excite by structure: x times a gate that was computed from x and is constant over space."""
        for x, gate in (tensors, tensors[::-1]):
            source, position = self.position[id(x)], self.position[id(gate)]
            between = self._between(source, position)
            squeezes = [i for i in between - {source} if self.ops[i].primitive == "glob_avg"]
            if source in between and (gate.numel() < x.numel() or squeezes):
                for i in squeezes:  # the squeeze belongs to the cse node
                    self.ops[i].primitive = None
                return self._add("cse", (source, position))
        return self._add(None, [self.position[id(t)] for t in tensors])

    def _between(self, source: int, position: int) -> set[int]:
        """Operations on the way back from `position`, not beyond `source`."""
        seen, stack = {position}, [position]
        while stack:
            i = stack.pop()
            for j in self.ops[i].inputs if i != source else ():
                if j >= source and j not in seen:
                    seen.add(j)
                    stack.append(j)
        return seen

    def _from_softmax(self, position: int) -> bool:
        """Whether a softmax made this tensor, with nothing but contracted operations since."""
        stack = [position]
        while stack:
            i = stack.pop()
            if i in self.softmax:
                return True
            if self.ops[i].primitive is None:
                stack += self.ops[i].inputs
        return False


def _argument(args, kwargs, place: int, name: str, default):
    return kwargs.get(name, args[place] if len(args) > place else default)


def _is_vector(shape: Shape) -> bool:
    return sum(size > 1 for size in shape) <= 1


def _over_space(x: Tensor, args, kwargs) -> bool:
    """Whether a mean goes over all positions of a feature map (B, C, H, W) or of tokens (B, n, C)."""
    dims = _argument(args, kwargs, 1, "dim", None)
    if dims is None or x.dim() < 3:
        return False
    dims = {d % x.dim() for d in tree_leaves(dims) if isinstance(d, int)}
    return dims == {2, 3} if x.dim() == 4 else x.dim() == 3 and len(dims) == 1 and 0 not in dims
