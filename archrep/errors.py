"""The one error users see, and name look-up with helpful messages.

May import nothing of archrep.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class ArchrepError(Exception):
    """An expected failure: one line that says what was got, what is allowed and what to do next.

    The command line prints it without a traceback and exits with code 2.
    """


class CaptureError(ArchrepError):
    """A network whose computational graph cannot be captured faithfully."""


def first_line(error: BaseException) -> str:
    """An error of another library in one short line: its type and how its message begins."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0].strip()[:160]}" if lines else type(error).__name__


def printable(text: str) -> str:
    """Text for a terminal: what would move its cursor, change its colours or turn the direction of writing is told."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def unknown(kind: str, name: object, allowed: Iterable[str], hint: str = "") -> ArchrepError:
    """Builds the error for a name that does not exist, listing what does."""
    names = sorted(map(str, allowed))
    close = difflib.get_close_matches(str(name), names, n=1)
    did_you_mean = f" Did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(names[:30]) + (", …" if len(names) > 30 else "")
    return ArchrepError(f"Unknown {kind} {name!r}.{did_you_mean} Available: {shown or 'none'}.{hint}")


def lookup(table: Mapping[str, T], name: str, kind: str) -> T:
    """Returns `table[name]`.

    Raises:
        ArchrepError: if the name is missing; lists the available names and the closest one.
    """
    if name not in table:
        raise unknown(kind, name, table)
    return table[name]
