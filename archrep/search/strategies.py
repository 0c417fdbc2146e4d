"""The strategies by name, and those that learn nothing: random, local search, regularised evolution.

A strategy spec is a name of `STRATEGIES`; a strategy that looks at an encoding takes another one after a colon:
`gp-ei:one-hot`, `bananas:graph-features`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from archrep.errors import ArchrepError, lookup
from archrep.probe.encoders import ENCODERS, parse
from archrep.search.bananas import Bananas
from archrep.search.guided import expected_improvement, guided, thompson
from archrep.search.state import Search, Strategy

POPULATION, SAMPLE = 20, 10  # of evolution
STALE = 200  # children in a row that were known already, after which evolution takes a random architecture


class Random:
    """Random architectures, each once."""

    def propose(self, search: Search) -> int | None:
        """The next one at random."""
        return search.draw()


class LocalSearch:
    """Steepest ascent with restarts (White et al., UAI 2021, Algorithm 1).

    From a random architecture, all neighbours are tried and the best one is next, until none is better; then it starts
    anew.
    """

    def __init__(self) -> None:
        self.waiting: list[int] = []  # to be proposed
        self.tried: list[int] = []  # in this round
        self.centre: int | None = None

    def propose(self, search: Search) -> int | None:
        """The next neighbour of the centre, or the next random start."""
        while not self.waiting:
            best = max(self.tried, key=search.value, default=None)
            climbs = best is not None and (self.centre is None or search.value(best) > search.value(self.centre))
            self.centre = best if climbs else None
            self.tried = []
            if self.centre is not None:
                self.waiting = search.rng.permutation(search.candidates.neighbours.of(self.centre)).tolist()
            elif (start := search.draw()) is not None:
                self.waiting = [start]
            else:
                return None
        self.tried.append(self.waiting.pop())
        return self.tried[-1]


class Evolution:
    """Regularised evolution (Real et al., AAAI 2019, Algorithm 1): the best of a sample is mutated, the oldest dies.

    Population 20 and sample 10, for budgets of a hundred queries; a mutation is one step in the pool. A population
    whose neighbours are all known gets a random architecture.
    """

    def __init__(self) -> None:
        self.population: deque[int] = deque(maxlen=POPULATION)
        self.drawn = self.stale = 0

    def propose(self, search: Search) -> int | None:
        """A random architecture until the population is complete, then a neighbour of the best of a sample."""
        if self.drawn < POPULATION or self.stale == STALE:
            child = search.draw()
            self.drawn += 1
        else:
            child = self._mutate(search)
        if child is not None:
            self.stale = self.stale + 1 if search.known[child] and self.stale < STALE else 0
            self.population.append(child)
        return child

    def _mutate(self, search: Search) -> int | None:
        size = min(SAMPLE, len(self.population))
        sample = search.rng.choice(len(self.population), size, replace=False)
        parent = max((self.population[i] for i in sample), key=search.value)
        near = search.candidates.neighbours.of(parent)
        return int(search.rng.choice(near)) if len(near) else search.draw()


@dataclass(frozen=True)
class Recipe:
    """How a strategy is made.

    Attributes:
        make: from an encoder spec, empty if it looks at none.
        encoder: its default encoder; empty if it takes none.
        meaning: for listings.
    """

    make: Callable[[str], Strategy]
    encoder: str
    meaning: str


STRATEGIES: dict[str, Recipe] = {
    "random": Recipe(lambda spec: Random(), "", "random architectures"),
    "local-search": Recipe(lambda spec: LocalSearch(), "", "steepest ascent over neighbours, with restarts"),
    "evolution": Recipe(lambda spec: Evolution(), "", "regularised evolution"),
    "bananas": Recipe(Bananas, "paths", "ensemble of neural networks on path encodings"),
    "gp-ei": Recipe(guided(expected_improvement), "graph-features", "Gaussian process, expected improvement"),
    "gp-ts": Recipe(guided(thompson), "graph-features", "Gaussian process, Thompson sampling"),
}


def make_strategy(spec: str) -> Strategy:
    """A new strategy for one run.

    Raises:
        ArchrepError: for an unknown strategy or encoder, or an encoder where none is taken.
    """
    return _recipe(spec).make(encoder_of(spec))


def encoder_of(spec: str) -> str:
    """The encoder spec that a strategy looks at; empty if none.

    Raises:
        ArchrepError: see `make_strategy`.
    """
    name, colon, encoder = spec.partition(":")
    default = _recipe(spec).encoder
    if colon and not default:
        raise ArchrepError(f"The strategy {name!r} looks at no encoding; got {spec!r}.")
    if colon:
        parse(encoder)
    return encoder or default


def _recipe(spec: str) -> Recipe:
    return lookup(STRATEGIES, spec.partition(":")[0], "strategy")


def split_strategies(text: str) -> list[str]:
    """Strategy specs of a list separated by commas; commas in an encoder's argument stay: `gp-ei:ghn:final:mean,max`.

    Raises:
        ArchrepError: for an unknown strategy, one that is named twice, or none at all.
    """
    specs: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name = part.partition(":")[0]
        if name not in STRATEGIES and specs and specs[-1].count(":") > 1 and name.partition("+")[0] not in ENCODERS:
            specs[-1] += f",{part}"
        else:
            specs.append(part)
    for spec in specs:
        encoder_of(spec)
    if not specs or len(set(specs)) < len(specs):
        raise ArchrepError(f"Name every strategy once, out of {', '.join(STRATEGIES)}; got {text!r}.")
    return specs
