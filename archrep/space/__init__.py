"""Where architectures come from: spaces, and the spec strings that name their members.

May import `graph` and `errors`.
"""

from archrep.space.architecture import Architecture
from archrep.space.specs import SPACES, architectures

__all__ = ["SPACES", "Architecture", "architectures"]
