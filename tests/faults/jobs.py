"""The commands that work for long, as small as they come: how to start or continue one, and what it has made."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import torch
from PIL import Image

from archrep import GHN
from archrep.data.embeddings import read_embeddings, write_embeddings
from archrep.data.labels import read_labels
from archrep.probe.saved import load_probe
from archrep.space.deepnets import Store
from archrep.space.deepnets.shard import Shard
from archrep.space.deepnets.store import read_request
from archrep.train.run import read_config, read_metrics
from tests.measure.test_network import without_times

EMBEDDED = 30
TRAIN = "--data digits --steps 6 --meta-batch 2 --images 16 --val-every 3 --save-every 0 --small-first 1 --threads 1"


class Job(NamedTuple):
    """`command(folder)`: what a user types next. `check(folder)`: whatever is there is whole. `result(folder)`."""

    command: Callable[[Path], str]
    check: Callable[[Path], None]
    result: Callable[[Path], object]


def _train(folder: Path) -> str:
    run = folder / "run"
    return f"train --resume {run}" if (run / "config.json").exists() else f"train {TRAIN} --out {run}"


def _check_train(folder: Path) -> None:
    run = folder / "run"
    for weights in run.glob("[!.]*.safetensors"):
        GHN.load(weights)
    if (run / "config.json").exists():
        read_config(run)
    if (run / "state.pt").exists():
        torch.load(run / "state.pt", weights_only=True)


def _trained(folder: Path) -> object:
    weights = [GHN.load(folder / "run" / f"{name}.safetensors").state_dict() for name in ("last", "best")]
    times = ("seconds", "peak_gb", "peak_gpu_gb")
    lines = [{k: v for k, v in line.items() if k not in times} for line in read_metrics(folder / "run")]
    return [{k: v.tolist() for k, v in w.items()} for w in weights], lines


def _measure(folder: Path) -> str:
    return f"measure --archs deepnets-small:test:3-5 --data digits --protocol smoke --out {folder}/l.parquet"


def _check_measure(folder: Path) -> None:
    if (folder / "l.parquet").exists():
        assert len(read_labels(folder / "l.parquet").table) == 3
    if (folder / "l.jsonl").exists():
        whole = [line for line in (folder / "l.jsonl").read_text().splitlines(keepends=True) if line.endswith("\n")]
        assert all(isinstance(json.loads(line), dict) for line in whole)


def _measured(folder: Path) -> object:
    rows = [json.loads(line) for line in (folder / "l.jsonl").read_text().splitlines()[1:]]
    assert list(read_labels(folder / "l.parquet").table.index) == [f"deepnets-small:test:{i}" for i in range(3, 6)]
    return sorted((without_times(row) for row in rows), key=lambda row: row["arch"])


def _sample(folder: Path) -> str:
    return f"sample --space deepnets-small --split val -n 40 --workers 1 --out {folder}/s"


def _check_sample(folder: Path) -> None:
    if (folder / "s" / "store.json").exists():
        request = read_request(folder / "s")
        for shard in (folder / "s").glob("shard-*"):
            Shard(shard, request.contents(int(shard.stem[-5:])))


def _sampled(folder: Path) -> object:
    assert len(Store(folder / "s")) == 40
    return {path.name: path.read_bytes() for path in (folder / "s").glob("shard-*")}


def _embed(folder: Path) -> str:
    out = folder / "e.parquet"
    force = " --force" if out.exists() else ""
    return f"embed --archs deepnets-small:test:0-{EMBEDDED - 1} --threads 1 --out {out}{force}"


def _check_embed(folder: Path) -> None:
    if (folder / "e.parquet").exists():
        _embedded(folder)


def _embedded(folder: Path) -> object:
    found = read_embeddings(folder / "e.parquet")
    assert len(found.table) == EMBEDDED
    return list(found.table.index), found.values.tolist()


def _probe(folder: Path) -> str:
    rng = np.random.default_rng(0)
    clue = rng.normal(size=60)
    names = [f"nasbench_macro:{np.base_repr(7 * i, 3).zfill(8)}" for i in range(60)]
    table = pd.DataFrame({"arch": names, "accuracy": 90 + clue + rng.normal(size=60), "clue": clue})
    table.to_csv(folder / "l.csv", index=False)
    force = " --force" if (folder / "p").exists() else ""
    return f"probe --labels {folder}/l.csv --encoders columns:clue --probe ridge --out {folder}/p{force}"


def _check_probe(folder: Path) -> None:
    if (folder / "p").exists():
        _probed(folder)


def _probed(folder: Path) -> object:
    probe = load_probe(folder / "p")
    report = json.loads((folder / "p" / "report.json").read_text())
    _check_pictures(folder / "p")
    return len(probe.residuals), report["target"], (folder / "p" / "predictions.csv").read_text()


def _check_pictures(folder: Path) -> None:
    for path in folder.glob("[!.]*.png"):
        with Image.open(path) as image:
            image.load()
    for path in folder.glob("[!.]*.svg"):
        ElementTree.parse(path)


def _map(folder: Path) -> str:
    table = folder / "e.parquet"
    if not table.exists():
        columns = {"arch": [f"a{i}" for i in range(60)], "space": ["s", "t"] * 30, "split": [""] * 60}
        write_embeddings(table, columns, np.random.default_rng(0).normal(size=(60, 8)), {"ghn": {}}, False)
    force = " --force" if list(folder.glob("m.*")) else ""
    return f"map --embeddings {table} --color space --html --out {folder}/m{force}"


def _check_map(folder: Path) -> None:
    _check_pictures(folder)
    if (folder / "m.csv").exists():
        assert len(pd.read_csv(folder / "m.csv")) == 60
    if (folder / "m.html").exists():
        assert (folder / "m.html").read_text().rstrip().endswith("</html>")


def _mapped(folder: Path) -> object:
    assert (folder / "m.html").exists()
    return (folder / "m.csv").read_text(), (folder / "m.png").read_bytes()


JOBS = {
    "train": Job(_train, _check_train, _trained),
    "measure": Job(_measure, _check_measure, _measured),
    "sample": Job(_sample, _check_sample, _sampled),
    "embed": Job(_embed, _check_embed, _embedded),
    "probe": Job(_probe, _check_probe, _probed),
    "map": Job(_map, _check_map, _mapped),
}
