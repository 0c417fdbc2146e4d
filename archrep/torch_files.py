"""Reading files that torch saved and others made: plain values and tensors, in memory in proportion to the file."""

import mmap
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from archrep.errors import first_line
from archrep.files import is_packed

# torch lets a file call it; a number is all it takes to fill any memory. How the file would name it:
FILLS_MEMORY = b"bytearray\n"


def load_plain(path: Path, plain: Iterable[Callable | tuple[Callable, str]] = ()) -> Any:
    """What torch saved in a file, on the CPU; no code in the file is run.

    Args:
        plain: types and functions that the file may name beside torch's own, as `torch.serialization.safe_globals`
            takes them.

    Raises:
        pickle.UnpicklingError: if it names anything else.
        ValueError: if it cannot be read for any other reason, is compressed or claims more memory than there is; the
            message is one line.
    """
    try:
        _refuse_bombs(path)
        with torch.serialization.safe_globals(list(plain)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols than torch's, which it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise pickle.UnpicklingError("it names code or objects") from error  # torch tells how to run them
    except Exception as error:  # torch and zipfile raise anything over a damaged file
        raise ValueError(first_line(error)) from error


def _refuse_bombs(path: Path) -> None:
    """Raises for a file whose content may be much larger than itself."""
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            with zipfile.ZipFile(file) as records:
                if is_packed(records, path):
                    raise ValueError("it is compressed, which torch's files are not")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(FILLS_MEMORY) >= 0:
                raise ValueError("it names bytearray, which no file of ours does")
