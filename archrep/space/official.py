"""The official DeepNets-1M files: `deepnets-official:PATH:SPLIT`, `…:i`, `…:i-j` (paper § 3).

PATH is a folder or one .hdf5 file. A folder holds `deepnets1m_SPLIT.hdf5`, or the splits merged as in the
release (`deepnets1m_train`, `deepnets1m_search`, and `deepnets1m_eval` with val, test, wide, deep, dense and
bnfree). Beside every `NAME.hdf5` lies `NAME_meta.json`:

- JSON: {split: {"nets": [record, …]}}, see `DeepNetConfig.from_record`; channels C=32 where a record has none. Of
  the wide split it holds the channels of test: the released code widens them four times, and so does this.
- HDF5: split / index / `adj`, (N, N) uint8: shortest-path distances from row to column, 0 where there is no
  path, nodes in a topological order. (`nodes` is not read: the released writer lists the nodes cell by cell, so
  its rows are not those of `adj`, and it gives some nodes without parameters to a neighbouring cell.)

The graph is built from the genotype and held against `adj`. They differ in one way: the released tracer
recognises squeeze-excite (cse) and attention (msa) by their place in a list of operations and loses some of
them, for example cse nodes in 77 of 350 recorded networks. The released GHNs were trained on the graphs as they
are stored, so these are what `deepnets-official` gives: a lost node is contracted, its predecessors and
successors joined. Which ones are lost follows from `adj` (see `_lost`). Capturing `build()` gives the complete
graph.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from archrep.errors import ArchrepError, first_line, lookup, unknown
from archrep.files import from_json
from archrep.space.architecture import Architecture
from archrep.space.deepnets import DeepNetConfig, Emitter, Split, make_plan
from archrep.space.deepnets.plan import Plan
from archrep.space.deepnets.sampler import WIDER
from archrep.space.span import indices

MOST_EDGES = 16  # per node; 1.2 in the splits
EXPECTED = "Expected deepnets-official:PATH:SPLIT, …:SPLIT:i or …:SPLIT:i-j"


def official(space: str, rest: str) -> Iterator[Architecture]:
    """Architectures of the official files; errors are those of `official_split`."""
    split, chosen = official_split(space, rest)
    return map(split.architecture, chosen)


def official_split(space: str, rest: str) -> tuple["Official", range]:
    """The split of the official files that a spec names, and the indices it chooses.

    Raises:
        ArchrepError: for a malformed spec, a missing, damaged or foreign file, an unknown split or index.
    """
    match = re.fullmatch(r"(.+?):([^:]+)(?::(\d+(?:-\d+)?))?", rest)  # PATH itself may hold colons
    if not match:
        raise ArchrepError(f"{space}:{rest}: no path and split. {EXPECTED}.")
    split = Official(match[1], match[2])
    return split, indices(match[3] or "", len(split), f"{space}:{split.path}:{split.split}")


class Official(Split):
    """A split of the official files, read when asked for.

    Attributes:
        path: the folder, or the .hdf5 file. file: the .hdf5 file that holds the split.
    """

    space = "deepnets-official"

    def __init__(self, path: str | Path, split: str) -> None:
        """Opens a split.

        Raises:
            ArchrepError: for a missing, damaged or foreign file, or an unknown split.
        """
        self.path, self.split = Path(path), split
        self.file, size = _holder(_find(self.path, split), split)
        if size != len(self):
            raise ArchrepError(
                f"{self.file}: {size} graphs in split {split}, but {len(self)} records in its JSON; "
                "copy both files again, they belong together."
            )

    def __len__(self) -> int:
        return len(self._records)

    @property
    def _records(self) -> list[dict]:
        """Kept by the process, not by the split: pickled, it stays small."""
        return records(self.file, self.split)

    def name(self, index: int) -> str:
        """Architecture spec of an architecture."""
        return f"{self.space}:{self.path}:{self.split}:{index}"

    def config(self, index: int) -> DeepNetConfig:
        """Genotype and arguments of an architecture.

        Raises:
            ArchrepError: if its record is not one.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.file} has architectures 0 … {len(self) - 1} in {self.split}; got {index}.")
        try:
            config = DeepNetConfig.from_record(self._records[index])
        except ArchrepError as error:
            raise ArchrepError(f"{self.name(index)}: {error}") from error
        return replace(config, channels=WIDER["deepnets"] * config.channels) if self.split == "wide" else config

    def lost(self, config: DeepNetConfig, index: int) -> frozenset[str]:
        """Names of the cse and msa steps whose node the stored graph of an architecture does not have.

        Raises:
            ArchrepError: if the stored graph is damaged or that of another architecture, or of none in any split.
        """
        plan = make_plan(config)
        nodes = len(Emitter(plan).checked().nodes.primitive)
        with opened(self.file, keep=True) as groups:
            adj = _stored(groups, f"{self.split}/{index}/adj", nodes)
            if np.count_nonzero(adj == 1) > MOST_EDGES * nodes:
                raise ValueError(f"{self.split}/{index}/adj has more edges than any network")
            edges = np.argwhere(adj == 1)  # (E, 2)
            ancestries = Counter(_ancestries(edges.tolist(), len(adj)))
        lost = _lost(plan, ancestries)
        if lost is None:
            close_kept()
            raise ArchrepError(
                f"{self.file}: the stored graph {self.split}/{index} ({len(adj)} nodes) is not that of the genotype in "
                f"the JSON ({nodes} nodes). Copy both files again, they belong together."
            )
        return lost


def _find(path: Path, split: str) -> Path:
    """The HDF5 file that should hold a split."""
    if os.path.isfile(path):  # unlike those of Path, these do not raise for a name that is too long
        return path
    if not os.path.isdir(path):
        raise ArchrepError(f"{path}: no such folder or .hdf5 file. {EXPECTED}.")
    for name in (split, "eval"):
        if os.path.isfile(file := path / f"deepnets1m_{name}.hdf5"):
            return file
    found = [file.stem.removeprefix("deepnets1m_") for file in path.glob("deepnets1m_*.hdf5")]
    raise unknown(f"split of {path}", split, found, " Splits lie in deepnets1m_SPLIT.hdf5 or deepnets1m_eval.hdf5.")


def _holder(file: Path, split: str) -> tuple[Path, int]:
    """The file that holds a split, and how many graphs it has.

    It is the file itself or, where the split is a link as in the merged file of `archrep sample`, the split's own file
    beside it. A link to anything else is not followed: it would read another file than the one that was named.
    """
    import h5py

    with opened(file) as groups:
        link = groups.get(split, getlink=True)
        if not isinstance(link, h5py.ExternalLink):
            return file, len(lookup(groups, split, f"split of {file}"))
    target = file.with_name(f"deepnets1m_{split}.hdf5")
    if (link.filename, link.path) != (target.name, split) or target == file or not target.is_file():
        raise ArchrepError(
            f"{file}: split {split} is a link to {link.filename!r}; only one to {target.name} beside it is followed. "
            "Put that file and its JSON there, or name the file that holds the split."
        )
    return _holder(target, split)


def records(file: Path, split: str) -> list[dict]:
    """The records of a split, from the JSON beside its HDF5 file.

    Raises:
        ArchrepError: if it is missing, damaged, foreign, or does not have the split.
    """
    meta = meta_path(file)
    nets = lookup(load_meta(file), split, f"split of {meta}")
    if not isinstance(nets, dict) or not isinstance(nets.get("nets"), list):
        raise ArchrepError(f"{meta}: split {split} has no list 'nets' of architecture records.")
    return nets["nets"]


def meta_path(file: Path) -> Path:
    """The JSON beside an HDF5 file."""
    return file.with_name(f"{file.stem}_meta.json")


def load_meta(file: Path) -> dict[str, Any]:
    """The JSON beside an HDF5 file, one entry per split; not to be changed.

    Raises:
        ArchrepError: if it is missing, damaged or foreign.
    """
    meta = meta_path(file)
    if not os.path.isfile(meta):
        raise ArchrepError(f"{meta}: missing; it holds the genotypes of {file.name} and must lie beside it.")
    return _load(meta, meta.stat().st_mtime_ns)


@lru_cache(maxsize=2)  # parsed once in a process
def _load(meta: Path, changed: int) -> dict:
    try:
        content = from_json(meta.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # ValueError: broken JSON or not UTF-8
        raise ArchrepError(f"{meta}: not readable JSON ({first_line(error)}). Copy it again.") from error
    if not isinstance(content, dict):
        raise ArchrepError(f"{meta}: expected an object with one entry per split, got {type(content).__name__}.")
    return content


def _stored(groups: Any, name: str, most: int) -> np.ndarray:
    """A square dataset of bytes, of at most that many rows, that the file itself holds: no link leads out of it.

    Raises:
        ValueError: for anything else; what it claims is not read.
    """
    parts = name.split("/")
    for end in range(1, len(parts) + 1):
        link = groups.get("/".join(parts[:end]), getlink=True)
        if type(link).__name__ != "HardLink":
            raise ValueError(f"{name} is a {type(link).__name__}, not stored here")
    data = groups[name]
    if data.external or data.is_virtual:
        raise ValueError(f"{name} is stored in another file")
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[0] != data.shape[1] or data.shape[0] > most:
        raise ValueError(f"{name} is {data.dtype} {data.shape}, not uint8 (N, N) with N up to {most}")
    return data[()]


@contextmanager
def opened(file: Path, keep: bool = False) -> Iterator[Any]:
    """The open HDF5 file; what goes wrong inside is a damaged file.

    Args:
        keep: for many reads it stays open, in every process of its own; until an error, so that it can be replaced.
    """
    import h5py

    try:
        if keep:
            yield _kept(file)
        else:
            with h5py.File(file) as groups:
                yield groups
    except (OSError, LookupError, RuntimeError, TypeError, ValueError) as error:
        close_kept()
        raise ArchrepError(
            f"{file}: not a complete HDF5 file of DeepNets-1M ({first_line(error)}). Copy it again."
        ) from error


_open: dict[tuple[Path, int, int], Any] = {}


def _kept(file: Path) -> Any:
    import h5py

    key = (file, file.stat().st_mtime_ns, os.getpid())
    if key not in _open:
        if len(_open) >= 4:
            close_kept()
        _open[key] = h5py.File(file)
    return _open[key]


def close_kept() -> None:
    """Closes what `opened` keeps open."""
    while _open:
        _open.popitem()[1].close()


def _lost(plan: Plan, stored: Counter[int]) -> frozenset[str] | None:
    """Names of the cse and msa steps without which a plan's graph has the stored ancestries; None if there are none.

    Steps are decided one after another, in execution order. Nodes in front of the next undecided step can no
    longer change, so a choice is dropped as soon as their ancestries are not among the stored ones.
    """
    names = [plan.steps[i].name for i in plan.live if plan.steps[i].kind in ("cse", "msa")]
    missing = len(_ancestries_without(plan)[0]) - stored.total()
    choices: list[tuple[int, frozenset[str]]] = [(0, frozenset())]  # number of decided steps, those that are lost
    while choices:
        decided, lost = choices.pop()
        left = missing - len(lost)
        if not 0 <= left <= len(names) - decided:
            continue
        if left in (0, len(names) - decided):  # none of the others is lost, or all of them
            lost = lost.union(names[decided:] if left else ())
            decided = len(names)
        ancestries, params = _ancestries_without(plan, lost)
        if decided == len(names):
            if Counter(ancestries) == stored:
                return lost
        elif Counter(ancestries[: _first_node(params, names[decided])]) <= stored:
            choices += [(decided + 1, lost | {names[decided]}), (decided + 1, lost)]
    return None


def _ancestries_without(plan: Plan, lost: frozenset[str] = frozenset()) -> tuple[list[int], list[tuple[str, ...]]]:
    """Ancestry and names of the parameters of every node of a plan's graph, where some steps have lost theirs."""
    emitter = Emitter(plan, contracted=lost)
    nodes = emitter.nodes
    return _ancestries(nodes.edges, len(nodes.primitive)), [emitter.ops[i].params for i in nodes.inputs]


def _first_node(params: Sequence[tuple[str, ...]], step: str) -> int:
    """Position of the first node of a step."""
    return next(i for i, names in enumerate(params) if names and names[0].startswith(f"{step}."))


def _ancestries(edges: Iterable[Sequence[int]], n: int) -> list[int]:
    """One number for all that a node descends from, for `n` topologically sorted nodes; primitives are ignored."""
    before: list[list[int]] = [[] for _ in range(n)]
    for u, v in edges:
        before[v].append(u)
    ancestry = [0] * n
    for v in range(n):
        ancestry[v] = hash(tuple(sorted(ancestry[u] for u in before[v])))
    return ancestry
