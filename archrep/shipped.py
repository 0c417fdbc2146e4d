"""Where the files that ship with archrep lie: inside an installed package, or in a checkout."""

from pathlib import Path

from archrep.errors import ArchrepError

CHECKPOINT = "checkpoints/ghn2-cifar10-small.safetensors"
EMBEDDINGS = "checkpoints/ghn2-cifar10-small.embeddings.parquet"
PREDICTED = "checkpoints/predicted-accuracy.csv"
LABELS = "labels/deepnets-small-cifar10.parquet"


def shipped(name: str) -> Path:
    """Path of a shipped file.

    Raises:
        ArchrepError: if this installation lacks it.
    """
    package = Path(__file__).parent
    for root in (package / "_shipped", package.parent):
        if (root / name).is_file():
            return root / name
    raise ArchrepError(f"This installation lacks {name}; name your own file, or install archrep from a full checkout.")
