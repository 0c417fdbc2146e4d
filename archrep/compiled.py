"""Machine code from Python, by numba where it is installed; what is here runs without, only slower.

May import nothing of archrep.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch

try:
    from numba import njit
except ImportError:
    njit = None  # type: ignore[assignment]

COMPILES = njit is not None

CONTRACT = frozenset({"contract"})  # multiply and add in one instruction
REORDER = CONTRACT | {"reassoc", "nsz"}  # sums in any order too

# Plain numbers would make it double precision.
HALF, ONE = np.float32(0.5), np.float32(1)
LOG2_E, LN_2 = np.float32(1 / math.log(2)), np.float32(math.log(2))
E2, E3, E4, E5, E6 = (np.float32(1 / math.factorial(k)) for k in range(2, 7))
LARGEST = np.float32(80)  # e⁸⁰ is within float32


def compiled(fastmath: frozenset[str] = CONTRACT) -> Callable[[Callable], Callable]:
    """Decorator: the function as machine code that releases the GIL; as it is where numba is missing.

    Args:
        fastmath: how far floating-point arithmetic may depart from the order it is written in.
    """

    def decorate(function: Callable) -> Callable:
        if not COMPILES:
            return function
        make = partial(njit, nogil=True, fastmath=set(fastmath), error_model="numpy")  # 1 / 0 is infinite, no error
        try:
            return make(cache=True)(function)
        except RuntimeError:  # no folder to cache the machine code in
            return make()(function)

    return decorate


def in_threads(function: Callable[[int], None], count: int) -> None:
    """Calls `function` with 0 … count - 1, in as many threads as torch uses; raises what a thread raised."""
    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        for i in range(count):
            function(i)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(function, range(count)))


@compiled()
def exponential(x, powers):
    """Replaces x (k,) float32 by eˣ, to 1e-7, in plain arithmetic that the compiler vectorises.

    eˣ = 2ⁿ·eʳ with |r| ≤ ln 2 / 2: eʳ by its Taylor polynomial, 2ⁿ from its bits in `powers`, (k,) int32.
    """
    for j in range(len(x)):
        exponent = min(max(x[j], -LARGEST), LARGEST)
        n = np.floor(exponent * LOG2_E + HALF)
        r = exponent - n * LN_2
        x[j] = ONE + r * (ONE + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * E6)))))
        powers[j] = (np.int32(n) + 127) << 23
    power = powers.view(np.float32)
    for j in range(len(x)):
        x[j] *= power[j]
