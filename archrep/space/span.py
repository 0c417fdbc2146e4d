"""Spans: the part of a spec that picks some architectures of a split by their index."""

import re

from archrep.errors import ArchrepError


def indices(span: str, size: int, split: str) -> range:
    """Indices that a span names: `i`, `i-j` (both included), or nothing for all `size` of them.

    Args:
        span: the part of the spec behind the split.
        size: number of architectures in the split.
        split: spec of the whole split, for the error message.

    Raises:
        ArchrepError: for anything else, or an index beyond the split.
    """
    match = re.fullmatch(r"(\d{1,12})(?:-(\d{1,12}))?", span) if span else None
    if span and not match:
        raise ArchrepError(f"{split}:{span}: expected {split}, {split}:i or {split}:i-j; got {span!r}.")
    first = int(match[1]) if match else 0
    last = int(match[2] or match[1]) if match else size - 1
    if not first <= last < size:
        raise ArchrepError(f"{split} has architectures 0 … {size - 1}; got {first} … {last}.")
    return range(first, last + 1)
