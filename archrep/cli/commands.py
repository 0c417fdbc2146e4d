"""All commands. Heavy imports sit inside them, so that `archrep --help` is fast."""

from archrep.cli.measure import measure
from archrep.cli.train import evaluate, train

ALL = (train, measure, evaluate)
