"""The official file of NAS-Bench-201's API (`NAS-Bench-201-v1_*.pth`), read without running code from it.

A pickle: {"arch2infos": {index: {"less" | "full": {"arch_str", "all_results": {(data set, seed): {"params" (M),
"flop" (M), "eval_acc1es": {"SPLIT@EPOCH": %}}}}}}}. "less" is the schedule of 12 epochs, "full" that of 200, of which
the last one is 11 or 199. On `cifar10-valid` networks were trained on half of the training images, the other half is
`x-valid`; on `cifar10` on all of them, `ori-test` are the test images (arXiv:2001.00326, § 2.2).
"""

import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archrep.errors import ArchrepError, first_line
from archrep.torch_files import load_plain

SCHEDULES = {"less": 12, "full": 200}
# Column → (data set of the file, split of the file).
COLUMNS = {
    "cifar10_valid": ("cifar10-valid", "x-valid"),
    "cifar10_test": ("cifar10", "ori-test"),
    "cifar100_valid": ("cifar100", "x-valid"),
    "cifar100_test": ("cifar100", "x-test"),
    "imagenet16_valid": ("ImageNet16-120", "x-valid"),
    "imagenet16_test": ("ImageNet16-120", "x-test"),
}
MILLION = 1_000_000


def is_api_file(path: Path) -> bool:
    """Whether a file is one of torch's, by how it begins."""
    with path.open("rb") as file:
        start = file.read(2)
    return zipfile.is_zipfile(path) or start in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_api_file(path: Path) -> pd.DataFrame:
    """One row per architecture and seed, with columns as in published tables: `arch_str`, `cifar10_test_200ep` ….

    The schedule of 12 epochs has one seed, and values in that seed's rows only; its CIFAR-10 test accuracy is that of
    networks trained on half of the images where the file has no other.

    Raises:
        ArchrepError: if the file holds anything but plain values, or not what the API writes.
    """
    content = _load(path)
    try:
        rows = [row for infos in content["arch2infos"].values() for row in _rows(infos)]
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ArchrepError(
            f"{path}: not a file of the NAS-Bench-201 API ({first_line(error)}); expected NAS-Bench-201-v1_*.pth."
        ) from error
    if not rows:
        raise ArchrepError(f"{path}: holds no results.")
    return pd.DataFrame(rows)


class _Kind:
    """A dtype of numpy as the file names it; numpy's own could be of any size."""

    def __init__(self, code: str, *_: bool) -> None:
        self.code = code

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]


def _number(kind: _Kind, data: bytes) -> float:
    """A number of numpy, which is a plain value, too."""
    if kind.code not in ("f4", "f8", "i8") or kind.order not in ("<", ">"):
        raise ValueError("a number of another type")
    return np.frombuffer(data, kind.order + kind.code).item()


NUMPY: list[tuple[Callable, str]] = [
    (_Kind, "numpy.dtype"),
    *((_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]


def _load(path: Path) -> Any:
    try:
        return load_plain(path, NUMPY)
    except pickle.UnpicklingError as error:
        raise ArchrepError(
            f"{path}: refused, reading it would run code that it names ({error}). Export a table with a column "
            "arch_str and columns such as cifar10_test_200ep instead."
        ) from error
    except ValueError as error:
        raise ArchrepError(f"{path}: not a readable torch file ({error}). Download it again.") from error


def _rows(infos: Mapping) -> Iterator[dict]:
    seeds = sorted({seed for name in SCHEDULES if name in infos for _, seed in infos[name]["all_results"]})
    for seed in seeds:
        row: dict[str, Any] = {}
        for name, epochs in SCHEDULES.items():
            if name in infos:
                row = {"arch_str": str(infos[name]["arch_str"]), "seed": int(seed), **row}
                row |= _values(infos[name]["all_results"], seed, epochs)
        yield row


def _values(results: Mapping, seed: int, epochs: int) -> dict[str, float]:
    values: dict[str, float] = {}
    for column, (dataset, split) in COLUMNS.items():
        found = results.get((dataset, seed))
        if found is None and column == "cifar10_test" and epochs == SCHEDULES["less"]:
            found = results.get(("cifar10-valid", seed))
        if found is None:
            continue
        if (accuracy := found["eval_acc1es"].get(f"{split}@{epochs - 1}")) is not None:
            values[f"{column}_{epochs}ep"] = float(accuracy)
        if dataset == "cifar10":
            values |= {"params": MILLION * float(found["params"]), "flops": 2 * MILLION * float(found["flop"])}
    return values
