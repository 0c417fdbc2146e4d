"""Users' own networks: `file.py:callable` and `package.module:callable`.

The callable (a function or a class) takes no arguments and returns an nn.Module. An attribute `input_shape` of the
network or of the callable says what it takes; without one, (3, 32, 32).

A spec runs the code that it names, so only those that a user typed do; data files never make code run.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from archrep.errors import ArchrepError, CaptureError, first_line, lookup
from archrep.graph.archgraph import ArchGraph, Shape
from archrep.graph.capture import capture
from archrep.space.architecture import Architecture
from archrep.space.trust import admit_code

TIMEOUT = 60  # seconds for which a user's code may run at a time


def own_network(spec: str, typed: bool = True) -> Architecture | None:
    """The architecture that a user's callable makes; None if the spec names neither a file nor a module.

    The callable is called once to see that it works; the global torch seed is left alone.

    Args:
        typed: whether the spec comes from a user rather than from data; what was typed before may be in data, too.

    Raises:
        ArchrepError: if the file or the callable is missing, or the spec comes from data that is not trusted.
        CaptureError: if either fails or does not come back, or the result is no network.
    """
    where, _, name = (spec + ":" if spec.endswith(".py") else spec).rpartition(":")
    if _names_code(where):
        admit_code(spec, typed)
    if where.endswith(".py"):
        module = _load_file(Path(where))
    elif _importable(where):
        with failing(f"{where}: cannot be imported"):
            module = import_module(where)
    else:
        return None
    callables = {key: value for key, value in vars(module).items() if callable(value) and not key.startswith("_")}
    return _architecture(spec, lookup(callables, name, f"callable of {where}"))


def _architecture(spec: str, make: Callable[[], object]) -> Architecture:
    def build() -> nn.Module:
        with failing(f"{spec}: the call fails"):
            network = make()
        if not isinstance(network, nn.Module):
            raise CaptureError(f"{spec}: returns {type(network).__name__}; it must return a torch.nn.Module.")
        return network

    def build_aside() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            return build()

    def graph(vocabulary: str) -> ArchGraph:
        network = build_aside()
        with failing(f"{spec}: the forward pass fails"):
            return capture(network, shape, vocabulary=vocabulary)

    shape = _input_shape(spec, build_aside(), make)
    return Architecture(spec, "own", "", graph, build, shape)


def _input_shape(spec: str, network: nn.Module, make: object) -> Shape:
    shape = getattr(network, "input_shape", getattr(make, "input_shape", (3, 32, 32)))
    if not isinstance(shape, tuple | list) or not all(isinstance(size, int) and size > 0 for size in shape):
        raise CaptureError(f"{spec}: input_shape is {shape!r}; expected positive integers such as (3, 32, 32).")
    return tuple(shape)


def _load_file(path: Path) -> ModuleType:
    """Runs a Python file as a module of its own; it may import what lies beside it."""
    if not os.path.isfile(path):  # unlike Path's, it does not raise for a name that is too long
        raise ArchrepError(f"{path}: no such file. Expected file.py:callable, the path from here or from the root.")
    name = str(path.resolve())  # no other module has this name
    found = spec_from_file_location(name, path)
    assert found is not None  # it ends in .py
    assert found.loader is not None
    module = module_from_spec(found)
    sys.modules[name] = module  # dataclasses look themselves up there
    sys.path.insert(0, str(path.resolve().parent))
    try:
        with failing(f"{path}: cannot be imported"):
            found.loader.exec_module(module)
    except CaptureError:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _names_code(where: str) -> bool:
    return where.endswith(".py") or all(part.isidentifier() for part in where.split("."))


def _importable(module: str) -> bool:
    if module in sys.modules:
        return True
    if not _names_code(module):
        return False
    with failing(f"{module}: cannot be imported"):
        try:
            return find_spec(module) is not None
        except ModuleNotFoundError as error:
            if error.name and f"{module}.".startswith(f"{error.name}."):  # a package above it does not exist
                return False
            raise


def _limit() -> float:
    told = os.environ.get("ARCHREP_TIMEOUT", str(TIMEOUT))
    try:
        limit = float(told)
    except ValueError:
        limit = 0
    if not 0 < limit < 1e9:
        raise ArchrepError(f"ARCHREP_TIMEOUT={told}: give the seconds that a network's code may take, or unset it.")
    return limit


@contextmanager
def failing(what: str) -> Iterator[None]:
    """One line for whatever a user's code raises, and for code that does not come back."""
    limit = _limit()
    timed = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    try:
        if timed:
            before = signal.signal(signal.SIGALRM, _too_long)
            signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            yield
        finally:
            if timed:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
    except CaptureError:
        raise
    except _TooLongError as error:
        raise CaptureError(
            f"{what} (still running after {limit:g} s; the environment variable ARCHREP_TIMEOUT sets the limit)."
        ) from error
    except (Exception, SystemExit) as error:
        raise CaptureError(f"{what} ({first_line(error)}).") from error


class _TooLongError(BaseException):
    """A user's code took too long; not an Exception, so that the code's own handlers let it pass."""


def _too_long(signum: int, frame: object) -> None:
    raise _TooLongError
