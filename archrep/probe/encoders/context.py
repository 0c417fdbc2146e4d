"""What encoders may need besides the architectures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from archrep.data.images import ImageSet
from archrep.ghn import GHN
from archrep.space import Architecture


@dataclass(frozen=True)
class Context:
    """What encoders may need besides the architectures; each says what it lacks in its error.

    Attributes:
        labels: label table indexed by architecture (canonical spec); encoders read columns from it.
        ghn: the trained GHN; controls take its configuration.
        images: real images, for zero-cost proxies and predicted accuracy.
        seed: of everything random in an encoder.
    """

    labels: pd.DataFrame | None = None
    ghn: GHN | None = None
    images: ImageSet | None = None
    seed: int = 0


Encode = Callable[[Sequence[Architecture], Context, str], np.ndarray]  # (architectures, context, argument) → (n, d)


@dataclass(frozen=True)
class Encoder:
    """An entry of the registry.

    Attributes:
        encode: architectures, context and the argument behind the name in the spec → (n, d) float64. It is
            stateless, and d depends on the space and the argument alone.
        needs_graph: every architecture needs a computational graph, even in a space whose cells say it all. Where
            it is False, spaces without cells need graphs all the same.
        argument: what may stand behind `name:`, for messages; empty if nothing may.
    """

    encode: Encode
    needs_graph: bool = True
    argument: str = ""
