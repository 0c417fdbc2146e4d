"""What a spec from a data file may make archrep do: run no code and open no path elsewhere, unless a user asked for it.

What a user types in a process may come from data there, too: tables hold the specs of what was embedded or measured.
"""

import os
import re

from archrep.errors import ArchrepError

LONGEST, LONGEST_PATH = 255, 4000  # bytes of a name, characters of a path: beyond, systems raise OSError
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
        ArchrepError: if it has a name longer than a file's can be, or comes from data that is not trusted and leads
            out of the current folder.
    """
    path = spec.partition(":")[2]
    if max(len(name.encode(errors="replace")) for name in path.split("/")) > LONGEST or len(path) > LONGEST_PATH:
        raise ArchrepError(
            f"{spec:.40}…: a name of more than {LONGEST} bytes, or a path of more than {LONGEST_PATH}, which no file "
            "has. Check the spec."
        )
    # Where in it the path ends, only the space knows: a folder may have colons in its name.
    if not _admitted(spec, typed) and (path.startswith("/") or ".." in re.split("[/:]", path)):
        raise ArchrepError(
            f"{spec!r} leads out of the current folder, which data files may not. Go to a folder above, type the spec, "
            f"or set the environment variable {TRUST}=1 if you trust the file that it comes from."
        )


def _admitted(spec: str, typed: bool) -> bool:
    place = re.sub(r":\d+(-\d+)?$", "", spec)
    if typed:
        _typed.add(place)
    return place in _typed or os.environ.get(TRUST) == "1"
