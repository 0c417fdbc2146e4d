"""Training a GHN, and the accuracy of the parameters it predicts.

May import `ghn`, `space`, `data`, `graph`.
"""

from archrep.train.config import PRESETS, TrainConfig
from archrep.train.evaluate import evaluate

__all__ = ["PRESETS", "TrainConfig", "evaluate"]
