"""Shards: 2,000 consecutive architectures of a split in one Arrow IPC file (design: files and formats).

A row is an architecture: its genotype and arguments, what can be counted without building it, and its computational
graph in the released vocabulary. Of a graph are stored

- `primitive`, uint8 per node; `shape_of`, uint8 per node: which of the architecture's different `shapes` it has
- `shapes`, uint32, four per shape (out, in, height, width)
- `indegree`, uint8 per node, and `source`, uint16 per edge: edges are sorted by target, then source

which is about 1.5 KB for 190 nodes. Distances are not stored: they would take ten times the space, and computing them
is faster than reading them. Names of parameters follow from the genotype. The content of a shard follows from
(space, split, generator version, first row), so it is the same bytes on every machine with the same pyarrow.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from archrep.errors import ArchrepError, first_line
from archrep.files import atomic
from archrep.graph.archgraph import ArchGraph
from archrep.graph.primitives import PRIMITIVES
from archrep.space.deepnets.architecture import emitted
from archrep.space.deepnets.config import MOST_NODES, MOST_PARAMETERS, OPS, DeepNetConfig, Edge, Genotype
from archrep.space.deepnets.graph import Emitter
from archrep.space.deepnets.plan import make_plan
from archrep.space.deepnets.sampler import sample, standard

FORMAT = 1
ROWS = 2000
AGAIN = "Delete it and run `archrep sample` with the same options again."

# Columns with one value per architecture.
SCALARS: dict[str, type] = {
    "n_cells": np.uint8,
    "channels": np.uint16,
    "channel_mult": np.uint8,
    "stem_type": np.uint8,
    "stem_kernel": np.uint8,
    "stem_pool": np.uint8,
    "norm": np.uint8,
    "preproc": np.uint8,
    "glob_avg": np.uint8,
    "fc_layers": np.uint8,
    "fc_dim": np.uint16,
    "params": np.uint64,  # all parameters of the network, 10 classes
    "params_c32": np.uint64,  # at 32 channels and fc_dim 256, as the official files count: CIFAR-10 stem …
    "params_c32_imagenet": np.uint64,  # … and ImageNet stem
    "flops": np.uint64,  # per 32×32 image; a multiply-accumulate counts 2
    "depth": np.uint16,  # edges on the longest path
    "path_length": np.float32,  # mean shortest-path distance over connected pairs of nodes, along the edges
}
# Columns with a list per architecture.
LISTS: dict[str, type] = {
    "normal": np.uint8,  # operation, source, operation, source, …
    "reduce": np.uint8,
    "concat": np.uint8,
    "primitive": np.uint8,
    "shape_of": np.uint8,
    "shapes": np.uint32,
    "indegree": np.uint8,
    "source": np.uint16,
}
HASH = "hash"  # graph.hash(shapes=False), 16 bytes
HASH_BYTES = 16
FLAGS = ("stem_pool", "norm", "preproc", "glob_avg")
TENSORS = ("primitive", "shape", "edge_index")
MADE_LATER = ("param_names", "parameters", "parameter_shapes", "kinds", "unused", "tied")
NUMBERS = ("n_cells", "channels", "channel_mult", "stem_type", "stem_kernel", "fc_layers", "fc_dim")


@dataclass(frozen=True)
class Contents:
    """What a shard holds: architectures `first` … `first + rows - 1` of a split, by which generator."""

    space: str
    split: str
    generator: int
    first: int
    rows: int

    @property
    def metadata(self) -> dict[str, str]:
        """Stored in the shard's schema."""
        return {"archrep.format": str(FORMAT)} | {f"archrep.{k}": str(v) for k, v in vars(self).items()}


def write_shard(path: Path, contents: Contents) -> None:
    """Generates the architectures of a shard and writes it, whole or not at all."""
    rows = range(contents.first, contents.first + contents.rows)
    write_columns(path, contents, _columns(rows, contents.space, contents.split))


def write_columns(path: Path, contents: Contents, columns: Mapping[str, np.ndarray]) -> None:
    """Writes a shard with these columns (see `Shard.columns`), whole or not at all."""
    arrays: dict[str, pa.Array] = {name: pa.array(columns[name]) for name in SCALARS}
    for name in LISTS:
        offsets, values = columns[f"{name}.offsets"], columns[name]
        arrays[name] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
    arrays[HASH] = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(HASH_BYTES), contents.rows, [None, pa.py_buffer(columns[HASH])]
    )
    batch = pa.RecordBatch.from_pydict(arrays)
    metadata = contents.metadata | {"archrep.checksum": _checksum(columns)}
    schema = batch.schema.with_metadata(metadata)
    with atomic(path, force=True) as temporary, pa.ipc.new_file(str(temporary), schema) as writer:
        writer.write_batch(batch)


def _columns(indices: Sequence[int], space: str, split: str) -> dict[str, np.ndarray]:
    rows = [_row(sample(space, split, index)) for index in indices]
    columns: dict[str, np.ndarray] = {
        name: _exact(np.array([row[name] for row in rows]), dtype) for name, dtype in SCALARS.items()
    }
    for name, dtype in LISTS.items():
        lists = [row[name] for row in rows]
        columns[name] = _exact(np.concatenate(lists), dtype)
        columns[f"{name}.offsets"] = np.cumsum([0, *map(len, lists)], dtype=np.int32)
    columns[HASH] = np.frombuffer(b"".join(row[HASH] for row in rows), np.uint8)
    return columns


def _exact(values: np.ndarray, dtype: type) -> np.ndarray:
    stored: np.ndarray = values.astype(dtype)
    if stored.dtype.kind != "f" and (stored != values).any():
        raise OverflowError(f"{values.max()} does not fit into {stored.dtype}")
    return stored


def _row(config: DeepNetConfig) -> dict:
    emitter, at_c32 = Emitter(make_plan(config)), standard(config)
    graph = emitter.graph(nodes=at_c32.nodes)
    shapes, shape_of = np.unique(graph.shape.numpy(), axis=0, return_inverse=True)
    source, target = graph.edge_index.numpy()
    distance = graph.distance_matrix
    genotype = config.genotype
    return {
        **{name: getattr(config, name) for name in (*FLAGS, *NUMBERS)},
        "params": emitter.num_params,
        "params_c32": at_c32.num_params,
        "params_c32_imagenet": standard(config, imagenet=True).num_params,
        "flops": 2 * emitter.macs,
        "depth": graph.levels.max(),
        "path_length": distance.sum(dtype=np.int64) / max(np.count_nonzero(distance), 1),
        "normal": _flat(genotype.normal),
        "reduce": _flat(genotype.reduce),
        "concat": genotype.normal_concat,
        "primitive": graph.primitive.numpy(),
        "shape_of": shape_of,
        "shapes": shapes.ravel(),
        "indegree": np.bincount(target, minlength=len(graph.primitive)),
        "source": source,
        HASH: bytes.fromhex(graph.hash(shapes=False)),
    }


def _flat(edges: Sequence[Edge]) -> list[int]:
    return [n for op, source in edges for n in (OPS.index(op), source)]


def _edges(flat: np.ndarray) -> tuple[Edge, ...]:
    return tuple((OPS[op], source) for op, source in flat.reshape(-1, 2).tolist())


def _checksum(columns: Mapping[str, np.ndarray]) -> str:
    checksum = 0
    for name in sorted(columns):
        checksum = zlib.crc32(columns[name].tobytes(), checksum)
    return f"{checksum:08x}"


class StoredGraph(ArchGraph):
    """A computational graph from a store; the lists of `ArchGraph` are made from `config` when first asked for.

    Asking for one raises ArchrepError if the graph is not that of its configuration.
    """

    config: DeepNetConfig

    def __getattr__(self, key: str) -> Any:
        if key in MADE_LATER and "config" in self:
            complete = self.__dict__.get("_complete")
            if complete is None:
                complete = emitted(self.config)
                if not all(torch.equal(self[name].cpu(), complete[name]) for name in TENSORS):
                    raise ArchrepError(f"The stored graph is not that of its genotype. {AGAIN}")
                self.__dict__["_complete"] = complete
            return getattr(complete, key)
        return super().__getattr__(key)


class Shard:
    """A shard, memory-mapped.

    Attributes:
        columns: every column as an array; of a list column `NAME`, all its values, and `NAME.offsets`.
    """

    def __init__(self, path: Path, contents: Contents) -> None:
        """Opens the shard at `path` and checks it as a whole.

        Raises:
            ArchrepError: if it is missing, damaged, or holds anything but `contents`.
        """
        self.path = path
        try:
            batches = pa.ipc.open_file(pa.memory_map(str(path)))
            found = {k.decode(): v.decode() for k, v in (batches.schema.metadata or {}).items()}
            expected = contents.metadata
            wrong = next((f"{k} {found.get(k)}, not {v}" for k, v in expected.items() if found.get(k) != v), None)
            if wrong:
                raise ArchrepError(f"{path}: not the shard that belongs here ({wrong}). {AGAIN}")
            batch = batches.get_batch(0)
            batch.validate(full=True)
            self.columns = _arrays(batch)
            intact = _checksum(self.columns) == found["archrep.checksum"]
            _check_graphs(self.columns)
        except (OSError, ValueError, KeyError, AttributeError, pa.ArrowException) as error:
            raise ArchrepError(f"{path}: missing or damaged shard ({first_line(error)}). {AGAIN}") from error
        if not intact:
            raise ArchrepError(f"{path}: damaged shard (its checksum is another). {AGAIN}")

    @property
    def nodes(self) -> np.ndarray:
        """(rows,) number of nodes of every graph."""
        return np.diff(self.columns["primitive.offsets"])

    def config(self, row: int) -> DeepNetConfig:
        """Genotype and arguments of an architecture.

        Raises:
            ArchrepError: if they are not those of a network.
        """
        concat = tuple(self._list("concat", row).tolist())
        arguments: dict[str, Any] = {name: int(self.columns[name][row]) for name in NUMBERS}
        arguments |= {name: bool(self.columns[name][row]) for name in FLAGS}
        try:
            normal, reduce = (_edges(self._list(name, row)) for name in ("normal", "reduce"))
            return DeepNetConfig(Genotype(normal, concat, reduce, concat), **arguments).checked()
        except (IndexError, ValueError) as error:
            raise ArchrepError(f"{self.path}: row {row} is no architecture ({first_line(error)}). {AGAIN}") from error

    def graph(self, row: int, config: DeepNetConfig) -> StoredGraph:
        """The computational graph of an architecture, of which the configuration is given."""
        graph = StoredGraph()
        primitive, indegree = self._list("primitive", row), self._list("indegree", row)
        shapes = self._list("shapes", row).reshape(-1, 4).astype(np.int64)
        edges = np.stack([self._list("source", row), np.arange(len(primitive)).repeat(indegree)], dtype=np.int64)
        graph.num_nodes = len(primitive)
        graph.primitive = torch.from_numpy(primitive.astype(np.int64))  # (N,)
        graph.shape = torch.from_numpy(shapes[self._list("shape_of", row)])  # (N, 4)
        graph.edge_index = torch.from_numpy(edges)  # (2, E)
        graph.vocabulary = "released"
        graph.config = config
        return graph

    def _list(self, name: str, row: int) -> np.ndarray:
        first, end = self.columns[f"{name}.offsets"][row : row + 2]
        return self.columns[name][first:end]


def _check_graphs(columns: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError unless every graph is one: sizes, primitives and shapes as a network may have, edges forward.

    Whether it is the graph of its genotype would take as long as to make it; that is seen to where both are needed.
    """
    nodes, shapes = (np.diff(columns[f"{name}.offsets"]) for name in ("primitive", "shapes"))
    into = np.concatenate([[0], np.cumsum(columns["indegree"], dtype=np.int64)])  # edges into the nodes before
    ends = columns["primitive.offsets"]
    counted = all(np.array_equal(columns[f"{name}.offsets"], ends) for name in ("shape_of", "indegree"))
    if not counted or (shapes % 4).any() or not np.array_equal(into[ends], columns["source.offsets"]):
        raise ValueError("its lists have different lengths")
    if not ((nodes > 0) & (nodes <= MOST_NODES)).all():
        raise ValueError(f"a graph has {nodes.min()} … {nodes.max()} nodes, not 1 … {MOST_NODES}")
    if (columns["primitive"] >= len(PRIMITIVES)).any():
        raise ValueError("a node has a primitive that does not exist")
    if (columns["shape_of"] >= (shapes // 4).repeat(nodes)).any():
        raise ValueError("a node has a shape that does not exist")
    if (columns["shapes"].reshape(-1, 4).prod(1, dtype=np.float64) > MOST_PARAMETERS).any():
        raise ValueError(f"a node has more than {MOST_PARAMETERS:,} parameters")
    source = columns["source"] + ends[:-1].repeat(np.diff(columns["source.offsets"]))  # (E,) among all nodes
    target = np.arange(len(columns["indegree"])).repeat(columns["indegree"])
    if (source >= target).any():
        raise ValueError("an edge does not come from an earlier node")
    if ((source[1:] <= source[:-1]) & (target[1:] == target[:-1])).any():
        raise ValueError("edges are not sorted by target, then source")


def _arrays(batch: pa.RecordBatch) -> dict[str, np.ndarray]:
    """Columns as arrays, without copying."""
    arrays = {name: batch[name].to_numpy() for name in SCALARS}
    for name in LISTS:
        arrays[name], arrays[f"{name}.offsets"] = batch[name].values.to_numpy(), batch[name].offsets.to_numpy()
    arrays[HASH] = np.frombuffer(batch[HASH].buffers()[1], np.uint8, len(batch) * HASH_BYTES)
    return arrays
