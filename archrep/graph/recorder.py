"""Recording the calls of a forward pass as operations: the one place where calls become primitives.

A `TorchFunctionMode` sees every call with its tensors. Data is followed from call to call; parameters are
recognised by identity, also after what was done to them alone (reshapes, weight standardisation, …).
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from archrep.errors import CaptureError
from archrep.graph.archgraph import Shape
from archrep.graph.build import Op

CONVOLUTIONS = {f"conv{t}{d}d" for t in ("", "_transpose") for d in (1, 2, 3)}
NORMS = {
    "batch_norm": "bn",
    "instance_norm": "instance_norm",
    "group_norm": "group_norm",
    "layer_norm": "ln",
    "rms_norm": "rms_norm",
}
ADDITIONS = {"add", "add_", "__add__", "__radd__", "__iadd__"}
SUBTRACTIONS = {"sub", "sub_", "subtract", "__sub__", "__isub__", "__rsub__", "rsub"}
PRODUCTS = {"mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"}
SCALINGS = PRODUCTS | {"div", "div_", "__truediv__", "__rtruediv__", "prelu", "pow", "__pow__", "__rpow__"}
GROUPED = {"grouped_mm", "_grouped_mm"}
MATRIX_PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "bmm", "mm", "mv", "dot", "einsum", "tensordot"} | GROUPED
ADDED_PRODUCTS = {"addcmul": "scale", "addcmul_": "scale", "addmm": "linear", "baddbmm": "linear", "addmv": "linear"}
CONCATENATIONS = {"cat", "concat", "concatenate", "hstack", "vstack", "stack"}
SOFTMAXES = {"softmax", "_softmax"}
RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"}
FIRST_ONLY = {"expand_as", "type_as", "view_as", "reshape_as"}  # their second tensor lends its shape or dtype
SHAPE_ONLY = {f"{kind}_like" for kind in ("zeros", "ones", "empty", "full", "rand", "randn")}
SHAPE_ONLY |= {f"new_{kind}" for kind in ("zeros", "ones", "empty", "full", "tensor")}
THROUGH_ATTENTION = {None, "linear", "bias", "conv", "sum", "scale", "bn", "ln"}  # between softmax and its product


class Recorder(TorchFunctionMode):
    """Turns calls into operations (see `build.Op`).

    Attributes:
        ops: the operations in execution order; the first one stands for all inputs.
    """

    def __init__(self, parameters: Mapping[str, Tensor], inputs: Iterable[Tensor]) -> None:
        super().__init__()
        self.ops: list[Op] = [Op("input")]
        inputs = list(inputs)
        self.position: dict[int, int] = {id(t): 0 for t in inputs}  # tensor → operation that made it
        self.names: dict[int, tuple[str, ...]] = {id(p): (name,) for name, p in parameters.items()}
        self.shapes: dict[str, Shape] = {name: tuple(p.shape) for name, p in parameters.items()}
        self.owned: set[str] = set()
        self.softmax: set[int] = set()
        self.alive: list[object] = [parameters, inputs]  # ids stay unique while tensors live

    def output(self, result: object) -> int:
        """Operation that gives the network's output; several outputs that do not depend on each other are joined.

        Raises:
            CaptureError: if there is no tensor in it, or none that depends on an input.
        """
        tensors = [t for t in tree_leaves(_plain(result)) if isinstance(t, Tensor)]
        if not tensors:
            raise CaptureError(f"The network returns no tensor but {type(result).__name__}.")
        positions = sorted({p for t in tensors if (p := self._position(t)) is not None})
        if not positions:
            raise CaptureError("The network's output does not depend on its input: no path joins them.")
        last = [p for p in positions if not any(p in self._between(p, other) for other in positions if other > p)]
        return last[0] if len(last) == 1 else self._add("concat", last)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        result = _shapes_only(name, args)
        if result is None:
            result = func(*args, **kwargs)
        changed = self._changed(name, args, kwargs)
        made = [t for t in tree_leaves(result) if isinstance(t, Tensor)] + changed
        if not made or (name in SHAPE_ONLY and not changed):
            return result
        given = args[:1] if name in FIRST_ONLY else (args, kwargs)
        tensors = [t for t in tree_leaves(given) if isinstance(t, Tensor)]
        inputs = self._positions(tensors)
        names = self._names(tensors)
        self.alive.append((result, tensors, changed))
        if inputs:
            position = self._record(name, args, kwargs, tensors, inputs, names)
            self.position.update({id(t): position for t in made})
        elif names:  # what is derived from a parameter alone still is that parameter
            self.names.update({id(t): names for t in made})
        return result

    def _changed(self, name: str, args: Sequence, kwargs: Mapping) -> list[Tensor]:
        """Tensors that a call changes in place, with the tensors that they are views of."""
        in_place = name == "__setitem__" or name in ("__iadd__", "__imul__", "__isub__", "__itruediv__")
        in_place = in_place or (name.endswith("_") and not name.endswith("__"))
        targets = [args[0]] if in_place and args and isinstance(args[0], Tensor) else []
        targets += [t for t in tree_leaves(kwargs.get("out")) if isinstance(t, Tensor)]
        return targets + [t._base for t in targets if t._base is not None]

    def _position(self, tensor: Tensor) -> int | None:
        return self.position.get(id(tensor))

    def _positions(self, tensors: Iterable[Tensor]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(p for t in tensors if (p := self._position(t)) is not None))

    def _names(self, tensors: Iterable[Tensor]) -> tuple[str, ...]:
        """Parameters that these tensors are, or are derived from."""
        return tuple(dict.fromkeys(n for t in tensors for n in self.names.get(id(t), ())))

    def _record(self, name: str, args, kwargs, tensors: list[Tensor], inputs, names) -> int:
        """Appends the operations of one call on data; returns the position of the last one."""
        if name in CONVOLUTIONS or name in ("linear", "bilinear"):
            return self._weighted(name, args, kwargs, tensors, inputs)
        if name in NORMS:
            return self._norm(NORMS[name], inputs, names)
        if name == "multi_head_attention_forward":
            return self._multi_head_attention(_arguments(name, args, kwargs))
        if name == "scaled_dot_product_attention":
            return self._attention(*(_argument(args, kwargs, i, k) for i, k in enumerate(ATTENTION)))
        if name in RECURRENT:
            return self._each(lambda n: "rnn" if len(self.shapes[n]) > 1 else "bias", inputs, names)
        if name in ("embedding", "embedding_bag") and names:
            return self._chain("embedding", inputs, names)
        if name in ADDITIONS or (name in SUBTRACTIONS and names):
            return self._sum(inputs, names)
        if name in CONCATENATIONS:
            return self._add("concat", (*inputs, *self._sources("parameter", names)))
        if names:
            return self._with_parameters(name, tensors, inputs, names)
        return self._without_parameters(name, args, kwargs, tensors, inputs)

    def _with_parameters(self, name: str, tensors: list[Tensor], inputs, names) -> int:
        """Calls that take parameters as any other tensor."""
        if name in MATRIX_PRODUCTS:
            return self._each(lambda n: "linear", inputs, names)
        if name in SCALINGS:
            return self._each(lambda n: "scale", inputs, names)
        if name in ADDED_PRODUCTS:
            added = self._names(tensors[:1])
            factors = tuple(n for n in names if n not in added)
            x = self._each(lambda n: ADDED_PRODUCTS[name], inputs, factors)
            return self._sum((x,), added)
        return self._add(None, (*inputs, *self._sources("parameter", names)))

    def _without_parameters(self, name: str, args, kwargs, tensors: list[Tensor], inputs) -> int:
        if name in PRODUCTS and len(tensors) == 2 and len(inputs) == 2:
            return self._product(tensors)
        if name in MATRIX_PRODUCTS and any(self._from_softmax(i) for i in inputs):
            return self._add("msa", inputs)
        if name.startswith(("max_pool", "avg_pool")):
            size = _argument(args, kwargs, 1, "kernel_size") or 1
            height, width = (size, size) if isinstance(size, int) else (*size, *size)[:2]
            return self._add(name[:8], inputs, shape=(1, 1, int(height), int(width)))
        if name.startswith("adaptive_avg_pool") or (name == "mean" and _over_space(tensors[0], args, kwargs)):
            return self._add("glob_avg", inputs)
        position = self._add(None, inputs)
        if name in SOFTMAXES:
            self.softmax.add(position)
        return position

    # Appending operations.

    def _add(self, kind: str | None, inputs: Iterable[int], names: tuple[str, ...] = (), shape: Shape = ()) -> int:
        """A parameter belongs to the first operation that uses it; a later one has its shape only."""
        shape = self.shapes[names[0]] if names else shape
        own = tuple(n for n in names if n not in self.owned)
        self.owned.update(own)
        self.ops.append(Op(kind, tuple(inputs), own, shape))
        return len(self.ops) - 1

    def _chain(self, kind: str, inputs: Iterable[int], names: tuple[str, ...]) -> int:
        """An operation with its main parameter and vectors; further tensors of rank ≥ 2 follow as its factors."""
        main = max(names, key=lambda n: prod(self.shapes[n]))
        vectors = tuple(n for n in names if n != main and len(self.shapes[n]) < 2)
        x = self._add(kind, inputs, (main, *vectors))
        factors = tuple(n for n in names if n != main and n not in vectors)
        return self._each(lambda n: "scale" if _is_vector(self.shapes[n]) else "linear", (x,), factors)

    def _each(self, kind: Callable[[str], str], inputs: Iterable[int], names: Iterable[str]) -> int:
        """One operation per parameter, one after the other."""
        inputs = tuple(inputs)
        for name in names:
            inputs = (self._add(kind(name), inputs, (name,)),)
        return inputs[0] if len(inputs) == 1 else self._add(None, inputs)

    def _sources(self, kind: str, names: Iterable[str]) -> tuple[int, ...]:
        """Parameters that enter the data flow."""
        return tuple(self._add(kind, (), (name,)) for name in names)

    def _sum(self, inputs: Iterable[int], names: Iterable[str]) -> int:
        """Vectors are biases; bigger parameters are encodings of position."""
        vectors = [n for n in names if _is_vector(self.shapes[n])]
        encodings = self._sources("pos_enc", (n for n in names if n not in vectors))
        inputs = (*inputs, *encodings)
        x = self._add("sum", inputs) if len(inputs) > 1 or not vectors else inputs[0]
        return self._each(lambda n: "bias", (x,), vectors)

    def _norm(self, kind: str, inputs: Iterable[int], names: tuple[str, ...]) -> int:
        """A norm without parameters carries no structure; its gain and bias are one operation if they are vectors."""
        if not names:
            return self._add(None, inputs)
        own = tuple(n for n in names[1:] if len(self.shapes[n]) < 2)
        x = self._add(kind, inputs, (names[0], *own))
        return self._sum((x,), [n for n in names[1:] if n not in own]) if len(own) + 1 < len(names) else x

    def _weighted(self, name: str, args, kwargs, tensors: list[Tensor], inputs) -> int:
        """Convolution or linear layer: a node for the weight, one for the bias."""
        weight = args[2] if name == "bilinear" else _argument(args, kwargs, 1, "weight")
        names = self._names([weight])
        bias = self._names(t for t in tensors if t is _argument(args, kwargs, 3 if name == "bilinear" else 2, "bias"))
        if names:
            position = self._chain(self._kind(name, args, kwargs, tensors[0], weight), inputs, names)
        else:  # computed from data (dynamic convolution), or a constant (blurring)
            position = self._add("conv" if self._position(weight) is not None else None, inputs)
        return self._each(lambda n: "bias", (position,), bias)

    def _kind(self, name: str, args, kwargs, x: Tensor, weight: Tensor) -> str:
        if name in ("linear", "bilinear"):
            return "linear"
        transposed = "transpose" in name
        groups = _argument(args, kwargs, 6, "groups") or 1
        dilation = _argument(args, kwargs, 7 if transposed else 5, "dilation") or 1
        if groups > 1:
            if min(tree_leaves(dilation)) > 1:
                return "dil_conv"
            return "sep_conv" if groups == x.shape[-weight.dim() + 1] or groups == weight.shape[0] else "group_conv"
        return "transposed_conv" if transposed else "dense_dil_conv" if min(tree_leaves(dilation)) > 1 else "conv"

    def _matrix_product(self, tensors: Sequence[Tensor]) -> int:
        names = self._names(tensors)
        return self._each(lambda n: "linear", self._positions(tensors), names)

    def _attention(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> int:
        """The same operations, whether the call is fused or written out."""
        scores = self._matrix_product((query, key))
        if mask is not None and (self._position(mask) is not None or self._names([mask])):
            scores = self._sum((scores, *self._positions([mask])), self._names([mask]))
        sources = self._sources("parameter", self._names([value]))
        return self._add("msa", dict.fromkeys((scores, *self._positions([value]), *sources)))

    def _multi_head_attention(self, given: Mapping[str, Any]) -> int:
        """torch.nn.functional.multi_head_attention_forward: projection in, attention, projection out."""

        def names(*keys: str) -> tuple[str, ...]:
            return self._names(given[k] for k in keys if given.get(k) is not None)

        sources = self._sources("parameter", names("query", "key", "value"))
        x = self._each(
            lambda n: "linear",
            (*self._positions([given["query"], given["key"], given["value"]]), *sources),
            names("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"),
        )
        x = self._each(lambda n: "bias", (x,), names("in_proj_bias"))
        mask = self._positions(given[k] for k in ("attn_mask",) if given.get(k) is not None)
        x = self._sum((x, *mask), names("attn_mask")) if mask or names("attn_mask") else x
        x = self._add("msa", (x, *self._sources("parameter", names("bias_k", "bias_v"))))
        x = self._each(lambda n: "linear", (x,), names("out_proj_weight"))
        return self._each(lambda n: "bias", (x,), names("out_proj_bias"))

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
        return self._add("gate", [self.position[id(t)] for t in tensors])

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
        """Whether a softmax made this tensor, with nothing since but what attention does to its scores."""
        stack, seen = [position], {position}
        while stack:
            i = stack.pop()
            if i in self.softmax:
                return True
            if self.ops[i].primitive in THROUGH_ATTENTION and len(seen) < 32:
                fresh = [j for j in self.ops[i].inputs if j not in seen]
                seen.update(fresh)
                stack += fresh
        return False


def _shapes_only(name: str, args: Sequence) -> Any:
    """Results of the few calls that torch runs slowly on the meta device, or not at all; None for the others."""
    if not args or not isinstance(args[0], Tensor) or not args[0].is_meta:
        return None
    x = args[0]
    if name in GROUPED:  # there for bfloat16 only
        return x.new_empty(*x.shape[:-1], args[1].shape[-1])
    if name in ("lstm", "gru", "rnn_tanh", "rnn_relu") and not isinstance(args[3], Tensor | list | tuple):
        # (input, state, weights, has_biases, layers, dropout, train, bidirectional, …); torch goes step by step
        states = list(args[1]) if name == "lstm" else [args[1]]
        output = x.new_empty(*x.shape[:-1], states[0].shape[-1] * (2 if args[7] else 1))
        return (output, *(torch.empty_like(state) for state in states))
    return None


ATTENTION = ("query", "key", "value", "attn_mask")


def _arguments(name: str, args, kwargs) -> dict[str, Any]:
    """All arguments of a function of torch.nn.functional, by name."""
    return inspect.signature(getattr(torch.nn.functional, name)).bind(*args, **kwargs).arguments


def _argument(args, kwargs, place: int, name: str):
    return kwargs.get(name, args[place] if len(args) > place else None)


def _plain(result: object) -> object:
    """Outputs of other libraries that hold their tensors as attributes (dataclasses) become dictionaries."""
    return dict(vars(result)) if not isinstance(result, Tensor) and hasattr(result, "__dict__") else result


def _is_vector(shape: Shape) -> bool:
    return sum(size > 1 for size in shape) <= 1


def _over_space(x: Tensor, args, kwargs) -> bool:
    """Whether a mean goes over all positions of a feature map (B, C, H, W) or of tokens (B, n, C)."""
    dims = _argument(args, kwargs, 1, "dim")
    if dims is None or x.dim() < 3:
        return False
    dims = {d % x.dim() for d in tree_leaves(dims) if isinstance(d, int)}
    return dims == {2, 3} if x.dim() == 4 else x.dim() == 3 and len(dims) == 1 and 0 not in dims
