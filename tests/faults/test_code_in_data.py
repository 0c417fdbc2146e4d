"""Code that data files name or hold does not run; what a user types does."""

import io
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from archrep import GHN, GHNConfig, architectures
from archrep.data.embeddings import write_embeddings
from archrep.errors import ArchrepError
from archrep.shipped import LABELS, shipped
from archrep.train.config import TrainConfig
from archrep.train.run import STATE, create
from tests.cli import here

EVIL = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
from torch import nn

def net():
    return nn.Linear(3, 10)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A module that leaves a trace when it runs, and tables that name it."""
    (tmp_path / "evil_module.py").write_text(EVIL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    archs = ["evil_module.py:net", "evil_module:net", *(f"deepnets-small:test:{i}" for i in range(8))]
    labels = pd.DataFrame({"arch": archs, "accuracy": np.arange(10.0), "protocol": "p", "seed": 0, "device": "cpu"})
    labels.to_csv("labels.csv", index=False)
    labels.to_parquet("labels.parquet", index=False)
    columns = {"arch": archs, "space": ["own"] * 10, "split": [""] * 10}
    write_embeddings(tmp_path / "e.parquet", columns, np.random.default_rng(0).normal(size=(10, 4)), {}, False)
    return tmp_path


COMMANDS = [
    "embed --archs labels.csv",
    "embed --archs labels.parquet --limit 1",
    "probe --labels labels.csv --encoders size,graph-features --probe ridge",
    "probe --labels labels.csv --embeddings e.parquet --encoders ghn,size --probe ridge",
    "rank --archs labels.csv --labels labels.csv --target accuracy",
    "rank --archs deepnets-small:test:9-12 --labels labels.csv --target accuracy --encoders size --probe ridge",
    "neighbors deepnets-small:test:0 --in e.parquet",
    "neighbors deepnets-small:test:0 --in e.parquet --json",
    pytest.param("map --embeddings e.parquet --labels labels.csv", marks=pytest.mark.slow),  # UMAP compiles itself
    "predict --arch labels.csv",
    "predict-target --probe probe-accuracy --archs labels.csv",
    "evaluate --archs labels.csv --data digits --images 32",
    "finetune --archs labels.csv --data digits",
    "measure --archs labels.csv --data digits --protocol smoke",
    "search --archs labels.csv --labels labels.csv --runs 1",
    "labels check labels.csv",
    "labels check labels.parquet",
    "labels card labels.parquet",
    "train --archs labels.csv --data digits --out run",
    "graph labels.csv",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_tables_do_not_make_code_run(folder, command, record_property):
    record_property("fault", f"code spec in a table: archrep {' '.join(command.split()[:2])}")
    record_property("cases", 1)
    here.archrep(*command.split())
    assert not (folder / "ran").exists()


def test_a_refusal_says_what_to_do(folder):
    done = here.archrep("embed", "--archs", "labels.csv")
    assert done.returncode == 2
    assert "--archs evil_module.py:net" in done.stderr
    assert "ARCHREP_TRUST_CODE=1" in done.stderr


def test_what_is_typed_or_trusted_runs(folder, monkeypatch):
    assert [a.id for a in architectures("evil_module.py:net")] == ["evil_module.py:net"]
    assert (folder / "ran").exists()
    assert len(list(architectures("evil_module.py:net", typed=False))) == 1  # typed before
    (folder / "other.py").write_text(EVIL)
    with pytest.raises(ArchrepError, match="do not make run"):
        architectures("other.py:net", typed=False)
    monkeypatch.setenv("ARCHREP_TRUST_CODE", "1")
    assert len(list(architectures("other.py:net", typed=False))) == 1


@pytest.mark.parametrize("where", ["/elsewhere/store", "../store", "in/../../store"])
@pytest.mark.parametrize("form", ["deepnets:{}:0", "deepnets-official:{}:test:0", "transformers:{}/config.json"])
def test_specs_in_data_do_not_lead_elsewhere(tmp_path, form, where, monkeypatch, record_property):
    record_property("fault", f"spec in a table that leads elsewhere: {form.format(where)}")
    record_property("cases", 1)
    spec = form.format(where)
    (tmp_path / "t.csv").write_text(f"arch\n{spec}\n")
    with pytest.raises(ArchrepError, match="leads out of the current folder"):
        architectures(str(tmp_path / "t.csv"))
    monkeypatch.setenv("ARCHREP_TRUST_CODE", "1")
    with pytest.raises(ArchrepError, match=r"(?s)^(?!.*leads out)"):  # there is nothing there
        list(architectures(str(tmp_path / "t.csv")))


def test_a_typed_place_may_be_in_data(tmp_path):
    folder = tmp_path / "s"
    made = here.archrep(
        *["sample", "--space", "deepnets", "--split", "train", "-n", "2", "--workers", "1", "--out"], folder
    )
    assert made.returncode == 0, made.stderr
    assert len(list(architectures(f"deepnets:{folder}"))) == 2
    assert len(list(architectures(f"deepnets:{folder}:1", typed=False))) == 1


class Trace:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def pickles(folder):
    """The same trap in every dress in which a pickle comes."""
    trap = Trace(folder / "ran")
    plain = pickle.dumps({"state_dict": trap, "config": {}, "model": trap})
    saved = io.BytesIO()
    torch.save({"state_dict": trap, "config": {}}, saved)
    array = io.BytesIO()
    np.save(array, np.array([trap], dtype=object), allow_pickle=True)
    return {"plain": plain, "torch": saved.getvalue(), "numpy": array.getvalue()}


READERS = {
    "checkpoint": ("embed --checkpoint {} --archs deepnets-small:test:0", "x.safetensors"),
    "released checkpoint": ("embed --checkpoint {} --archs deepnets-small:test:0", "x.pt"),
    "convert": ("convert {} --out new.safetensors", "x.pt"),
    "initial weights": ("train --init {} --data digits --out run", "x.safetensors"),
    "embedding table": ("map --embeddings {}", "x.parquet"),
    "label table": ("probe --labels {}", "x.parquet"),
    "label text": ("probe --labels {}", "x.csv"),
    "imported labels": ("labels import nasbench201 {} --out l.parquet", "NAS-Bench-201-v1_1-096897.pth"),
    "imported table": ("labels import nasbench101 {} --out l.parquet", "x.csv"),
    "checked labels": ("labels check {}", "x.parquet"),
    "architectures": ("embed --archs {}", "x.parquet"),
    "images": ("evaluate --archs deepnets-small:test:0 --data {}", "data/train.parquet"),
    "batches of images": ("evaluate --archs deepnets-small:test:0 --data {}", "cifar-10-batches-py/data_batch_1"),
    "official graphs": ("embed --archs deepnets-official:{}:test:0", "x.hdf5"),
    "graph store": ("embed --archs deepnets:store:0", "store/shard-00000.arrow"),
    "graph store's manifest": ("info store", "store/store.json"),
    "probe": ("predict-target --probe probe --archs deepnets-small:test:0", "probe/probe.skops"),
    "run": ("train --resume run", "run/state.pt"),
    "measurements": ("measure --archs deepnets-small:test:0 --data digits --protocol smoke --out l.parquet", "l.jsonl"),
}


@pytest.mark.parametrize("dress", ["plain", "torch", "numpy"])
@pytest.mark.parametrize("reader", list(READERS))
def test_pickles_are_not_executed(tmp_path, monkeypatch, reader, dress, record_property):
    record_property("fault", f"pickle with code ({dress}) as {reader}")
    record_property("cases", 1)
    monkeypatch.chdir(tmp_path)
    command, name = READERS[reader]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickles(tmp_path)[dress])
    (tmp_path / "ran").unlink(missing_ok=True)
    given = path.parent if "--data" in command and "/" in name else path
    done = here.archrep(*command.format(given.relative_to(tmp_path)).split())
    assert not (tmp_path / "ran").exists()
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*new*"))


def test_a_pickle_as_resume_state_is_not_executed(tmp_path, digits, record_property):
    record_property("fault", "pickle with code as the resume state of a run")
    record_property("cases", 1)
    few = {"steps": 1, "meta_batch": 1, "images": 8, "workers": 0, "archs": "deepnets-small:train:0-3"}
    create(TrainConfig(ghn=GHNConfig(hidden=8, max_shape=(8, 8, 3, 3)), **few), "digits", digits, tmp_path / "run")
    (tmp_path / "run" / STATE).write_bytes(pickles(tmp_path)["torch"])
    (tmp_path / "ran").unlink(missing_ok=True)
    done = here.archrep("train", "--resume", tmp_path / "run")
    assert not (tmp_path / "ran").exists()
    assert done.returncode == 2
    assert "damaged resume state" in done.stderr


def test_the_trap_works(tmp_path):
    """So that the tests above can fail."""
    pickle.loads(pickles(tmp_path)["plain"])["model"].close()  # noqa: S301
    assert (tmp_path / "ran").exists()


def test_a_saved_probe_with_a_foreign_type_is_refused(tmp_path, monkeypatch, record_property):
    record_property("fault", "saved probe that holds a function")
    record_property("cases", 1)
    import skops.io

    monkeypatch.chdir(tmp_path)
    options = "--target accuracy --encoders size --probe ridge --limit 24 --out probe"
    assert here.archrep("probe", "--labels", str(shipped(LABELS)), *options.split()).returncode == 0
    skops.io.dump([shutil.copyfile], tmp_path / "probe" / "probe.skops")
    done = here.archrep("predict-target", "--probe", "probe", "--archs", "deepnets-small:test:0")
    assert done.returncode == 2
    assert "probe.skops" in done.stderr
    assert not (tmp_path / "predictions.csv").exists()


def test_a_checkpoint_of_weights_that_are_no_numbers_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in (float("nan"), float("inf")):
        ghn = GHN.untrained(seed=0)
        next(ghn.parameters()).data.view(-1)[0] = value
        ghn.save(tmp_path / "ghn.safetensors", force=True)
        done = here.archrep("embed", "--checkpoint", "ghn.safetensors", "--archs", "deepnets-small:test:0")
        assert done.returncode == 2
        assert "ghn.safetensors" in done.stderr
