"""All commands. Heavy imports sit inside them, so that `archrep --help` is fast."""

from archrep.cli.train import evaluate, train

ALL = (train, evaluate)
