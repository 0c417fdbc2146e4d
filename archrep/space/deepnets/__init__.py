"""DeepNets-1M (paper § 3): genotypes of cell networks, their plans, graphs and networks, the sampler, and stores.

config → plan → graph (`Emitter`) and network; sampler: (preset, split, index) → config; shard, store and generate:
splits on disk.
"""

from archrep.space.deepnets.architecture import deepnet_of, fitted
from archrep.space.deepnets.config import OPS, VIT, DeepNetConfig, Genotype
from archrep.space.deepnets.generate import generate
from archrep.space.deepnets.graph import Emitter
from archrep.space.deepnets.network import DeepNet
from archrep.space.deepnets.plan import make_plan
from archrep.space.deepnets.sampler import LIMITS, Stream, limits, redraw_width, sample
from archrep.space.deepnets.split import Generated, Split
from archrep.space.deepnets.store import Store

__all__ = [
    "LIMITS",
    "OPS",
    "VIT",
    "DeepNet",
    "DeepNetConfig",
    "Emitter",
    "Generated",
    "Genotype",
    "Split",
    "Store",
    "Stream",
    "deepnet_of",
    "fitted",
    "generate",
    "limits",
    "make_plan",
    "redraw_width",
    "sample",
]
