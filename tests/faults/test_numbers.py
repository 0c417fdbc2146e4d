"""Numbers that are none are noticed where they come in; the same seed gives the same numbers elsewhere.

GPU and CPU agree: tests/ghn/test_gpu.py. Losses and images of a meta-batch: tests/train/test_train.py.
"""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from archrep import GHN, GHNConfig, architectures, load_images
from archrep.data.embeddings import read_embeddings, write_embeddings
from archrep.data.labels import read_labels
from archrep.errors import ArchrepError
from archrep.measure import PROTOCOLS
from archrep.measure.training import train
from archrep.train.config import TrainConfig
from archrep.train.finetune import Recipe
from archrep.train.finetune import _train as fine_tune
from archrep.train.loop import Trainer
from tests.cli import here
from tests.conftest import PROJECT

VALUES = [float("nan"), float("inf"), -float("inf")]
SMALL = GHNConfig(hidden=8, max_shape=(8, 8, 3, 3))


@pytest.mark.parametrize("value", VALUES)
def test_weights(tmp_path, value, record_property):
    record_property("fault", f"{value} among the weights of a checkpoint")
    record_property("cases", 1)
    ghn = GHN.untrained(SMALL, seed=0)
    list(ghn.parameters())[-1].data.view(-1)[-1] = value
    ghn.save(tmp_path / "g.safetensors")
    with pytest.raises(ArchrepError, match="NaN or infinite"):
        GHN.load(tmp_path / "g.safetensors")


def test_resume_state(digits, record_property):
    record_property("fault", "NaN among the weights of a resume state")
    record_property("cases", 1)
    trainer = Trainer(TrainConfig(ghn=SMALL, steps=1, workers=0), digits.train)
    state = trainer.state()
    next(iter(state["ghn"].values())).view(-1)[0] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinite"):
        trainer.load_state(state)


@pytest.mark.parametrize("value", VALUES)
def test_embeddings(tmp_path, value, record_property):
    record_property("fault", f"{value} in an embedding table")
    record_property("cases", 1)
    values = np.ones((3, 4), np.float32)
    values[2, 3] = value
    write_embeddings(tmp_path / "e.parquet", {n: list("abc") for n in ("arch", "space", "split")}, values, {}, False)
    with pytest.raises(ArchrepError, match="NaN or infinite"):
        read_embeddings(tmp_path / "e.parquet")


@pytest.mark.parametrize("value", VALUES[:2])
def test_labels_are_left_out_and_counted(tmp_path, value, record_property):
    record_property("fault", f"{value} among labels")
    record_property("cases", 1)
    archs = [f"deepnets-small:test:{i}" for i in range(24)]
    table = pd.DataFrame({"arch": archs, "accuracy": np.arange(24.0)})
    table.loc[5, "accuracy"] = value
    table.to_csv(tmp_path / "l.csv", index=False)
    assert len(read_labels(tmp_path / "l.csv").table) == 24
    chosen = ("--encoders", "size", "--probe", "ridge", "--out", tmp_path / "p")
    done = here.archrep("probe", "--labels", tmp_path / "l.csv", *chosen)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "p" / "report.json").read_text())
    assert "labels that are not finite" in json.dumps(report)


@pytest.mark.parametrize("label", [float("nan"), float("inf"), -1.0])
def test_labels_of_images(tmp_path, label, record_property):
    record_property("fault", f"{label} as the class of an image")
    record_property("cases", 1)

    file = io.BytesIO()
    Image.new("RGB", (32, 32)).save(file, "png")
    for part in ("train", "test"):
        table = pa.table({"img": [{"bytes": file.getvalue()}] * 3, "label": [0.0, 1.0, label]})
        pq.write_table(table, tmp_path / f"{part}.parquet")
    with pytest.raises(ArchrepError, match="label"):
        load_images(str(tmp_path))


class Steep(nn.Module):
    """Its loss is finite, its gradient is not: the slope of a root at 0."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10))

    def forward(self, x):
        return self.weight.sqrt().expand(len(x), 10)


def test_gradients_of_measuring(digits, record_property):
    record_property("fault", "infinite gradient with a finite loss, measuring")
    record_property("cases", 1)
    network = Steep()
    done = train(network, PROTOCOLS["smoke"], digits.train, 0, torch.device("cpu"))
    assert done.diverged
    assert done.accuracies == []
    assert torch.isfinite(network.weight).all()  # no step was taken


def test_gradients_of_fine_tuning(digits, record_property):
    record_property("fault", "infinite gradient with a finite loss, fine-tuning")
    record_property("cases", 1)
    network = Steep()
    assert fine_tune(network, Recipe(epochs=1), digits.val, 0, torch.device("cpu")) == (0.0, True)
    assert torch.isfinite(network.weight).all()


ELSEWHERE = """
import json, sys, torch
from archrep import GHN, architectures
names, found = json.loads(sys.argv[1]), {}
some = list(architectures(*names))
ghn = GHN.untrained(seed=7)
found["hashes"] = [a.graph.hash() for a in some]
for threads in (1, 2):
    torch.set_num_threads(threads)
    found[str(threads)] = ghn.embed([a.graph for a in some]).tolist()
    found[f"predicted {threads}"] = [float(v.double().sum()) for v in ghn.predict(some[0].graph).values()]
print(json.dumps(found))
"""


def test_the_same_in_another_process(record_property):
    """Architectures, graphs and hashes in all; embeddings and tensors with as many threads; else to rounding."""
    record_property("fault", "another process, hash seed and number of threads")
    record_property("cases", 1)
    names = ["deepnets-small:test:0-2", "deepnets:deep:1", "nasbench201:|nor_conv_3x3~0|+|none~0|skip_connect~1|+"]
    names[2] += "|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ELSEWHERE, json.dumps(names)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, env=environment)
    assert done.returncode == 0, done.stderr[-1000:]
    found = json.loads(done.stdout)
    some = list(architectures(*names))
    assert found["hashes"] == [a.graph.hash() for a in some]
    ghn = GHN.untrained(seed=7)
    ours = ghn.embed([a.graph for a in some])  # one thread, see conftest.py
    assert found["1"] == ours.tolist()
    assert found["predicted 1"] == [float(v.double().sum()) for v in ghn.predict(some[0].graph).values()]
    torch.testing.assert_close(torch.tensor(found["2"]), torch.tensor(found["1"]), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["predicted 2"], found["predicted 1"], rtol=1e-3, atol=1e-3)
