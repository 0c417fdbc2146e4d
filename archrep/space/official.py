"""The official DeepNets-1M files: `deepnets-official:PATH:SPLIT`, `…:i`, `…:i-j` (paper § 3).

PATH is a folder or one .hdf5 file. A folder holds `deepnets1m_SPLIT.hdf5`, or the splits merged as in the
release (`deepnets1m_train`, `deepnets1m_search`, and `deepnets1m_eval` with val, test, wide, deep, dense and
bnfree). Beside every `NAME.hdf5` lies `NAME_meta.json`:

- JSON: {split: {"nets": [record, …]}}, see `DeepNetConfig.from_record`; channels C=32 where a record has none.
- HDF5: split / index / `adj`, (N, N) uint8: shortest-path distances from row to column, 0 where there is no
  path, nodes in a topological order. (`nodes` is not read: the released writer lists the nodes cell by cell, so
  its rows are not those of `adj`, and now and then it gives a node without parameters to another cell.)

The graph is built from the genotype and held against `adj`. They differ in one way: the released tracer
recognises squeeze-excite (cse) and attention (msa) by their place in a list of operations and loses some of
them, for example cse nodes in 77 of 350 recorded networks. The released GHNs were trained on the graphs as they
are stored, so these are what `deepnets-official` gives: a lost node is contracted, its predecessors and
successors joined. Which ones are lost follows from `adj` (see `_matching`). Capturing `build()` gives the complete
graph.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from archrep.errors import ArchrepError, first_line, lookup, unknown
from archrep.graph.archgraph import ArchGraph
from archrep.space.architecture import Architecture
from archrep.space.deepnets import DeepNet, DeepNetConfig, Emitter, make_plan
from archrep.space.deepnets.plan import Plan
from archrep.space.span import indices

EXPECTED = "Expected deepnets-official:PATH:SPLIT, …:SPLIT:i or …:SPLIT:i-j"


def official(space: str, rest: str) -> Iterator[Architecture]:
    """Architectures of the official files.

    Raises:
        ArchrepError: for a malformed spec, a missing, damaged or foreign file, an unknown split or index.
    """
    match = re.fullmatch(r"(.+?):([^:]+)(?::(\d+(?:-\d+)?))?", rest)  # PATH itself may hold colons
    if not match:
        raise ArchrepError(f"{space}:{rest}: no path and split. {EXPECTED}.")
    folder, split, span = Path(match[1]), match[2], match[3] or ""
    file = _find(folder, split)
    records = _records(file, split)
    with _opened(file) as groups:
        size = len(lookup(groups, split, f"split of {file}"))
    if size != len(records):
        raise ArchrepError(
            f"{file}: {size} graphs in split {split}, but {len(records)} records in its JSON; "
            "copy both files again, they belong together."
        )
    chosen = indices(span, size, f"{space}:{folder}:{split}")
    return (_architecture(f"{space}:{folder}:{split}:{i}", file, split, i, records[i]) for i in chosen)


def _architecture(name: str, file: Path, split: str, index: int, record: dict) -> Architecture:
    try:
        config = DeepNetConfig.from_record(record)
    except ArchrepError as error:
        raise ArchrepError(f"{name}: {error}") from error
    return Architecture(
        id=name,
        space="deepnets-official",
        split=split,
        make_graph=lambda vocabulary: _stored_graph(file, split, index, config, vocabulary),
        make_network=lambda: DeepNet(config),
    )


def _find(path: Path, split: str) -> Path:
    """The HDF5 file that should hold a split."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise ArchrepError(f"{path}: no such folder or .hdf5 file. {EXPECTED}.")
    for name in (split, "eval"):
        if (file := path / f"deepnets1m_{name}.hdf5").is_file():
            return file
    found = [file.stem.removeprefix("deepnets1m_") for file in path.glob("deepnets1m_*.hdf5")]
    raise unknown(f"split of {path}", split, found, " Splits lie in deepnets1m_SPLIT.hdf5 or deepnets1m_eval.hdf5.")


def _records(file: Path, split: str) -> list[dict]:
    """The records of a split, from the JSON beside its HDF5 file."""
    meta = file.with_name(f"{file.stem}_meta.json")
    if not meta.is_file():
        raise ArchrepError(f"{meta}: missing; it holds the genotypes of {file.name} and must lie beside it.")
    nets = lookup(_load(meta, meta.stat().st_mtime_ns), split, f"split of {meta}")
    if not isinstance(nets, dict) or not isinstance(nets.get("nets"), list):
        raise ArchrepError(f"{meta}: split {split} has no list 'nets' of architecture records.")
    return nets["nets"]


@lru_cache(maxsize=2)  # a table of architectures names one at a time
def _load(meta: Path, changed: int) -> dict:
    try:
        content = json.loads(meta.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # ValueError: broken JSON or not UTF-8
        raise ArchrepError(f"{meta}: not readable JSON ({first_line(error)}). Copy it again.") from error
    if not isinstance(content, dict):
        raise ArchrepError(f"{meta}: expected an object with one entry per split, got {type(content).__name__}.")
    return content


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    import h5py

    try:
        with h5py.File(file) as groups:
            yield groups
    except (OSError, KeyError, RuntimeError) as error:
        raise ArchrepError(
            f"{file}: not a complete HDF5 file of DeepNets-1M ({first_line(error)}). Copy it again."
        ) from error


def _stored_graph(file: Path, split: str, index: int, config: DeepNetConfig, vocabulary: str) -> ArchGraph:
    """The graph of an architecture without the nodes that the file does not have."""
    with _opened(file) as groups:
        adj = groups[split][str(index)]["adj"][()]
    edges = np.argwhere(adj == 1)  # (E, 2)
    plan = make_plan(config)
    lost = _lost(plan, Counter(_ancestries(edges.tolist(), len(adj))))
    if lost is None:
        raise ArchrepError(
            f"{file}: the stored graph ({len(adj)} nodes) is not that of the genotype in the JSON "
            f"({len(Emitter(plan).graph().primitive)} nodes). Copy both files again, they belong together."
        )
    return Emitter(plan, contracted=lost).graph(vocabulary)


def _lost(plan: Plan, stored: Counter[int]) -> frozenset[str] | None:
    """Names of the cse and msa steps without which a plan's graph has the stored ancestries; None if there are none.

    Steps are decided one after another, in execution order. Nodes in front of the next undecided step can no
    longer change, so a choice is dropped as soon as their ancestries are not among the stored ones.
    """
    names = [plan.steps[i].name for i in plan.live if plan.steps[i].kind in ("cse", "msa")]
    complete = Emitter(plan).graph()
    missing = len(complete.primitive) - stored.total()
    choices: list[tuple[int, frozenset[str]]] = [(0, frozenset())]  # number of decided steps, those that are lost
    while choices:
        decided, lost = choices.pop()
        left = missing - len(lost)
        if not 0 <= left <= len(names) - decided:
            continue
        if left in (0, len(names) - decided):  # none of the others is lost, or all of them
            lost = lost.union(names[decided:] if left else ())
            decided = len(names)
        graph = Emitter(plan, contracted=lost).graph() if lost else complete
        ancestries = _ancestries(graph.edge_index.t().tolist(), len(graph.primitive))
        if decided == len(names):
            if Counter(ancestries) == stored:
                return lost
        elif Counter(ancestries[: _first_node(graph, names[decided])]) <= stored:
            choices += [(decided + 1, lost | {names[decided]}), (decided + 1, lost)]
    return None


def _first_node(graph: ArchGraph, step: str) -> int:
    """Position of the first node of a step."""
    return next(i for i, name in enumerate(graph.param_names) if name and name.startswith(f"{step}."))


def _ancestries(edges: Iterable[Sequence[int]], n: int) -> list[int]:
    """One number for all that a node descends from, for `n` topologically sorted nodes; primitives are ignored."""
    before: list[list[int]] = [[] for _ in range(n)]
    for u, v in edges:
        before[v].append(u)
    ancestry = [0] * n
    for v in range(n):
        ancestry[v] = hash(tuple(sorted(ancestry[u] for u in before[v])))
    return ancestry
