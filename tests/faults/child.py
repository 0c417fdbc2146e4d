"""Forks of this process, which has imported everything: they start at once, and may be killed or have no disk left."""

import json
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import torch

from archrep.errors import ArchrepError


class Child:
    """A process that calls `work`; `result()` is what came of it."""

    def __init__(self, work: Callable[[], Any], file_size: int | None = None) -> None:
        """Starts it. file_size: bytes that its files may have."""
        self._pipe, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setpgid(0, 0)
                os.close(self._pipe)
                answer = _done(work, file_size)
                os.write(theirs, json.dumps(answer).encode())
            finally:
                os._exit(0)
        os.close(theirs)
        self.began = time.monotonic()

    def kill_after(self, seconds: float) -> None:
        """SIGKILL, some time after its start."""
        time.sleep(max(0.0, self.began + seconds - time.monotonic()))
        os.kill(self.pid, signal.SIGKILL)

    def result(self) -> str | None:
        """Waits; "" if it went well, archrep's message if it was refused, None if it was killed.

        Raises:
            AssertionError: for any other error.
        """
        with os.fdopen(self._pipe, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(self.pid, 0)
        if not answer:
            return None
        expected, message = json.loads(answer)
        assert expected, message
        return message


def _done(work: Callable[[], Any], file_size: int | None) -> tuple[bool, str]:
    """Whether it went as things may go, and what archrep says."""
    pa.set_cpu_count(1)
    torch.set_num_threads(1)  # a pool of threads that this process' parent had is not there any more
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if file_size is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, hard))
    try:
        work()
    except ArchrepError as error:
        return True, str(error)[:4000]
    except BaseException as error:  # noqa: BLE001 - the parent raises it
        return False, f"{type(error).__name__}: {error}"[:2000]
    return True, ""
