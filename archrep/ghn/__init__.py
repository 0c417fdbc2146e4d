"""Graph hypernetworks: encoder, graph network, decoder, model and checkpoints.

May import `graph` and `errors`; knows nothing of spaces, training or probes.
"""

from archrep.ghn.assign import predict_parameters
from archrep.ghn.config import GHNConfig
from archrep.ghn.model import GHN

__all__ = ["GHN", "GHNConfig", "predict_parameters"]
