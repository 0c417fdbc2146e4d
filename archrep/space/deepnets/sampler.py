"""The DeepNets generator: (preset, split, index) → architecture, the same on every machine.

Every index has its own random stream and nothing else enters, so any part of a split can be generated
alone. A digest of the graph decides which splits an architecture may belong to: isomorphic graphs share
the digest, therefore no architecture of val, test or an out-of-distribution split occurs in train.
Distributions: paper appendix A and design (DeepNets-1M).
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from archrep.errors import ArchrepError, lookup
from archrep.space.deepnets.config import OPS, DeepNetConfig, Edge, Genotype
from archrep.space.deepnets.graph import Emitter
from archrep.space.deepnets.plan import make_plan

T = TypeVar("T")

# Part of every random stream: raise one and all architectures of that preset get other names.
# Version 4 of deepnets is the first whose val and bnfree splits lie within 0.25 standard deviations of the recorded
# ones in the means of cells, steps, nodes, edges, parameters and their logarithm (deep and dense: 0.6). The
# distributions are the same in all versions; 100 networks are few.
VERSIONS = {"deepnets": 4, "deepnets-small": 1}
POOLS = OPS[:4]  # operations without parameters


class Stream:
    """Random choices from one key. Only `random.random()` is used: its sequence never changes."""

    def __init__(self, *key: object) -> None:
        self._random = random.Random("/".join(map(str, key))).random

    def below(self, p: float) -> bool:
        """True with probability p."""
        return self._random() < p

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[int(self._random() * len(options))]

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self._random() * (high - low + 1))


@dataclass(frozen=True)
class Limits:
    """What a split draws from.

    Attributes:
        cells: fewest and most cells.
        deep: thresholds on the number of cells; deeper networks have at most `steps[1]` sum nodes a cell.
        steps: fewest sum nodes per cell, most in deep networks, most in others.
        max_params: rejected above, counted at 32 channels and `counted_fc_dim` (None: that drawn) with either stem.
        norm: True always, False never; None: half of the shallow networks go without batch norm.
        channels: grid of channel counts. fc_dims: grid of hidden widths.
        min_eval_params: evaluation networks take the smallest channel count that reaches this.
        max_macs: rejected where even the smallest channel count needs more; caps the channel count.
        size: number of architectures in the split.
        bins: digests (mod 8) that the split accepts, see `_digest_bin`.
    """

    cells: tuple[int, int] = (4, 18)
    deep: tuple[int, ...] = (7, 8, 9, 10)
    steps: tuple[int, int, int] = (1, 2, 4)
    max_params: int = 10**7
    counted_fc_dim: int | None = 256
    norm: bool | None = None
    channels: tuple[int, ...] = tuple(range(32, 513, 16))
    fc_dims: tuple[int, ...] = tuple(range(64, 513, 64))
    min_eval_params: int = 2_500_000
    max_macs: int | None = None
    size: int = 500
    bins: tuple[int, ...] = (0,)


_BASE = Limits()
_SMALL = Limits(
    cells=(3, 8),
    deep=(4, 5),
    steps=(1, 2, 3),
    max_params=4 * 10**6,
    counted_fc_dim=None,
    channels=(8, 16, 24, 32),
    fc_dims=(64, 128, 192, 256),
    min_eval_params=0,
    max_macs=12 * 10**6,
)
_TRAIN_BINS = (2, 3, 4, 5, 6, 7)
_SMALL_OOD = replace(_SMALL, size=100, bins=(0, 1))

LIMITS: dict[str, dict[str, Limits]] = {
    "deepnets": {
        "train": replace(_BASE, size=10**6, bins=_TRAIN_BINS),
        "val": replace(_BASE, bins=(0,)),
        "test": replace(_BASE, bins=(1,)),
        "wide": replace(_BASE, size=100, bins=(1,)),
        "deep": replace(_BASE, size=100, bins=(0, 1), cells=(10, 36), deep=(18,), max_params=10**8),
        "dense": replace(_BASE, size=100, bins=(0, 1), steps=(2, 6, 10), max_params=10**8),
        "bnfree": replace(_BASE, size=100, bins=(0, 1), norm=False),
        "search": replace(_BASE, size=10**5, bins=_TRAIN_BINS, cells=(6, 20), deep=(10,), steps=(1, 3, 6), norm=True),
    },
    "deepnets-small": {
        "train": replace(_SMALL, size=10**6, bins=_TRAIN_BINS),
        "val": replace(_SMALL, bins=(0,)),
        "test": replace(_SMALL, bins=(1,)),
        "wide": replace(_SMALL, size=100, bins=(1,)),
        "deep": replace(_SMALL_OOD, cells=(8, 16), deep=(10,), max_macs=24 * 10**6),
        "dense": replace(_SMALL_OOD, steps=(2, 4, 6), max_macs=24 * 10**6),
        "bnfree": replace(_SMALL_OOD, norm=False),
        "search": replace(_SMALL, size=10**5, bins=_TRAIN_BINS, norm=True),
    },
}
WIDER = {"deepnets": 4, "deepnets-small": 2}  # channels of the wide split, as a multiple of test's


def limits(preset: str, split: str) -> Limits:
    """Limits of a split; the error for an unknown one lists the splits there are."""
    return lookup(lookup(LIMITS, preset, "DeepNets preset"), split, f"split of {preset}")


def sample(preset: str, split: str, index: int) -> DeepNetConfig:
    """Architecture `index` of a split; a split can be continued beyond its published size.

    Raises:
        ArchrepError: unknown preset or split, or a negative index.
    """
    drawn_from = limits(preset, split)
    if index < 0:
        raise ArchrepError(f"{preset}:{split} has architectures from 0 on; got index {index}.")
    if split == "wide":
        narrow = sample(preset, "test", index)
        return replace(narrow, channels=WIDER[preset] * narrow.channels)
    stream = Stream("archrep", "deepnets", VERSIONS[preset], preset, split, index)
    while True:
        config = _draw(stream, drawn_from, split)
        if config is not None:
            return config


def redraw_width(config: DeepNetConfig, preset: str, stream: Stream) -> DeepNetConfig:
    """Draws channels and fc_dim anew, as training does at every visit; bigger networks get fewer channels."""
    drawn_from = limits(preset, "train")
    if drawn_from.max_macs is not None:
        channels = stream.choice(_affordable(config, drawn_from))
        return replace(config, channels=channels, fc_dim=stream.choice(drawn_from.fc_dims))
    params = standard(config).num_params
    ops = config.genotype.ops
    grid = [c for c in drawn_from.channels if c <= 128]
    if params > 800_000 or not config.glob_avg or {"conv_5x5", "conv_7x7"} & set(ops) or config.n_cells > 12:
        grid = grid[:1]
    elif params > 400_000 or config.n_cells > 10:
        grid = grid[:2]
    elif params > 200_000 or config.n_cells > 8:
        grid = grid[:3]
    channels = stream.choice(grid)
    roomy = len(grid) > 3 and channels <= 64
    return replace(config, channels=channels, fc_dim=stream.choice(drawn_from.fc_dims[: None if roomy else 4]))


def standard(config: DeepNetConfig, imagenet: bool = False, fc_dim: int = 256) -> Emitter:
    """The architecture as the official files count its parameters: at 32 channels, fc_dim 256 and 10 classes."""
    return _emitter(replace(config, channels=32, fc_dim=fc_dim), imagenet)


@lru_cache(maxsize=4)  # an architecture that is being drawn is looked at several times
def _emitter(config: DeepNetConfig, imagenet: bool) -> Emitter:
    return Emitter(make_plan(config, imagenet=imagenet))


def _draw(stream: Stream, drawn_from: Limits, split: str) -> DeepNetConfig | None:
    """One attempt; None if the architecture is rejected."""
    n_cells = stream.between(*drawn_from.cells)
    threshold = stream.choice(drawn_from.deep)
    fewest, most_if_deep, most = drawn_from.steps
    steps = stream.between(fewest, most if n_cells <= threshold else most_if_deep)
    genotype = _draw_genotype(stream, steps)
    if _rejected(genotype):
        return None
    is_vit = "msa" in genotype.ops
    channel_mult = stream.choice((1, 2))
    keeps_preproc = 0.2 if is_vit else (0.8 if split == "search" else 1.0)
    shallow = n_cells <= drawn_from.cells[0] + 1 and steps <= most_if_deep
    stem_type = stream.choice((0, 1))
    config = DeepNetConfig(
        genotype=genotype,
        n_cells=n_cells,
        channels=32,
        channel_mult=channel_mult,
        stem_type=stem_type,
        stem_kernel=stream.choice((3, 5, 7)),
        stem_pool=stem_type == 0 and stream.below(0.5),
        norm=stream.choice((True, False)) if drawn_from.norm is None and shallow else drawn_from.norm is not False,
        preproc=steps > 1 or channel_mult > 1 or stream.below(keeps_preproc),
        glob_avg=is_vit or n_cells > threshold or stream.below(0.9),
        fc_layers=stream.between(1, 2),
        fc_dim=stream.choice(drawn_from.fc_dims),
    )
    return _finish(config, drawn_from, stream, split)


def _draw_genotype(stream: Stream, steps: int) -> Genotype:
    pools_only = stream.below(0.5)
    drops_concat = steps > 1 and stream.below(0.5)
    ops = OPS if steps > 1 else OPS[1:]  # a single sum node needs both its edges
    pools = POOLS if steps > 1 else POOLS[1:]
    normal = _draw_cell(stream, steps, ops)
    reduce = _draw_cell(stream, steps, pools if pools_only else ops)
    last = steps + 1  # always concatenated, else earlier sum nodes were lost
    concat = tuple(i for i in range(2, last) if not drops_concat or stream.below(0.5))
    return Genotype(normal, (*concat, last), reduce, (*concat, last))


def _draw_cell(stream: Stream, steps: int, ops: Sequence[str]) -> tuple[Edge, ...]:
    """Two different earlier states per sum node, each through a random operation."""
    edges: list[Edge] = []
    for step in range(steps):
        sources = list(range(step + 2))
        for _ in range(2):
            source = sources.pop(stream.between(0, len(sources) - 1))
            edges.append((stream.choice(ops), source))
    return tuple(edges)


def _rejected(genotype: Genotype) -> bool:
    """No learnable operation; squeeze-excite without convolution or twice in a cell; too many large convolutions."""
    ops = genotype.ops
    convolves = any("conv" in op for op in ops)
    learns = convolves or "msa" in ops or "cse" in ops
    cells = ([op for op, _ in cell] for cell in (genotype.normal, genotype.reduce))
    crowded = any(cell.count("cse") > 1 or cell.count("conv_5x5") + cell.count("conv_7x7") > 1 for cell in cells)
    return not learns or crowded or ("cse" in ops and not convolves)


def _finish(config: DeepNetConfig, drawn_from: Limits, stream: Stream, split: str) -> DeepNetConfig | None:
    """Checks size, connection and split, then settles the channels."""
    fc_dim = drawn_from.counted_fc_dim or config.fc_dim
    try:
        counted = standard(config, fc_dim=fc_dim)
    except ArchrepError:  # disconnected
        return None
    if counted.num_params > drawn_from.max_params or _digest_bin(counted) not in drawn_from.bins:
        return None
    if standard(config, imagenet=True, fc_dim=fc_dim).num_params > drawn_from.max_params:
        return None
    if drawn_from.max_macs is not None:
        grid = _affordable(config, drawn_from)
        return replace(config, channels=stream.choice(grid)) if grid else None
    if split in ("train", "search"):
        return redraw_width(config, "deepnets", stream)
    for channels in drawn_from.channels:
        sized = replace(config, channels=channels)
        if Emitter(make_plan(sized)).num_params >= drawn_from.min_eval_params:
            return sized
    return None


@lru_cache(maxsize=2**15)  # training visits the architectures of a store again and again
def _affordable(config: DeepNetConfig, drawn_from: Limits) -> tuple[int, ...]:
    """Channel counts whose multiply-accumulates, which grow with them, stay within the limit."""
    limit, grid = drawn_from.max_macs or 0, drawn_from.channels
    while grid and Emitter(make_plan(replace(config, channels=grid[-1]))).macs > limit:
        grid = grid[:-1]
    return grid


def _digest_bin(emitter: Emitter) -> int:
    """0 … 7 from the primitives and the number of edges of the graph: the same for isomorphic graphs."""
    key = f"{sorted(emitter.nodes.primitive)} {sum(map(len, emitter.nodes.inputs.values()))}"
    return hashlib.blake2b(key.encode(), digest_size=1).digest()[0] % 8
