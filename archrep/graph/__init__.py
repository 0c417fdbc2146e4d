"""Computational graphs: ArchGraph, its primitives, and capture from an nn.Module.

Imports nothing of archrep but `errors`; knows nothing of GHNs.
"""

from archrep.graph.archgraph import MAX_DISTANCE, ArchGraph
from archrep.graph.primitives import PRIMITIVES

__all__ = ["MAX_DISTANCE", "PRIMITIVES", "ArchGraph"]
