"""Who is one step away from whom in a pool: one edit of a cell where the space has such, else the nearest ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from archrep.probe.cells import digits_macro, operations_201
from archrep.space import Architecture
from archrep.space.nasbench201 import OPERATIONS

NEAREST = 24  # as many as a NAS-Bench-201 cell has edits
HELD = 0.25  # share of the edits that a pool must hold


@dataclass(frozen=True)
class Neighbourhood:
    """Neighbours in the pool of n architectures, as compressed rows.

    Attributes:
        start: (n + 1,). index: (m,) positions; those of architecture i are index[start[i] : start[i + 1]].
        meaning: what a step is, in words.
    """

    start: np.ndarray
    index: np.ndarray
    meaning: str

    def of(self, position: int) -> np.ndarray:
        """Positions of the neighbours of one architecture; there may be none."""
        return self.index[self.start[position] : self.start[position + 1]]


def edits(architectures: Sequence[Architecture]) -> Neighbourhood | None:
    """Cells of the pool that differ in one operation.

    None for spaces whose cells are no fixed list of operations, and for pools that hold but a few of the edits: there
    one could hardly walk.
    """
    spaces = {a.space for a in architectures}
    if len(spaces) != 1 or (space := spaces.pop()) not in DIGITS:
        return None
    base, read = DIGITS[space]
    digits = np.array([read(a) for a in architectures])  # (n, L)
    weights = base ** np.arange(digits.shape[1])
    code = digits @ weights
    position = np.full(base ** digits.shape[1], -1)
    position[code] = np.arange(len(code))
    steps = []
    for place, weight in enumerate(weights):
        for shift in range(1, base):
            steps.append(position[code + ((digits[:, place] + shift) % base - digits[:, place]) * weight])
    found = np.stack(steps, axis=1)  # (n, L * (base - 1))
    return _rows(found, "one operation of the cell") if (found >= 0).mean() >= HELD else None


def nearest(x: np.ndarray, spec: str, count: int = NEAREST) -> Neighbourhood:
    """The nearest architectures by Euclidean distance of an encoding (n, d), its columns standardised."""
    z = ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)).astype(np.float32)
    count, norms = min(count, len(z) - 1), (z**2).sum(axis=1)
    rows = []
    for first in range(0, len(z), 1024):
        part = z[first : first + 1024]
        distance = norms - 2 * part @ z.T
        distance[np.arange(len(part)), first + np.arange(len(part))] = np.inf
        rows.append(np.argsort(distance, axis=1, kind="stable")[:, :count])
    return _rows(np.concatenate(rows), f"to one of the {count} nearest by {spec}")


def _rows(steps: np.ndarray, meaning: str) -> Neighbourhood:
    """From (n, m) positions, -1 where there is none."""
    start = np.concatenate([[0], np.cumsum((steps >= 0).sum(axis=1))])
    return Neighbourhood(start, steps[steps >= 0], meaning)


def _digits_201(architecture: Architecture) -> list[int]:
    return [list(OPERATIONS).index(name) for name in operations_201(architecture)]


def _digits_macro(architecture: Architecture) -> list[int]:
    return [int(digit) for digit in digits_macro(architecture)]


# Space → number of operations, and what stands in every place of a cell.
DIGITS: dict[str, tuple[int, Callable[[Architecture], list[int]]]] = {
    "nasbench201": (5, _digits_201),
    "nasbench201-cell": (5, _digits_201),
    "nasbench_macro": (3, _digits_macro),
}
