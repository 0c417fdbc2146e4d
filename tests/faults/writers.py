"""Everything that writes a result, by one signature, with content that tells two writings apart."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
import torch

from archrep import GHN, GHNConfig
from archrep.data.embeddings import read_embeddings, write_embeddings
from archrep.data.labels import read_labels, write_labels
from archrep.data.targets import TARGETS
from archrep.files import append, atomic, atomic_folder
from archrep.ghn.checkpoint import load_ghn
from archrep.journal import Journal
from archrep.plot.page import write_page
from archrep.plot.style import save_figure
from archrep.probe.saved import FittedProbe, load_probe, save_probe
from archrep.probe.transform import TRANSFORMS
from archrep.space.deepnets import Generated, Store, generate
from archrep.space.official import meta_path
from archrep.space.official_writer import write_official
from archrep.train.run import STATE

ROWS = 300
TINY = GHNConfig(hidden=8, max_shape=(8, 8, 3, 3))


class Writer(NamedTuple):
    """`write(folder, variant, force)` writes variant 0 or 1; `read(folder)` says which is there, complete."""

    write: Callable[[Path, int, bool], object]
    read: Callable[[Path], int]


def _table(folder: Path, variant: int, force: bool) -> None:
    columns = {"arch": [f"a{i}" for i in range(ROWS)], "space": ["s"] * ROWS, "split": [""] * ROWS}
    values = np.random.default_rng(0).normal(size=(ROWS, 8))
    values[:, 0] = variant
    write_embeddings(folder / "out.parquet", columns, values, {"ghn": {}}, force)


def _read_table(folder: Path) -> int:
    values = read_embeddings(folder / "out.parquet").values
    assert len(values) == ROWS
    assert (values[:, 0] == values[0, 0]).all()
    return int(values[0, 0])


def _labels(folder: Path, variant: int, force: bool) -> None:
    rows = [{"arch": f"a{i}", "protocol": "p", "seed": 0, "device": "d", "accuracy": variant} for i in range(ROWS)]
    write_labels(folder / "out.parquet", rows, {}, force)


def _read_labels(folder: Path) -> int:
    found = read_labels(folder / "out.parquet").table["accuracy"]
    assert len(found) == ROWS
    return int(found.unique().item())


def _checkpoint(folder: Path, variant: int, force: bool) -> None:
    ghn = GHN.untrained(TINY, seed=variant)
    ghn.provenance = {"variant": variant}
    ghn.save(folder / "out.safetensors", force=force)


def _read_checkpoint(folder: Path) -> int:
    return load_ghn(folder / "out.safetensors").provenance["variant"]


def _state(folder: Path, variant: int, force: bool) -> None:
    with atomic(folder / STATE, force=True) as temporary:  # as archrep/train/run.py does
        torch.save({"variant": variant, "weights": torch.full((3000,), float(variant))}, temporary)


def _read_state(folder: Path) -> int:
    state = torch.load(folder / STATE, weights_only=True)
    assert (state["weights"] == state["variant"]).all()
    return state["variant"]


def _store(folder: Path, variant: int, force: bool) -> None:
    generate(folder / "out", "deepnets-small", ("val", "test")[variant], 3, workers=1, force=force)


def _read_store(folder: Path) -> int:
    store = Store(folder / "out")
    assert [len(store.graph(i).primitive) > 0 for i in range(len(store))] == [True] * 3
    return ("val", "test").index(store.split)


def _official(folder: Path, variant: int, force: bool) -> None:
    write_official(Generated("deepnets-small", "search"), folder, 2 + variant, force)


def _read_official(folder: Path) -> int:
    import h5py

    file = folder / "deepnets1m_search.hdf5"
    described = json.loads(meta_path(file).read_text())["search"]["nets"]
    with h5py.File(file) as groups:
        assert len(groups["search"]) == len(described)
    return len(described) - 2


def _figure(folder: Path, variant: int, force: bool) -> None:
    figure = matplotlib.figure.Figure(figsize=(2, 2), dpi=40)
    figure.subplots().set_title(f"variant {variant}")
    save_figure(figure, pd.DataFrame({"variant": [variant] * ROWS}), folder / "out", force)


def _read_figure(folder: Path) -> int:
    from xml.etree import ElementTree

    from PIL import Image

    with Image.open(folder / "out.png") as image:
        image.load()
    ElementTree.parse(folder / "out.svg")
    found = pd.read_csv(folder / "out.csv")["variant"]
    assert len(found) == ROWS
    return int(found.unique().item())


def _page(folder: Path, variant: int, force: bool) -> None:
    points = pd.DataFrame({"arch": ["a", "b"], "x": [0, 1], "y": [0, 1], "kind": ["k", "l"]})
    write_page(points, "kind", folder / "out.html", f"variant {variant}.", force=force)


def _read_page(folder: Path) -> int:
    text = (folder / "out.html").read_text()
    assert text.rstrip().endswith("</html>")
    return int("variant 1." in text)


def _probe(folder: Path, variant: int, force: bool) -> None:
    from sklearn.linear_model import Ridge

    y = np.arange(20.0)
    model = Ridge().fit(y[:, None], y)
    fitted = FittedProbe(
        TARGETS["accuracy"],
        [("size", "ridge")],
        [model],
        TRANSFORMS["standard"](y),
        y,
        np.arange(20),
        {"variant": variant},
    )
    with atomic_folder(folder / "out", force, ("probe.json", "probe.skops")) as new:
        save_probe(fitted, new)


def _read_probe(folder: Path) -> int:
    return load_probe(folder / "out").facts["variant"]


WRITERS = {
    "embedding table": Writer(_table, _read_table),
    "label table": Writer(_labels, _read_labels),
    "checkpoint": Writer(_checkpoint, _read_checkpoint),
    "resume state": Writer(_state, _read_state),
    "graph store": Writer(_store, _read_store),
    "official files": Writer(_official, _read_official),
    "figure": Writer(_figure, _read_figure),
    "page": Writer(_page, _read_page),
    "probe folder": Writer(_probe, _read_probe),
}


def journal(folder: Path) -> Journal:
    """A journal of this process."""
    return Journal(folder / "out.jsonl", {"journal": 1}, "of another test")


def log(folder: Path) -> None:
    """A line of metrics."""
    append(folder / "metrics.jsonl", [json.dumps({"step": 1, "loss": 0.1}) + "\n"])
