"""Capture: the computational graph of any nn.Module, from the calls of one forward pass on the meta device.

Nothing is computed and no weights are allocated, unless the network's control flow depends on values: then the
pass runs on a copy on the CPU. The network's weights, buffers, mode and all random states stay as they were.
"""

import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from archrep.errors import CaptureError, first_line, lookup
from archrep.graph.archgraph import ArchGraph
from archrep.graph.build import build_graph
from archrep.graph.primitives import VOCABULARIES
from archrep.graph.recorder import Recorder
from archrep.graph.run import forward, parameters_on

COMPUTED = 1_000_000_000  # parameters up to which a network is copied where control flow needs values
LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


def capture(
    network: nn.Module,
    input_shape: Sequence[int] = (3, 32, 32),
    example_inputs: Tensor | Sequence | Mapping[str, Any] | None = None,
    vocabulary: str = "released",
) -> ArchGraph:
    """Captures the computational graph of a network.

    Args:
        network: any module; with or without allocated weights, in any mode.
        input_shape: shape of one float input without the batch dimension, for networks that take one tensor.
        example_inputs: what the network is called with, where that is something else: a tensor, a sequence of
            positional or a mapping of keyword arguments. Values of tensors matter only if control flow uses them.
        vocabulary: "released", the 15 primitives of the released GHNs, or "extended" (see primitives.py).

    Returns:
        The graph; parameters that the forward pass never uses are in `graph.unused`.

    Raises:
        CaptureError: if the forward pass fails on the meta device, or its output does not depend on its input.
        ArchrepError: for an unknown vocabulary.
    """
    lookup(VOCABULARIES, vocabulary, "vocabulary")
    named = dict(network.named_parameters())
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in named.values()):
        raise CaptureError("The network has lazily created layers; run it once on real data, then capture it.")
    for device in ("meta", "cpu"):
        parameters = parameters_on(device, network)
        args, kwargs = _inputs(device, input_shape, example_inputs)
        recorder = Recorder(parameters, [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)])
        try:
            with recorder:
                output = forward(network, parameters, *args, **kwargs)
            break
        except CaptureError:
            raise
        except Exception as error:
            # Control flow that depends on values: there is no way but to compute them.
            if device == "meta" and "meta" in str(error).lower() and sum(p.numel() for p in named.values()) < COMPUTED:
                continue
            given = "example_inputs" if example_inputs is not None else f"inputs of shape {tuple(input_shape)}"
            advice = "" if example_inputs is not None else " If its inputs have another shape, give input_shape."
            raise CaptureError(
                f"{type(network).__name__} cannot run on {given}{_place(error)}: {first_line(error)}.{advice}"
            ) from error
    shapes = {name: tuple(p.shape) for name, p in named.items()}
    graph = build_graph(recorder.ops, recorder.output(output), shapes, vocabulary)
    graph.tied = _tied(network)
    return graph


def _tied(network: nn.Module) -> dict[str, str]:
    """Further names of shared parameters → the name under which the graph has them."""
    first = {id(p): name for name, p in network.named_parameters()}
    every = network.named_parameters(remove_duplicate=False)
    return {name: first[id(p)] for name, p in every if name != first[id(p)]}


def _inputs(device: str, input_shape: Sequence[int], example_inputs: object) -> tuple[Sequence, Mapping[str, Any]]:
    """Positional and keyword arguments of the call, their tensors on the device."""
    if example_inputs is None:
        images = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0))
        return (images.to(device),), {}
    moved: Any = tree_map(lambda x: x.detach().to(device, copy=True) if isinstance(x, Tensor) else x, example_inputs)
    if isinstance(moved, Mapping):
        return (), moved
    return ((moved,), {}) if isinstance(moved, Tensor) else (tuple(moved), {})


def _place(error: Exception) -> str:
    """Where in the user's code an error arose."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(LIBRARIES)]
    return f" (at {Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
