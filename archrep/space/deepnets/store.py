"""A DeepNets split in a folder: `store.json` says what it holds, `shard-NNNNN.arrow` hold it (see shard.py).

Where this archrep would generate the same architecture from its name, a stored one has that name
(`deepnets:train:7`), so tables can be joined; else it is named by its place (`deepnets:FOLDER:7`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from archrep.errors import ArchrepError, first_line
from archrep.files import from_json
from archrep.graph.archgraph import ArchGraph
from archrep.space.deepnets.config import DeepNetConfig
from archrep.space.deepnets.sampler import VERSIONS, limits
from archrep.space.deepnets.shard import FORMAT, ROWS, Contents, Shard
from archrep.space.deepnets.split import Split

T = TypeVar("T")

STORE = "store.json"


@dataclass(frozen=True)
class Request:
    """What a store holds: the first `size` architectures of a split, by which version of the generator."""

    space: str
    split: str
    size: int
    generator: int

    def __str__(self) -> str:
        return f"{self.size} architectures of {self.space}:{self.split} (generator {self.generator})"

    @property
    def command(self) -> str:
        """What generates it, but for the folder."""
        return f"archrep sample --space {self.space} --split {self.split} -n {self.size}"

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.size // ROWS)

    def contents(self, shard: int) -> Contents:
        """What a shard holds."""
        first = shard * ROWS
        return Contents(self.space, self.split, self.generator, first, min(ROWS, self.size - first))


def shard_path(folder: Path, shard: int) -> Path:
    """Where a shard lies."""
    return folder / f"shard-{shard:05d}.arrow"


def read_request(folder: Path) -> Request:
    """What the store in a folder should hold.

    Raises:
        ArchrepError: if it is not the folder of a store, or of another version of the format.
    """
    path = folder / STORE
    try:
        record = from_json(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ArchrepError(
                f"{path}: store of format {record['format']!r}; this archrep reads format {FORMAT}. "
                "Sample it again with `archrep sample`."
            )
        request = Request(**{name: record[name] for name in Request.__dataclass_fields__})
        limits(request.space, request.split)
        if not (isinstance(request.size, int) and request.size > 0):
            raise ValueError(f"size {request.size!r}")
        return request
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchrepError(
            f"{folder}: not a folder that `archrep sample` wrote ({STORE}: {first_line(error)})."
        ) from error


class Store(Split):
    """The architectures in a folder, read when asked for.

    Attributes:
        path: the folder. request: what it holds. space, split: of the request.
    """

    def __init__(self, path: str | Path) -> None:
        """Opens a store.

        Raises:
            ArchrepError: if there is none, or shards are missing.
        """
        self.path = Path(path)
        self.request = read_request(self.path)
        self.space, self.split = self.request.space, self.request.split
        self._opened: dict[int, Shard] = {}
        present = {path.name for path in self.path.glob("shard-*.arrow")}
        first = next((i for i in range(self.request.shards) if shard_path(self.path, i).name not in present), None)
        if first is not None:
            raise ArchrepError(
                f"{self.path}: incomplete, {shard_path(self.path, first).name} of {self.request.shards} shards is "
                f"missing (found {len(present)}). Complete it: {self.request.command} --out {self.path}"
            )

    def __len__(self) -> int:
        return self.request.size

    def shard(self, number: int) -> Shard:
        """A shard; opened and checked at its first use.

        Raises:
            ArchrepError: if it is damaged or does not belong here.
        """
        if number not in self._opened:
            self._opened[number] = Shard(shard_path(self.path, number), self.request.contents(number))
        return self._opened[number]

    def shards(self) -> Iterator[Shard]:
        """All shards, in order."""
        return map(self.shard, range(self.request.shards))

    def name(self, index: int) -> str:
        """Architecture spec of an architecture."""
        request = self.request
        same = request.generator == VERSIONS[request.space] and index < limits(request.space, request.split).size
        return f"{request.space}:{request.split if same else self.path}:{index}"

    def config(self, index: int) -> DeepNetConfig:
        """Genotype and arguments of an architecture."""
        return self._at(index, Shard.config)

    def graph_of(self, config: DeepNetConfig, index: int, vocabulary: str) -> ArchGraph:
        """The stored graph in the released vocabulary, one made from the configuration in others."""
        if vocabulary != "released":
            return super().graph_of(config, index, vocabulary)
        return self._at(index, lambda shard, row: shard.graph(row, config))

    def params_c32(self, index: int) -> int:
        """Parameters of an architecture at 32 channels and fc_dim 256."""
        return self._at(index, lambda shard, row: int(shard.columns["params_c32"][row]))

    @cached_property
    def nodes(self) -> np.ndarray:
        """(size,) number of nodes of every graph."""
        return np.concatenate([shard.nodes for shard in self.shards()])

    def _at(self, index: int, read: Callable[[Shard, int], T]) -> T:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path} has architectures 0 … {len(self) - 1}; got {index}.")
        number, row = divmod(index, ROWS)
        return read(self.shard(number), row)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": {}}  # every process maps the files itself
