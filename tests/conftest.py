"""Fixtures that several tests share. Everything is small, real and on the CPU."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

import archrep
from archrep.data import load_images

PROJECT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("ARCHREP_SHARED", PROJECT.parent / "shared"))


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("shared") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason=f"needs the shared data folder (looked at {SHARED.name})"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    return SHARED


@pytest.fixture(scope="session")
def digits():
    return load_images("digits")


@pytest.fixture(scope="session")
def small():
    """Twelve small architectures of several splits."""
    return list(
        archrep.architectures(
            "deepnets-small:test:0-5",
            "deepnets-small:bnfree:0-1",
            "deepnets-small:dense:0-1",
            "deepnets-small:deep:0-1",
        )
    )


@pytest.fixture(scope="session")
def ghn():
    return archrep.GHN.untrained(seed=3)


@pytest.fixture(scope="session")
def cifar10_folder(shared, tmp_path_factory) -> Path:
    """The first 2,000 training and 500 test images of real CIFAR-10; decoding all of them takes half a minute."""
    folder = tmp_path_factory.mktemp("cifar10")
    for part, count in (("train", 2000), ("test", 500)):
        table = pq.read_table(shared / "data" / "cifar10" / f"{part}.parquet")
        pq.write_table(table.slice(0, count), folder / f"{part}.parquet")
    return folder
