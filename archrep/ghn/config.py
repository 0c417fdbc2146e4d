"""What a GHN is made of."""

from dataclasses import dataclass

from archrep.errors import ArchrepError


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
    """

    num_classes: int = 10
    max_shape: tuple[int, int, int, int] = (64, 64, 11, 11)
    hidden: int = 32
    gnn: str = "gated"
    virtual_edges: bool = True
    normalize: bool = True
    layer_norm: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_shape", tuple(self.max_shape))
        if self.gnn not in ("gated", "mlp"):
            raise ArchrepError(f"gnn must be 'gated' or 'mlp'; got {self.gnn!r}.")
        if len(self.max_shape) != 4 or min(self.max_shape) < 1:
            raise ArchrepError(f"max_shape must be four positive numbers; got {self.max_shape}.")
        if self.hidden < 4 or self.hidden % 4:
            raise ArchrepError(f"hidden must be a positive multiple of 4; got {self.hidden}.")
