"""Ground truth: trains architectures from scratch and measures them.

protocol → training, latency, memory → network (one run) → crew (many; engines local and ray_crew) → record (on disk).
May import `space`, `data`, `graph`; knows nothing of GHNs.
"""

from archrep.measure.crew import Limits, Run
from archrep.measure.here import HereCrew
from archrep.measure.local import LocalCrew
from archrep.measure.network import Measuring
from archrep.measure.protocol import PROTOCOLS, Protocol
from archrep.measure.run import Outcome, measure_all

__all__ = [
    "PROTOCOLS",
    "HereCrew",
    "Limits",
    "LocalCrew",
    "Measuring",
    "Outcome",
    "Protocol",
    "Run",
    "measure_all",
]
