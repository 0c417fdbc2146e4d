"""Encoders: what a probe sees of an architecture, one file each, all stateless and of fixed width per space.

An encoder spec is a name of `ENCODERS`, where the encoder takes one with an argument, `name:argument`; specs joined
by `+` are concatenated: `graph-features+size`. May import `ghn`, `space`, `graph`, `data`, `train` (evaluation) and
`probe.cells`.
"""

from collections.abc import Sequence

import numpy as np

from archrep.errors import ArchrepError, lookup
from archrep.probe.cells import WHOLE
from archrep.probe.encoders.columns import encode_columns
from archrep.probe.encoders.context import Context, Encoder
from archrep.probe.encoders.ghn import (
    ARGUMENT,
    encode_ghn,
    encode_ghn_accuracy,
    encode_untrained,
    untrained_ghn,
)
from archrep.probe.encoders.gnn_random import encode_gnn_random
from archrep.probe.encoders.graph_features import encode_graph_features
from archrep.probe.encoders.one_hot import encode_one_hot
from archrep.probe.encoders.op_counts import encode_op_counts, op_counts
from archrep.probe.encoders.paths import encode_paths
from archrep.probe.encoders.size import encode_size, params_and_flops
from archrep.probe.encoders.weisfeiler_lehman import encode_wl
from archrep.probe.encoders.zero_cost import encode_zero_cost
from archrep.space import Architecture

ENCODERS: dict[str, Encoder] = {
    "columns": Encoder(encode_columns, needs_graph=False, argument="NAME[,NAME…]"),
    "ghn": Encoder(encode_ghn, argument=ARGUMENT),
    "ghn-accuracy": Encoder(encode_ghn_accuracy),
    "ghn-untrained": Encoder(encode_untrained, argument=ARGUMENT),
    "gnn-random": Encoder(encode_gnn_random),
    "graph-features": Encoder(encode_graph_features, needs_graph=False, argument="network"),
    "one-hot": Encoder(encode_one_hot, needs_graph=False),
    "op-counts": Encoder(encode_op_counts),
    "paths": Encoder(encode_paths, needs_graph=False),
    "size": Encoder(encode_size),
    "wl": Encoder(encode_wl, needs_graph=False, argument="network"),
    "zero-cost": Encoder(encode_zero_cost, argument="PROXY[,PROXY…]"),
}


def encode(spec: str, architectures: Sequence[Architecture], context: Context | None = None) -> np.ndarray:
    """Encodes architectures by one encoder or a concatenation.

    Args:
        spec: such as `graph-features`, `columns:val_acc_12ep` or `graph-features+size`.
        architectures: n of them.
        context: what encoders may need besides.

    Returns:
        (n, d) float64, finite.

    Raises:
        ArchrepError: for an unknown encoder or a wrong argument, values that are not finite, or what an encoder lacks.
    """
    parts = parse(spec)
    if not architectures:
        raise ArchrepError(f"There are no architectures to encode by {spec!r}.")
    return np.concatenate([_encode_one(*part, architectures, context or Context()) for part in parts], axis=1)


def parse(spec: str) -> list[tuple[str, str]]:
    """Splits an encoder spec into (name, argument), and checks the names.

    Raises:
        ArchrepError: for an unknown encoder, or an argument where none is taken.
    """
    parts = []
    for part in spec.split("+"):
        name, colon, argument = part.strip().partition(":")
        encoder = lookup(ENCODERS, name, f"encoder in {spec!r}:" if "+" in spec else "encoder")
        if colon and not encoder.argument:
            raise ArchrepError(f"The encoder {name!r} takes no argument; got {part.strip()!r}.")
        if colon and not argument:
            raise ArchrepError(f"{part.strip()!r}: nothing behind the colon; expected {name}:{encoder.argument}.")
        parts.append((name, argument))
    return parts


def named(spec: str) -> set[str]:
    """Names of the encoders that a spec concatenates, without their arguments."""
    return {name for name, _ in parse(spec)}


def needs_ghn(spec: str) -> bool:
    """Whether a checkpoint must be loaded, for its weights or its configuration."""
    return any(name.startswith("ghn") for name in named(spec))


def split_specs(text: str) -> list[str]:
    """Encoder specs of a list separated by commas; commas inside of an argument stay: `ghn:final:mean,max,size`.

    A part that is no name of an encoder goes on with the argument before it.
    """
    specs: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name = part.partition("+")[0].partition(":")[0].strip()
        if specs and name not in ENCODERS and ":" in specs[-1]:
            specs[-1] += f",{part}"
        else:
            specs.append(part)
    return specs


def needs_graph(spec: str) -> bool:
    """Whether an encoder of the spec needs the computational graph even of architectures that have a cell."""
    return any(ENCODERS[name].needs_graph or argument == WHOLE for name, argument in parse(spec))


def _encode_one(name: str, argument: str, architectures: Sequence[Architecture], context: Context) -> np.ndarray:
    values = np.asarray(ENCODERS[name].encode(architectures, context, argument), dtype=np.float64)
    spec = f"{name}:{argument}" if argument else name
    if values.ndim != 2 or len(values) != len(architectures):
        raise ArchrepError(f"The encoder {spec!r} gave {values.shape} for {len(architectures)} architectures.")
    odd = ~np.isfinite(values).all(axis=1)
    if odd.any():
        first = architectures[int(odd.argmax())].id
        raise ArchrepError(f"The encoder {spec!r} gives values that are not finite for {odd.sum()}, such as {first}.")
    return values


__all__ = [
    "ENCODERS",
    "Context",
    "Encoder",
    "encode",
    "named",
    "needs_ghn",
    "needs_graph",
    "op_counts",
    "params_and_flops",
    "parse",
    "split_specs",
    "untrained_ghn",
]
