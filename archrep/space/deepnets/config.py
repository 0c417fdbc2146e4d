"""What describes one DeepNets network: a cell genotype and the arguments around it (design: DeepNets-1M)."""

from collections.abc import Mapping
from dataclasses import dataclass

from archrep.errors import ArchrepError

# The 15 choices on an edge of a cell, in the order of the generator.
OPS: tuple[str, ...] = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "conv_1x1",
    "conv_7x1_1x7",
    "conv_3x3",
    "conv_5x5",
    "conv_7x7",
    "msa",
    "cse",
)

# Of records that come from files: beyond what any split has, and far below what would exhaust a machine.
LARGEST = {"n_cells": 1000, "channels": 8192, "channel_mult": 16, "stem_kernel": 64, "fc_layers": 16, "fc_dim": 65_536}
MOST_STEPS = 100
MOST_CELL_STEPS = 400  # steps of all cells together; 108 in the split dense, 72 in deep
MOST_NODES = 5000  # of a graph; about 1,200 in the splits deep and dense
MOST_PARAMETERS = 500_000_000  # of a network; 114 million is the most among 60 each of wide, deep, dense and test

Edge = tuple[str, int]  # operation, and the state it reads: 0 and 1 are the two previous cells


@dataclass(frozen=True)
class Genotype:
    """A normal and a reduction cell: two edges per sum node, and the sum nodes that are concatenated."""

    normal: tuple[Edge, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Edge, ...]
    reduce_concat: tuple[int, ...]

    @property
    def ops(self) -> list[str]:
        """Operations of both cells."""
        return [op for op, _ in self.normal + self.reduce]


@dataclass(frozen=True)
class DeepNetConfig:
    """One DeepNets network.

    Attributes:
        genotype: the two cells.
        n_cells: number of cells; the reduction cells stand at 1/3 and 2/3 of the depth.
        channels: initial number of channels C.
        channel_mult: channel multiplier at the two reduction cells.
        stem_type: 0 simple, 1 ImageNet-style (the first two states differ in resolution).
        stem_kernel: kernel size of the first convolution.
        stem_pool: extra max pooling in the simple stem.
        norm: whether batch norm is used.
        preproc: whether 1×1 convolutions adapt the inputs of every cell.
        glob_avg: global average pooling; otherwise a VGG-style flatten.
        fc_layers: number of fully connected layers (0 counts as 1).
        fc_dim: width of the hidden fully connected layers.
    """

    genotype: Genotype
    n_cells: int
    channels: int
    channel_mult: int = 2
    stem_type: int = 0
    stem_kernel: int = 3
    stem_pool: bool = False
    norm: bool = True
    preproc: bool = True
    glob_avg: bool = True
    fc_layers: int = 1
    fc_dim: int = 256

    def __post_init__(self) -> None:
        if not self.preproc and (self.channel_mult > 1 or len(self.genotype.normal_concat) > 1):
            raise ArchrepError(
                "A DeepNets network without 1x1 preprocessing needs one concatenated sum node and "
                f"channel_mult=1; got {len(self.genotype.normal_concat)} and {self.channel_mult}."
            )

    @property
    def is_vit(self) -> bool:
        """Any attention makes the network a vision transformer (patch stem, no strides)."""
        return "msa" in self.genotype.ops

    def checked(self) -> "DeepNetConfig":
        """This, where it comes from a file.

        Raises:
            ValueError: if its cells are none, or a number is larger than that of any network.
        """
        _check_cell(self.genotype.normal, self.genotype.normal_concat)
        _check_cell(self.genotype.reduce, self.genotype.reduce_concat)
        for name, most in LARGEST.items():
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}, not 0 … {most}")
        steps = self.n_cells * max(len(self.genotype.normal), len(self.genotype.reduce)) // 2
        if steps > MOST_CELL_STEPS:
            raise ValueError(f"its {self.n_cells} cells have {steps} steps, not up to {MOST_CELL_STEPS}")
        return self

    @classmethod
    def from_record(cls, record: Mapping) -> "DeepNetConfig":
        """Reads an entry of the official `*_meta.json`; 32 channels and fc_dim 256 where it has no `C` or `fc_dim`."""
        try:
            cell = record["genotype"]
            genotype = Genotype(
                normal=tuple((str(op), int(i)) for op, i in cell["normal"]),
                normal_concat=tuple(int(i) for i in cell["normal_concat"]),
                reduce=tuple((str(op), int(i)) for op, i in cell["reduce"]),
                reduce_concat=tuple(int(i) for i in cell["reduce_concat"]),
            )
            return cls(
                genotype=genotype,
                n_cells=int(record["n_cells"]),
                channels=int(record.get("C", 32)),
                channel_mult=int(record["C_mult"]),
                stem_type=int(record["stem_type"]),
                stem_kernel=int(record["ks"]),
                stem_pool=bool(record["stem_pool"]),
                norm=record["norm"] is not None,
                preproc=bool(record["preproc"]),
                glob_avg=bool(record["glob_avg"]),
                fc_layers=int(record["fc_layers"]),
                fc_dim=int(record.get("fc_dim", 256)),
            ).checked()
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ArchrepError(
                f"Not an architecture record of DeepNets-1M: {type(error).__name__} {error}. "
                "Expected the keys of the official *_meta.json (genotype, n_cells, C_mult, ks, …)."
            ) from error


# The ViT of the paper's split "predefined": 12 cells, 10 of them one attention block; 129 nodes, 1.0 M parameters.
VIT = DeepNetConfig(
    genotype=Genotype(
        normal=(("none", 0), ("msa", 1)),
        normal_concat=(2,),
        reduce=(("none", 0), ("avg_pool_3x3", 1)),
        reduce_concat=(2,),
    ),
    n_cells=12,
    channels=128,
    channel_mult=1,
    preproc=False,
)


def _check_cell(edges: tuple[Edge, ...], concat: tuple[int, ...]) -> None:
    """Raises ValueError unless every step reads two states that are there before it, by operations that exist."""
    steps = len(edges) // 2
    if len(edges) != 2 * steps or not 0 < steps <= MOST_STEPS:
        raise ValueError(f"a cell has {len(edges)} edges, not two for each of 1 … {MOST_STEPS} steps")
    for position, (op, state) in enumerate(edges):
        if op not in OPS:
            raise ValueError(f"unknown operation {op!r:.40}")
        if not 0 <= state < 2 + position // 2:
            raise ValueError(f"step {position // 2} reads state {state}, which comes later")
    if not 0 < len(concat) <= 2 + steps or not all(0 <= state < 2 + steps for state in concat):
        raise ValueError(f"the concatenated states {list(concat)!r:.60} are not among 0 … {1 + steps}")
