"""How much is tried: a little in `make test`, more in `make faults`, most in `make faults FULL=1`."""

import os

SIZE = os.environ.get("ARCHREP_FAULTS", "")


def cases(few: int, quick: int, full: int) -> int:
    """The number for this run."""
    return {"": few, "quick": quick, "full": full}[SIZE]
