"""Load: memory that does not grow with the number of architectures, and stated bounds where it must.

A map of more than 50,000 rows is drawn from a stated sample: tests/cli/test_map.py.
"""

import gc
import json
import time
import weakref
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from archrep import GHN
from archrep.data.embeddings import write_embedding_parts
from archrep.errors import CaptureError
from archrep.graph.capture import capture
from tests.faults.child import Child
from tests.faults.size import SIZE, cases
from tests.faults.test_kill import archrep

# MB beyond those of an archrep that has imported almost everything.
EMBEDDING = 300
EMBEDDING_MORE = cases(5, 30, 30)  # for five times as many architectures: their names
CAPTURES = cases(10, 20, 20)
# Bytes per pair of nodes of the largest graph: of its distances alone, or also of the matrices of a level's messages.
WAYS = {"node after node": 8, "level after level": 40}

NODES = cases(1000, 5000, 5000)
ROWS = cases(3000, 100_000, 1_000_000)


def memory(kind):
    """MB of this process: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


def needed(work, folder):
    """MB that a fork of this process needs beyond what it has, at its peak, and the seconds it takes."""
    told = folder / "needed.json"

    def watched():
        Path("/proc/self/clear_refs").write_text("5")  # a peak of the past is none of this work
        before, began = memory("VmRSS"), time.monotonic()
        work()
        told.write_text(json.dumps((memory("VmHWM") - before, time.monotonic() - began)))

    gc.collect()
    assert Child(watched).result() == ""
    return json.loads(told.read_text())


@pytest.mark.timeout(cases(300, 1200, 20_000))
def test_any_number_is_embedded_in_the_same_memory(tmp_path, monkeypatch, record_property):
    count = cases(400, 10_000, 100_000)
    record_property("fault", "one archrep embed of many architectures")
    record_property("cases", count)
    monkeypatch.setattr("archrep.cli.embed.CHUNK", cases(32, 512, 512))
    few, _ = needed(lambda: embed(count // 5, tmp_path), tmp_path)
    many, seconds = needed(lambda: embed(count, tmp_path), tmp_path)
    record_property("note", f"{many:.0f} MB more than at the start, {few:.0f} MB for a fifth of them; {seconds:.0f} s")
    assert many < EMBEDDING
    assert many - few < EMBEDDING_MORE


def embed(count, folder):
    archrep(f"embed --archs deepnets-small:train:0-{count - 1} --threads 1 --out {folder}/{count}.parquet")


@pytest.fixture(scope="module")
def long_and_short():
    """A network of thousands of nodes, and others of three."""
    layers = [layer for _ in range(NODES // 2 - 1) for layer in (nn.Linear(8, 8), nn.ReLU())]
    with torch.device("meta"):
        long = nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), *layers)
        short = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    return [capture(long)] + [capture(short)] * cases(31, 7, 7)


@pytest.mark.timeout(cases(300, 600, 600))
@pytest.mark.parametrize("way", WAYS)
def test_a_long_graph_beside_short_ones(way, long_and_short, tmp_path, monkeypatch, record_property):
    """On a CPU nodes are updated one by one; on others by levels, with a matrix of all pairs of nodes."""
    graphs, ghn = long_and_short, GHN.untrained(seed=3)
    nodes = len(graphs[0].primitive)
    record_property("fault", f"a graph of {nodes:,} nodes in a batch with graphs of 3, {way}")
    record_property("cases", len(graphs))
    assert (nodes, len(graphs[1].primitive)) == (NODES + 1 - NODES % 2, 3)
    if way == "level after level":
        monkeypatch.setattr("archrep.ghn.kernel.applies", lambda gnn, states: False)
    alone = [ghn.node_states(graph) for graph in graphs[:2]]
    # Summed as in `embed`: thousands of float32 in another order differ in the fifth digit.
    means = torch.cat([torch.segment_reduce(s, "mean", lengths=torch.tensor([len(s)])) for s in alone])

    def embed_all():
        together = ghn.embed(graphs)
        torch.testing.assert_close(together[:2], means, atol=1e-5, rtol=1e-5)
        assert (together[1:] == together[1]).all()

    def in_one_batch():
        with torch.no_grad():
            torch.testing.assert_close(ghn(graphs[:2]), torch.cat(alone), atol=1e-5, rtol=1e-5)

    assert means.isfinite().all()
    mb, seconds = needed(embed_all, tmp_path)
    in_one, _ = needed(in_one_batch, tmp_path)
    record_property("note", f"{mb:.0f} MB to embed, {seconds:.1f} s; {in_one:.0f} MB for two in one batch")
    pairs = WAYS[way] * nodes**2 / 2**20
    assert mb < 40 + pairs
    assert in_one < 40 + 2 * pairs


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Labels and embeddings of so many cells of NAS-Bench-101; few.csv has 200 of the labels, others.csv the rest."""
    folder = tmp_path_factory.mktemp("load")
    rng = np.random.default_rng(0)
    clue = rng.normal(size=ROWS)
    table = pd.DataFrame({"arch": cells(ROWS, rng), "accuracy": 90 + clue + rng.normal(size=ROWS), "clue": clue})
    table.to_csv(folder / "labels.csv", index=False)
    table[:200].to_csv(folder / "few.csv", index=False)
    table[200:].to_csv(folder / "others.csv", index=False)
    parts = (table[first : first + 50_000] for first in range(0, ROWS, 50_000))
    write_embedding_parts(folder / "embeddings.parquet", map(embedded, parts), {"ghn": {}}, False)
    return folder


def cells(count, rng):
    """Specs of different cells: every vertex has an edge to it and one from it, so that none is pruned."""
    pairs = np.array(list(combinations(range(7), 2)))  # (21, 2)
    edges = (np.arange(2 ** len(pairs))[:, None] >> np.arange(len(pairs))) & 1  # (2²¹, 21)
    edges = edges[edges.sum(axis=1) <= 9]
    for vertex in range(7):
        for end in (0, 1):
            if vertex != (6, 0)[end]:
                edges = edges[edges[:, pairs[:, end] == vertex].any(axis=1)]
    matrices = ["".join(map(str, row)) for row in edges.tolist()]
    chosen = rng.choice(len(matrices) * 3**5, count, replace=False)
    return [f"nasbench101:{matrices[i // 3**5]}:{np.base_repr(i % 3**5, 3).zfill(5)}" for i in chosen]


def embedded(part):
    columns = {"arch": part["arch"], "space": ["nasbench101"] * len(part), "split": [""] * len(part)}
    noise = np.random.default_rng(len(part)).normal(size=(len(part), 31))
    return columns | {"clue": part["clue"]}, np.column_stack([part["clue"], noise])


# Command, and the bytes per row that it may need.
COMMANDS = {
    "probe": ("probe --labels {0}/labels.csv --encoders columns:clue --probe ridge --out {1}/p", 5000),
    "probe --test": (
        "probe --labels {0}/few.csv --test {0}/others.csv --encoders columns:clue --probe ridge --out {1}/p",
        6000,
    ),
    "rank": ("rank --labels {0}/few.csv --embeddings {0}/embeddings.parquet --out {1}/r.parquet", 1500),
    "map": ("map --embeddings {0}/embeddings.parquet --color clue --html --out {1}/m", 1500),
}


@pytest.mark.timeout(cases(300, 1800, 9000))
@pytest.mark.parametrize("name", [name for name in COMMANDS if SIZE or name != "probe --test"])
def test_a_table_of_many_rows(name, tables, tmp_path, monkeypatch, record_property):
    record_property("fault", f"archrep {name} of a table with many rows")
    record_property("cases", ROWS)
    monkeypatch.setattr("archrep.cli.map.DRAWN", cases(500, 10_000, 50_000))
    if not SIZE:
        monkeypatch.setattr("archrep.plot.umap_map.project", lambda values, seed: values[:, :2])  # it compiles for 10 s
    command, per_row = COMMANDS[name]
    mb, seconds = needed(lambda: archrep(command.format(tables, tmp_path)), tmp_path)
    record_property("note", f"{mb:.0f} MB, {seconds:.0f} s")
    assert mb < 250 + per_row * ROWS / 2**20


class Fickle(nn.Module):
    """Its control flow depends on values, so that it is computed."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 32 * 32, 10)

    def forward(self, images):
        out = self.layer(images.flatten(1))
        return out if out.sum() > 1e9 else -out


class Deaf(nn.Module):
    """Its output does not depend on its input, so that there is no graph."""

    def __init__(self):
        super().__init__()
        self.answer = nn.Parameter(torch.zeros(1, 10))

    def forward(self, images):
        return self.answer


def network(number):
    """Every one has another shape; some cannot be captured."""
    if number % 10 in (3, 7):
        return (Fickle if number % 10 == 3 else Deaf)()
    width = 8 + number % 57
    convolutions = [nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 2 * width, 3)]
    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10))


@pytest.mark.timeout(cases(300, 600, 3600))
def test_captures_leave_nothing_behind(record_property):
    count = cases(60, 500, 5000)
    record_property("fault", "many captures in one process, some of them failing")
    record_property("cases", count)
    alive, refused = [], 0
    for number in range(count):
        if number == count // 5:
            gc.collect()
            early = memory("VmRSS")
        made = network(number)
        alive.append(weakref.ref(made))
        try:
            alive.append(weakref.ref(capture(made)))
        except CaptureError:
            refused += 1
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in made.modules())
        del made
    gc.collect()
    growth = memory("VmRSS") - early
    record_property("note", f"{growth:.1f} MB more after {count} captures than after {count // 5}")
    assert refused == count // 10
    assert [ref for ref in alive if ref() is not None] == []
    assert growth < CAPTURES
