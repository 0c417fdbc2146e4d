"""What a strategy may know: the pool without its labels, and what has been paid for."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from archrep.search.neighbourhood import Neighbourhood

START = 10  # random architectures that a strategy begins with


@dataclass(frozen=True)
class Candidates:
    """The n architectures of a pool, as strategies see them: by position, without labels.

    Attributes:
        classes: (n,) number of the functional class of each; members compute the same.
        neighbours: of each, what local steps go to.
        encodings: encoder spec → (n, d).
    """

    classes: np.ndarray
    neighbours: Neighbourhood
    encodings: dict[str, np.ndarray]


class Search:
    """One run of a search.

    Attributes:
        candidates: what there is to choose from.
        order: (n,) random permutation, the same for every strategy of one run: all start from the same architectures.
        rng: for everything else that is random, own to strategy and run.
        paid: positions in the order in which they were paid for and gave a value. values: what they gave; more is
            better.
        known: (n,) bool: the functional class has been paid for, so another proposal of it costs nothing.
        queries: how many were paid for, failures included.
    """

    def __init__(self, candidates: Candidates, order: np.ndarray, rng: np.random.Generator) -> None:
        self.candidates, self.order, self.rng = candidates, order, rng
        self.paid: list[int] = []
        self.values: list[float] = []
        self.known = np.zeros(len(candidates.classes), dtype=bool)
        self.queries = 0
        self._of_class: dict[int, float] = {}
        self._drawn = 0

    def pay(self, position: int, value: float) -> None:
        """Notes what a paid query gave; NaN if the architecture failed, which is then not proposed again."""
        self.queries += 1
        group = int(self.candidates.classes[position])
        self._of_class[group] = value
        self.known |= self.candidates.classes == group
        if np.isfinite(value):
            self.paid.append(int(position))
            self.values.append(float(value))

    def value(self, position: int) -> float:
        """What the architecture's functional class gave; minus infinity if it failed or has not been paid for."""
        value = self._of_class.get(int(self.candidates.classes[position]), np.nan)
        return value if np.isfinite(value) else -np.inf

    def draw(self) -> int | None:
        """The next architecture at random, each once; its class may be known. None after the last."""
        if self._drawn == len(self.order):
            return None
        self._drawn += 1
        return int(self.order[self._drawn - 1])

    def best(self, count: int) -> list[int]:
        """The best paid architectures, best first."""
        order = np.argsort(-np.array(self.values), kind="stable")[:count]
        return [self.paid[i] for i in order]


class Strategy(Protocol):
    """Proposes architectures; a new object for every run, which may remember what it proposed."""

    def propose(self, search: Search) -> int | None:
        """Position of the architecture to train next, given what is known; None if there is nothing left to try.

        A proposal whose class is known costs nothing: its value is there at the next call.
        """
        ...
