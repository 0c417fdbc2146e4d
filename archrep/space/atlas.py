"""A few architectures of every space that needs no data and no further package, for maps of all of them."""

from itertools import islice

import numpy as np

from archrep.errors import ArchrepError, CaptureError
from archrep.space.architecture import Architecture
from archrep.space.specs import architectures

DEEPNETS = ("deepnets-small:test", "deepnets:test")


def atlas(size: int, seed: int = 0) -> list[Architecture]:
    """`size` architectures of each of four spaces: small and paper-size DeepNets, NAS-Bench-201 and NAS-Bench-Macro.

    Of DeepNets these are the first ones of the test splits, of the others random ones; cells whose output does not
    depend on their input are not drawn.

    Raises:
        ArchrepError: if the size is not from 1 to 500, the number of test architectures.
    """
    if not 1 <= size <= 500:
        raise ArchrepError(f"The number of architectures per space must be from 1 to 500; got {size}.")
    rng = np.random.default_rng(seed)
    found = [a for split in DEEPNETS for a in architectures(f"{split}:0-{size - 1}")]
    cells = list(architectures("nasbench201:all"))
    order = rng.permutation(len(cells))
    found += islice(filter(_has_graph, (cells[i] for i in order)), size)
    codes = rng.choice(3**8, size, replace=False)
    digits = (np.base_repr(code, 3).zfill(8) for code in codes)
    return found + [a for code in digits for a in architectures(f"nasbench_macro:{code}")]


def _has_graph(architecture: Architecture) -> bool:
    try:
        return len(architecture.graph.primitive) > 0
    except CaptureError:
        return False
