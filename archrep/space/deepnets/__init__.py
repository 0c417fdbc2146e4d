"""DeepNets-1M: genotype, plan, network, computational graph and sampler of cell networks (paper § 3)."""

from archrep.space.deepnets.config import OPS, VIT, DeepNetConfig, Genotype
from archrep.space.deepnets.graph import Emitter
from archrep.space.deepnets.network import DeepNet
from archrep.space.deepnets.plan import make_plan
from archrep.space.deepnets.sampler import LIMITS, Stream, limits, redraw_width, sample

__all__ = [
    "LIMITS",
    "OPS",
    "VIT",
    "DeepNet",
    "DeepNetConfig",
    "Emitter",
    "Genotype",
    "Stream",
    "limits",
    "make_plan",
    "redraw_width",
    "sample",
]
