"""What a NAS person does with encodings: rank a pool from few labels, search with a budget of queries, find neighbours.

A `Pool` holds architectures, their functional classes and encodings; a strategy proposes the next one to train;
`simulate` pays for it, each functional class once, and `regret` tells what that brought. May import `probe`, `measure`,
`ghn`, `space`, `graph`, `data`.
"""

from archrep.search.neighbors import Neighbors, nearest
from archrep.search.pool import Pool, make_pool
from archrep.search.simulate import Trajectory, simulate
from archrep.search.strategies import STRATEGIES, make_strategy

__all__ = [
    "STRATEGIES",
    "Neighbors",
    "Pool",
    "Trajectory",
    "make_pool",
    "make_strategy",
    "nearest",
    "simulate",
]
