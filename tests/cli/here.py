"""Commands in this process: importing torch anew takes longer than most of them."""

import contextlib
import io
import subprocess
import sys

from archrep.cli.main import main


def archrep(*args, cwd=None) -> subprocess.CompletedProcess[str]:
    """What the command gives that a user would type in the folder `cwd`."""
    command = ["archrep", *map(str, args)]
    out, err, before, code = io.StringIO(), io.StringIO(), sys.argv, 0
    sys.argv = command
    try:
        with contextlib.chdir(cwd or "."), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = before
    return subprocess.CompletedProcess(command, code or 0, out.getvalue(), err.getvalue())
