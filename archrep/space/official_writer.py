"""Writing DeepNets splits as the official files, which the released code reads (format: see official.py).

A split is `deepnets1m_SPLIT.hdf5` and `deepnets1m_SPLIT_meta.json`. The released loader looks for evaluation splits
in `deepnets1m_eval`, so a pair of that name joins those in the folder: a copy of their JSON, and links to their
graphs. What follows the released files:

- `adj` is cut at 250. `nodes`, (N, 3) uint16: primitive, cell, name of the main parameter within the cell or, without
  parameters, the primitive. 1×1 convolutions and linear layers are primitives of their own. The indices are those of
  `meta`, in the order in which names occur. Row i is node i of `adj`, which the released loader takes for granted.
- Records count parameters at 32 channels, fc_dim 256 and 10 classes with either stem. `C` and `fc_dim` are those of
  the architecture (the released loader needs `C` in evaluation and overrides both in training).
"""

import fcntl
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from archrep.errors import ArchrepError
from archrep.files import atomic, from_json, refuse_existing
from archrep.graph.distance import shortest_distances
from archrep.graph.primitives import VOCABULARIES
from archrep.space.deepnets import DeepNetConfig, Emitter, Split, make_plan
from archrep.space.deepnets.sampler import WIDER, standard
from archrep.space.official import load_meta, meta_path, opened

Progress = Callable[[int], None]  # called with the number of architectures that are new

TITLE = "DeepNets-1M"
MERGED = ("val", "test", "wide", "deep", "dense", "bnfree")  # splits that the released loader looks for in one file
CUT = 250


def write_official(
    source: Split,
    out: str | Path,
    size: int | None = None,
    force: bool = False,
    progress: Progress = lambda count: None,
) -> Path:
    """Writes the first `size` architectures of a split as official files: both of them or none.

    Args:
        size: default: all.
        force: replaces those of the same split.

    The JSON is published first. One that is alone, of the same architectures, is what a kill left, and is replaced.

    Returns:
        The HDF5 file.

    Raises:
        ArchrepError: if they exist, or cannot be written.
    """
    out, size = Path(out), len(source) if size is None else size
    if size < 1:
        raise ArchrepError(f"A split has at least 1 architecture; got {size}.")
    file = out / f"deepnets1m_{source.split}.hdf5"
    refuse_existing(file, force)
    goes_on = _is_left(meta_path(file), source, size)
    refuse_existing(meta_path(file), force or goes_on)
    merged = out / "deepnets1m_eval.hdf5"
    if source.split in MERGED and merged.exists() and not _is_ours(merged):
        raise ArchrepError(f"{merged} holds graphs itself, as the released one does. Choose another --out.")
    with ExitStack() as until_named:
        with atomic(file, force) as graphs, atomic(meta_path(file), force or goes_on) as text:
            with _written(graphs) as (groups, disk):
                content = _write_split(groups.create_group(source.split), source, size, disk, progress)
            text.write_text(json.dumps({source.split: content}), encoding="utf-8")
            until_named.enter_context(_held(out))
        if source.split in MERGED:
            _merge(merged)
    return file


def _is_left(meta: Path, source: Split, size: int) -> bool:
    """Whether a JSON whose HDF5 file is not there is of the same architectures, as far as the first and last tell."""
    try:
        nets = from_json(meta.read_text(encoding="utf-8"))[source.split]["nets"]
        ends = [DeepNetConfig.from_record(nets[i]) for i in (0, size - 1)]
    except (OSError, ValueError, LookupError, TypeError, ArchrepError):
        return False
    wide = WIDER["deepnets"] if source.split == "wide" else 1
    ends = [replace(config, channels=wide * config.channels) for config in ends]
    return len(nets) == size and ends == [source.config(i) for i in (0, size - 1)]


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Waits until no other process is inside for the same folder: two could name one file each, or lose a split."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class _Disk(io.FileIO):
    """A file that keeps its first error: HDF5 crashes on a disk that is full."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Writes all of it, or nothing after an error."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left and not self.error:
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """The same for a new size."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return self.tell()

    def check(self) -> None:
        """Raises the error."""
        if self.error:
            raise self.error


@contextmanager
def _written(path: Path) -> Iterator[tuple[Any, _Disk]]:
    """A new HDF5 file, open, and what it is written to."""
    import h5py

    with _Disk(path, "w+") as disk:
        try:
            with h5py.File(disk, "w") as groups:
                groups.attrs["title"] = TITLE
                yield groups, disk
        finally:
            disk.check()  # before anything that followed from it


def _write_split(group: Any, source: Split, size: int, disk: _Disk, progress: Progress) -> dict[str, Any]:
    """Writes the graphs; returns what the JSON holds."""
    primitives: dict[str, int] = {}
    names: dict[str, int] = {}
    nets = []
    for index in range(size):
        config = source.config(index)
        nodes, adj = _graph(Emitter(make_plan(config), contracted=source.lost(config, index)))
        rows = [
            (primitives.setdefault(primitive, len(primitives)), cell, names.setdefault(name, len(names)))
            for primitive, cell, name in nodes
        ]
        group[f"{index}/adj"] = adj
        group[f"{index}/nodes"] = np.array(rows, np.uint16)
        disk.check()
        nets.append(_record(config, len(rows), wide=source.split == "wide"))
        progress(1)
    meta = {"primitives_ext": primitives, "unique_op_names": names}
    return {"nets": nets, "meta": {key: dict(enumerate(numbered)) for key, numbered in meta.items()}}


def _graph(emitter: Emitter) -> tuple[list[tuple[str, int, str]], np.ndarray]:
    """Primitive, cell and name of every node, and the distances, (N, N) uint8."""
    nodes = emitter.nodes
    edges = np.array(nodes.edges, np.int64).reshape(-1, 2).T
    distances = shortest_distances(edges, len(nodes.primitive))
    described = []
    for position, number in zip(nodes.inputs, nodes.primitive, strict=True):
        op, primitive, cell = emitter.ops[position], VOCABULARIES["released"][number], emitter.cells[position]
        name = op.params[0].removeprefix(f"cells.{cell}.") if op.params else primitive
        pointwise = primitive == "conv" and set(op.shape[2:]) <= {1}
        described.append(("conv_1x1" if pointwise else primitive, cell, name))
    return described, np.where(distances > CUT, 0, distances).astype(np.uint8)


def _record(config: DeepNetConfig, num_nodes: int, wide: bool) -> dict[str, Any]:
    """The JSON record of an architecture, see `DeepNetConfig.from_record`."""
    genotype = config.genotype
    return {
        "stem_type": config.stem_type,
        "stem_pool": config.stem_pool,
        "norm": "bnorm" if config.norm else None,
        "preproc": config.preproc,
        "fc_layers": config.fc_layers,
        "glob_avg": config.glob_avg,
        "genotype": {
            "normal": genotype.normal,
            "normal_concat": genotype.normal_concat,
            "reduce": genotype.reduce,
            "reduce_concat": genotype.reduce_concat,
        },
        "n_cells": config.n_cells,
        "ks": config.stem_kernel,
        "C": config.channels // (WIDER["deepnets"] if wide else 1),
        "C_mult": config.channel_mult,
        "fc_dim": config.fc_dim,
        "num_nodes": num_nodes,
        "num_params": {
            "cifar10": standard(config).num_params,
            "imagenet": standard(config, imagenet=True).num_params,
        },
    }


def _is_ours(merged: Path) -> bool:
    """Whether a merged file consists of links to others."""
    import h5py

    with opened(merged) as groups:
        return all(isinstance(groups.get(split, getlink=True), h5py.ExternalLink) for split in groups)


def _merge(merged: Path) -> None:
    """Writes the pair that joins the evaluation splits of a folder."""
    import h5py

    files = {split: merged.with_name(f"deepnets1m_{split}.hdf5") for split in MERGED}
    files = {split: file for split, file in files.items() if file.is_file()}
    with atomic(merged, force=True) as graphs, atomic(meta_path(merged), force=True) as text:
        with _written(graphs) as (groups, _):
            for split, file in files.items():
                groups[split] = h5py.ExternalLink(file.name, split)
        text.write_text(json.dumps({split: load_meta(file)[split] for split, file in files.items()}), encoding="utf-8")
