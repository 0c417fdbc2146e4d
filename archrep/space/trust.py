"""What a spec from a data file may make archrep do: run no code and open no path elsewhere, unless a user asked for it.

What a user types in a process may come from data there, too: tables hold the specs of what was embedded or measured.
"""

import os
import re
from pathlib import Path

from archrep.errors import ArchrepError

TRUST = "ARCHREP_TRUST_CODE"  # environment variable: 1 where specs in data files may do what typed ones may
_typed: set[str] = set()  # specs that were typed in this process, without positions


def admit_code(spec: str, typed: bool) -> None:
    """Asked before a spec makes code run.

    Raises:
        ArchrepError: if it comes from data that is not trusted.
    """
    if not _admitted(spec, typed):
        raise ArchrepError(
            f"{spec!r} is of no known space, or names code, which data files do not make run. Type it, --archs {spec}, "
            f"or set the environment variable {TRUST}=1 if you trust the file that it comes from."
        )


def admit_path(spec: str, typed: bool) -> None:
    """Asked before a spec of a known space, which may hold a path, is looked up.

    Raises:
        ArchrepError: if it comes from data that is not trusted, and leads out of the current folder.
    """
    path = Path(spec.partition(":")[2])
    if not _admitted(spec, typed) and (path.is_absolute() or ".." in path.parts):
        raise ArchrepError(
            f"{spec!r} leads out of the current folder, which data files may not. Go to a folder above, type the spec, "
            f"or set the environment variable {TRUST}=1 if you trust the file that it comes from."
        )


def _admitted(spec: str, typed: bool) -> bool:
    place = re.sub(r":\d+(-\d+)?$", "", spec)
    if typed:
        _typed.add(place)
    return place in _typed or os.environ.get(TRUST) == "1"
