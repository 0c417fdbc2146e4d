"""Hashing of whole arrays, the same on every machine."""

import numpy as np


def mixed(x: np.ndarray) -> np.ndarray:
    """uint64 → uint64, one to one and without pattern: the finaliser of splitmix64 (Steele et al., OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
