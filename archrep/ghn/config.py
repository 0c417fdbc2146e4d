"""What a GHN is made of."""

import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from archrep.errors import ArchrepError
from archrep.graph.primitives import VOCABULARIES


@dataclass(frozen=True)
class GHNConfig:
    """Configuration of a graph hypernetwork. The defaults are GHN-2 on CIFAR-10 (paper § 4).

    Attributes:
        num_classes: classes of the classification layers it predicts.
        max_shape: largest (out, in, height, width) that is decoded; larger tensors are tiled.
        hidden: width d of the node states.
        gnn: "gated" for the gated graph network, "mlp" for the baseline without edges.
        virtual_edges: messages along shortest paths (paper § 4.2); False in GHN-1.
        normalize: fan-in normalisation of predicted parameters (paper § 4.1); False in GHN-1.
        layer_norm: layer norm of the final node states (paper § 4.3); False in GHN-1.
        vocabulary: of the graphs it takes, "released" or "extended" (see graph/primitives.py).
    """

    num_classes: int = 10
    max_shape: tuple[int, int, int, int] = (64, 64, 11, 11)
    hidden: int = 32
    gnn: str = "gated"
    virtual_edges: bool = True
    normalize: bool = True
    layer_norm: bool = True
    vocabulary: str = "released"

    def __post_init__(self) -> None:
        shape = self.max_shape
        if not (
            isinstance(shape, list | tuple) and len(shape) == 4 and all(_within(n, 1, m) for n, m in _limits(shape))
        ):
            raise ArchrepError(
                f"max_shape must be four whole numbers, channels 1 … 8192, kernels 1 … 64; got {reprlib.repr(shape)}."
            )
        object.__setattr__(self, "max_shape", tuple(shape))
        if not _within(self.num_classes, 1, 100_000):
            raise ArchrepError(
                f"num_classes must be a whole number from 1 to 100000; got {reprlib.repr(self.num_classes)}."
            )
        if not _within(self.hidden, 4, 4096) or self.hidden % 4:
            raise ArchrepError(f"hidden must be a multiple of 4 up to 4096; got {reprlib.repr(self.hidden)}.")
        if not isinstance(self.gnn, str) or self.gnn not in ("gated", "mlp"):
            raise ArchrepError(f"gnn must be 'gated' or 'mlp'; got {reprlib.repr(self.gnn)}.")
        if not isinstance(self.vocabulary, str) or self.vocabulary not in VOCABULARIES:
            names = " or ".join(map(repr, VOCABULARIES))
            raise ArchrepError(f"vocabulary must be {names}; got {reprlib.repr(self.vocabulary)}.")
        for name in ("virtual_edges", "normalize", "layer_norm"):
            if not isinstance(getattr(self, name), bool):
                raise ArchrepError(f"{name} must be true or false; got {reprlib.repr(getattr(self, name))}.")


def _limits(shape: Sequence[int]) -> Iterable[tuple[int, int]]:
    return zip(shape, (8192, 8192, 64, 64), strict=True)


def _within(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
