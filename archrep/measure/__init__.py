"""Ground truth: trains architectures from scratch and measures them.

May import `space`, `data`, `graph`; knows nothing of GHNs.
"""

from archrep.measure.protocol import PROTOCOLS, Protocol
from archrep.measure.run import measure_all

__all__ = ["PROTOCOLS", "Protocol", "measure_all"]
