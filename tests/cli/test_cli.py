"""The command line as users type it: results, help, and every expected error as one line with exit code 2."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from archrep import GHN, capture
from archrep.cli import commands
from archrep.data.embeddings import read_embeddings
from tests.cli import here
from tests.ghn.test_released import as_released


def typed(*args, cwd=None, env=None):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "archrep.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=280)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint, an embedding table of 24 architectures, and labels for them."""
    folder = tmp_path_factory.mktemp("files")
    GHN.untrained(seed=2).save(folder / "ghn.safetensors")
    archs = "deepnets-small:train:0-23"
    done = typed("embed", "--checkpoint", folder / "ghn.safetensors", "--archs", archs, "--out", folder / "e.parquet")
    assert done.returncode == 0, done.stderr
    table = read_embeddings(folder / "e.parquet").table
    pd.DataFrame({"arch": table.index, "accuracy": table["nodes"], "flops": table["params"], "odd": 1.0}).to_csv(
        folder / "l.csv", index=False
    )
    return folder


def test_embed_writes_what_the_model_computes(files):
    read = read_embeddings(files / "e.parquet")
    assert read.values.shape == (24, 32)
    assert list(read.table["split"].unique()) == ["train"]
    assert read.header["checkpoint"] == "ghn.safetensors"
    assert "embed" in read.header["provenance"]["command"]


def test_probe_and_map(files, tmp_path):
    tables = ("--embeddings", files / "e.parquet", "--labels", files / "l.csv")
    quick = ("--probe", "ridge", "--checkpoint", files / "ghn.safetensors")
    done = here.archrep("probe", *tables, *quick, "--target", "accuracy", "--out", tmp_path / "p")
    assert done.returncode == 0, done.stderr
    assert "ghn-untrained" in done.stdout
    assert "Kendall" in done.stdout
    report = json.loads((tmp_path / "p" / "report.json").read_text())
    assert report["n"] == 24
    assert report["leaked"] == 0
    figures = {f"{f}.{kind}" for f in ("scatter", "residuals", "calibration") for kind in ("png", "svg", "csv")}
    others = {"report.json", "report.md", "predictions.csv", "probe.skops", "probe.json"}
    assert {p.name for p in (tmp_path / "p").iterdir()} == figures | others

    new = ("--archs", "deepnets-small:train:30-33", "--checkpoint", files / "ghn.safetensors")
    done = here.archrep("predict-target", "--probe", tmp_path / "p", *new, "--out", tmp_path / "new.csv")
    assert done.returncode == 0, done.stderr
    assert "Predicted accuracy (%) of 4 architectures, refused 0" in done.stdout
    predicted = pd.read_csv(tmp_path / "new.csv")
    assert list(predicted.columns) == ["arch", "accuracy", "low", "high"]
    assert (predicted["low"] <= predicted["accuracy"]).all()

    done = here.archrep("map", *tables, "--color", "split", "--out", tmp_path / "map")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("map.*"))) == 3
    again = here.archrep("map", *tables, "--color", "split", "--out", tmp_path / "map")
    assert again.returncode == 2


def test_evaluate_json(files):
    done = here.archrep(
        *("evaluate", "--checkpoint", files / "ghn.safetensors", "--data", "digits", "--images", 64),
        *("--archs", "deepnets-small:test:0-1", "--untrained", "--json"),
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["results"]
    assert [r["ghn"] for r in rows] == ["checkpoint", "untrained"]
    assert {"split", "n", "mean", "max", "ci_low", "ci_high"} <= set(rows[0])
    assert (rows[0]["split"], rows[0]["n"]) == ("test", 2)


@pytest.mark.shared
def test_evaluate_shows_failures_and_published_figures(files, cifar10_folder, tmp_path):
    done = here.archrep(
        *("evaluate", "--checkpoint", files / "ghn.safetensors", "--data", cifar10_folder, "--images", 64),
        *("--archs", "nasbench_macro:00000000", "--archs", "deepnets:bnfree:0", "--archs", "missing.py:net"),
        cwd=tmp_path,
    )
    assert done.returncode == 2
    (tmp_path / "nets.py").write_text(OWN + "\nclass Large(Net):\n    input_shape = (3, 64, 64)\n")
    done = here.archrep(
        *("evaluate", "--checkpoint", files / "ghn.safetensors", "--data", cifar10_folder, "--images", 64),
        *("--archs", "deepnets:bnfree:0", "--archs", "nets.py:Large", "--out", "e.csv"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    bnfree = next(line for line in done.stdout.splitlines() if "deepnets:bnfree" in line)
    assert bnfree.split("│")[-4:-1] == [" 36.8 ".rjust(13), " 13.7 ".rjust(13), " 23.9 ".rjust(11)]
    assert "own: 1 failed (not in the mean)" in done.stdout
    assert "failed: nets.py:Large: takes 3×64×64, the images are 3×32×32" in done.stderr
    assert (tmp_path / "e.csv").read_text().count("\n") == 2


OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.spare = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(2, 2)
        self.head = nn.Linear(8, 10)
        self.head_too = self.head  # shared memory under two names

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).mean(dim=(2, 3)))
"""


def test_predict_writes_a_state_dict_that_the_network_loads(files, tmp_path):
    (tmp_path / "nets.py").write_text(OWN)
    command = ("predict", "--checkpoint", files / "ghn.safetensors", "--arch", "nets.py:Net", "--out", "p.safetensors")
    done = here.archrep(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "spare.weight, spare.bias" in done.stdout
    names = {}
    exec(OWN, names)  # noqa: S102 - the text above
    network = names["Net"]()
    network.load_state_dict(load_file(tmp_path / "p.safetensors"))
    predicted = GHN.load(files / "ghn.safetensors").predict(capture(network))
    assert predicted
    for name, value in predicted.items():
        assert torch.equal(network.get_parameter(name), value)
    again = here.archrep(*command, cwd=tmp_path)
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_embed_goes_on_after_networks_that_fail(files, tmp_path):
    hanging = "\ndef hang():\n    while True:\n        pass\n\ndef text():\n    return 'no network'\n"
    (tmp_path / "nets.py").write_text(OWN + hanging)
    (tmp_path / "broken.py").write_text("1 / 0")
    archs = ("broken.py:Net", "nets.py:hang", "deepnets-small:train:0", "nets.py:text", "nets.py:Net")
    options = [part for arch in archs for part in ("--archs", arch)]
    environment = os.environ | {"ARCHREP_TIMEOUT": "2"}
    command = ("embed", "--checkpoint", files / "ghn.safetensors", *options, "--out", "e.parquet")
    done = typed(*command, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    refused = [line for line in done.stderr.splitlines() if line.startswith("Refused: ")]
    assert [line.split()[1] for line in refused] == ["broken.py:", "nets.py:hang:", "nets.py:text:"]
    assert "Captured: 2, refused: 3" in done.stderr
    assert list(read_embeddings(tmp_path / "e.parquet").table.index) == ["deepnets-small:train:0", "nets.py:Net"]


def test_cells_without_a_graph_are_left_out_and_reported(files, tmp_path):
    """Cells of NAS-Bench-201 whose output does not depend on their input have none."""
    command = ("embed", "--checkpoint", files / "ghn.safetensors", "--archs", "nasbench201:all", "--limit", 130)
    done = here.archrep(*command, "--out", "e.parquet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    refused = [line for line in done.stderr.splitlines() if line.startswith("Refused: ")]
    assert len(refused) == 21
    assert refused[0].startswith("Refused: nasbench201:|none~0|+|none~0|none~1|+|none~0|none~1|none~2|: The network's")
    assert refused[-1] == "Refused: 10 more: The network's output does not depend on its input: no path joins them."
    assert "Captured: 100, refused: 30" in done.stderr
    assert len(read_embeddings(tmp_path / "e.parquet").table) == 100


def test_released_checkpoints_convert_and_load_directly(files, tmp_path):
    torch.save(as_released(GHN.load(files / "ghn.safetensors")), tmp_path / "ghn2.pt")
    done = here.archrep("convert", "ghn2.pt", "--out", "ghn2.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1,620,764 parameters" in done.stdout
    for name in ("ghn2.pt", "ghn2.safetensors"):
        out = f"{name}.parquet"
        done = here.archrep(
            "embed", "--checkpoint", name, "--archs", "deepnets-small:train:0-3", "--out", out, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        read = read_embeddings(tmp_path / out)
        assert abs(read.values - read_embeddings(files / "e.parquet").values[:4]).max() < 1e-5


def test_alone_it_says_what_to_do_next():
    done = here.archrep()
    assert done.returncode == 0
    assert "archrep probe --target accuracy" in done.stdout
    assert here.archrep("--version").stdout.startswith("archrep 0.")


@pytest.mark.parametrize("name", list(commands.ALL))
def test_help_shows_an_example(name):
    done = here.archrep(name, "--help")
    assert done.returncode == 0
    assert f"archrep {name}" in " ".join(done.stdout.split())
    assert "Example:" in done.stdout


def test_start_is_fast_because_nothing_heavy_is_imported():
    code = (
        "import sys, archrep, archrep.cli; "
        "print([m for m in ('torch', 'numpy', 'pandas', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


ERRORS = {
    "missing checkpoint": ("embed --checkpoint none.safetensors --archs deepnets-small:test:0", "no such checkpoint"),
    "unknown space": ("embed --checkpoint {ghn} --archs nasbench:1", "Unknown space"),
    "unknown split": ("embed --checkpoint {ghn} --archs deepnets-small:tests:1", "Did you mean 'test'"),
    "empty list": ("embed --checkpoint {ghn} --archs empty.csv", "name none"),
    "existing output": ("embed --checkpoint {ghn} --archs deepnets-small:test:0 --out {l}", "--force"),
    "unwritable": ("embed --checkpoint {ghn} --archs deepnets-small:test:0 --out {l}/x/e.parquet", "Cannot write"),
    "unknown device": ("embed --checkpoint {ghn} --archs deepnets-small:test:0 --device tpu9", "No device"),
    "no architectures": ("evaluate --checkpoint {ghn} --archs empty.csv --data digits", "name none"),
    "not a result table": (
        "evaluate --checkpoint {ghn} --archs deepnets-small:test:0 --data digits --out e.txt",
        "a name in .parquet or .csv",
    ),
    "existing results": (
        "evaluate --checkpoint {ghn} --archs deepnets-small:test:0 --data digits --out {l}",
        "--force",
    ),
    "nothing to fine-tune": ("finetune --checkpoint {ghn} --data digits", "Nothing to fine-tune"),
    "unknown initialisation": (
        "finetune --archs deepnets-small:test:0 --init he --data digits",
        "Unknown initialisation 'he'",
    ),
    "too many shots": ("finetune --archs deepnets-small:test:0 --data digits --shots 1000", "Give fewer --shots"),
    "foreign folder": ("probe --embeddings {e} --labels {l} --out data --force", "not just an earlier result"),
    "not a table": ("measure --archs deepnets-small:test:0 --data digits --out l.jsonl", "ends in .parquet"),
    "resume and more": ("train --resume data --steps 3", "only --device and --time-limit go with it"),
    "non-canonical": ("probe --embeddings {e} --labels ragged.csv", "not a readable CSV"),
    "unknown target": ("probe --embeddings {e} --labels {l} --target acuracy", "Did you mean 'accuracy'"),
    "unknown column": ("map --embeddings {e} --labels {l} --color dept", "Did you mean 'depth'"),
    "no match": ("probe --embeddings {e} --labels other.csv", "has an embedding"),
    "constant": ("probe --embeddings {e} --labels constant.csv", "constant"),
    "not embeddings": ("probe --embeddings {ghn} --labels {l}", "not a readable Parquet"),
    "no data": ("train --data nowhere --out run", "No image data"),
    "not images": (
        "measure --archs deepnets-small:test:0 --data {data} --out l.parquet",
        "not a parquet file of images",
    ),
    "unknown preset": ("train --preset ghn9 --data digits --out run", "Unknown preset"),
    "unknown protocol": ("measure --archs deepnets-small:test:0 --protocol slow --data digits", "Unknown protocol"),
    "nothing to measure": ("measure --data digits", "Nothing to measure"),
    "several networks": ("predict --checkpoint {ghn} --arch deepnets-small:test:0-3", "predict takes one"),
    "broken network": ("predict --checkpoint {ghn} --arch broken.py:Net", "broken.py: cannot be imported"),
    "not released": ("convert {ghn} --out new.safetensors", "not a released GHN"),
    "no such released": ("convert none.pt --out new.safetensors", "no such checkpoint"),
    "no such run": ("train --resume nowhere", "not the folder of a training run"),
}


@pytest.mark.parametrize("case", list(ERRORS))
def test_expected_errors_are_one_line(case, files, tmp_path):
    (tmp_path / "empty.csv").write_text("arch\n")
    (tmp_path / "other.csv").write_text("arch,accuracy\ndeepnets:test:1,3\n")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        (tmp_path / "data" / f"{name}.parquet").write_bytes((files / "e.parquet").read_bytes())
    (tmp_path / "ragged.csv").write_text("arch,accuracy\na,1\nb,1,2,3\n")
    table = pd.read_csv(files / "l.csv")
    table.assign(accuracy=5.0).to_csv(tmp_path / "constant.csv", index=False)
    before = sorted(tmp_path.rglob("*"))
    command, message = ERRORS[case]
    places = {
        "ghn": files / "ghn.safetensors",
        "e": files / "e.parquet",
        "l": files / "l.csv",
        "data": tmp_path / "data",
    }
    done = here.archrep(*(part.format(**places) for part in command.split()), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before
