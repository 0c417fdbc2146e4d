"""Archives, images, torch files, journals and run folders that others made, or that somebody has edited: one line."""

import bz2
import contextlib
import copy
import dataclasses
import gzip
import io
import json
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from archrep import GHN, GHNConfig, load_images
from archrep.data.adapters import adapt
from archrep.data.labels import read_labels
from archrep.errors import ArchrepError
from archrep.measure import PROTOCOLS, Limits, Run, measure_all
from archrep.measure.here import HereCrew
from archrep.measure.record import Record
from archrep.train.config import TrainConfig
from archrep.train.loop import Trainer
from archrep.train.run import continue_run, create, read_config, read_metrics
from tests.cli import here
from tests.conftest import PROJECT
from tests.faults.child import Child
from tests.faults.size import SIZE

SMALL = TrainConfig(
    GHNConfig(hidden=8, max_shape=(8, 8, 3, 3)),
    *("deepnets-small", "deepnets-small:train:0-3"),
    steps=2,
    meta_batch=1,
    images=8,
    small_first=1.0,
    val_archs=1,
    val_images=16,
    val_every=1,
)


def peak(work, refused):
    """Most bytes that Python takes while something is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(ArchrepError, match=refused) as error:
            work()
        assert len(str(error.value).splitlines()) == 1
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def zeros(megabytes):
    """Gzipped: a member that may follow another."""
    return gzip.compress(bytes(2**20)) * megabytes


def head(name, size, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


ARCHIVES = {
    "an extended header of 4 GiB": lambda: gzip.compress(head("pax", 4 << 30, tarfile.XHDTYPE)) + zeros(1000),
    "a long name of 1 GiB": lambda: gzip.compress(head("name", 1 << 30, tarfile.GNUTYPE_LONGNAME)) + zeros(1000),
    "a file of 8 GiB": lambda: gzip.compress(head("x.bin", 8 << 30)) + zeros(8000),
    "ten thousand headers of one file": lambda: gzip.compress(
        (head("pax", 10, tarfile.XHDTYPE) + b"10 a=bcde\n".ljust(512, b"\0")) * 10_000
    ),
    "half a million files": lambda: gzip.compress(head("x", 0) * 500_000),
    "an archive of bzip2 in it": lambda: gzip.compress(
        bz2.compress(head("x.bin", 8 << 30)) + bz2.compress(bytes(2**26)) * 20
    ),
    "damaged compression": lambda: gzip.compress(np.random.default_rng(0).bytes(5000))[:2000] + bytes(3000),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_unpack_to_no_more_than_images(kind, tmp_path, record_property):
    record_property("fault", f"CIFAR-10 archive with {kind}")
    record_property("cases", 1)
    path = tmp_path / "a.tar.gz"
    path.write_bytes(ARCHIVES[kind]())
    began = time.monotonic()
    assert peak(lambda: load_images(str(path)), r"a\.tar\.gz: (not a readable|missing)") < 20_000_000
    assert time.monotonic() - began < 10


def test_archives_of_other_compressions_are_refused(tmp_path, record_property):
    """bzip2 unpacks a thousand times slower than it is read."""
    record_property("fault", "CIFAR-10 archive in bzip2")
    record_property("cases", 1)
    with tarfile.open(tmp_path / "a.tar.bz2", "w:bz2") as archive:
        archive.addfile(tarfile.TarInfo("data_batch_1.bin"), io.BytesIO())
    with pytest.raises(ArchrepError, match=r"not a readable archive"):
        load_images(str(tmp_path / "a.tar.bz2"))


class Filler:
    def __reduce__(self):
        return bytearray, (10**11,)


class Wide:
    """A number of numpy, of two gigabytes."""

    def __reduce__(self):
        return np.float64(0).__reduce__()[0], (np.dtype("V2000000000"),)


def packed(path, content):
    """As torch saves it, but compressed."""
    saved = io.BytesIO()
    torch.save(content, saved)
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))


def overlapping(path, content):
    """As torch saves it, but ten more records lie where the largest one does."""
    torch.save(content, path)
    with zipfile.ZipFile(path, "a") as records:
        large = max(records.infolist(), key=lambda record: record.file_size)
        for i in range(10):
            again = copy.copy(large)
            again.filename = f"{large.filename[:-1]}{i + 10}"
            records.filelist.append(again)
        records.writestr("end", b"")


TORCH_FILES = {  # and what is said of them
    "a bytearray of 100 GB": (lambda path: path.write_bytes(pickle.dumps(Filler(), 2)), "bytearray"),
    "a bytearray in an archive": (lambda path: torch.save({"arch2infos": {}, "x": Filler()}, path), "bytearray"),
    "a number of two gigabytes": (lambda path: torch.save({"arch2infos": {}, "x": Wide()}, path), ""),
    "a compressed tensor": (lambda path: packed(path, {"x": torch.zeros(50_000_000)}), "compressed"),
    "one tensor ten times": (lambda path: overlapping(path, {"x": torch.zeros(10**5)}), "compressed"),
    "nothing": (lambda path: path.write_bytes(b"\x80\x02"), ""),
    "a list": (lambda path: torch.save([1], path), ""),
}


def resumed(path):
    trainer = Trainer(SMALL, load_images("digits").train)
    from archrep.train.run import _load_state

    _load_state(path, trainer)


READERS = {
    "NAS-Bench-201 API file": lambda path: adapt("nasbench201", path),
    "released checkpoint": GHN.load,
    "resume state": resumed,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", TORCH_FILES)
def test_torch_files_are_no_bombs(kind, reader, tmp_path, record_property):
    record_property("fault", f"{reader} with {kind}")
    record_property("cases", 1)
    path = tmp_path / ("n.pt" if reader == "released checkpoint" else "n.pth")
    make, said = TORCH_FILES[kind]
    make(path)
    assert path.stat().st_size < 2_000_000

    def read():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            READERS[reader](path)
        finally:
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert grown < 150_000, f"{grown} KB"

    message = Child(read).result()  # in this process, the peak is that of earlier tests
    assert message, "it was read"
    assert path.name in message
    assert said in message
    assert len(message.splitlines()) == 1


def test_numbers_of_numpy_are_plain(tmp_path):
    values = {"f": np.float32(0.5), "d": np.float64(-1.25), "i": np.int64(-7)}
    results = {"params": values["f"], "flop": values["i"], "eval_acc1es": {"ori-test@199": values["d"]}}
    infos = {"full": {"arch_str": "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"}}
    infos["full"]["all_results"] = {("cifar10", 1): results}
    torch.save({"arch2infos": {0: infos}}, tmp_path / "n.pth")
    table = adapt("nasbench201", tmp_path / "n.pth").table
    assert table[["accuracy", "params", "flops"]].to_numpy().tolist() == [[-1.25, 5e5, -14e6]]


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (1, 1_000_000)])
def test_long_images(size, tmp_path, record_property):
    record_property("fault", f"image of {size[0]:,} × {size[1]:,} pixels in an image folder")
    record_property("cases", 1)
    for part in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(10):
                Image.new("RGB", (40, 40), (i, 0, 0)).save(tmp_path / part / name / f"{i}.png")
    Image.new("RGB", size).save(tmp_path / "val" / "a" / "3.png")
    found = load_images(str(tmp_path))
    with pytest.raises(ArchrepError, match=rf"val/a/3\.png: not a readable image .*{size[0]}×{size[1]} pixels"):
        found.test.batch(torch.arange(len(found.test)))


def test_the_first_image_is_looked_at_only_if_the_file_is_small(tmp_path, monkeypatch, record_property):
    record_property("fault", "Parquet image set of 40 KB that claims 400 MB")
    record_property("cases", 1)
    images = pa.array([{"bytes": bytes(100_000_000)}] * 4, pa.struct([("bytes", pa.binary())]))
    table = pa.table({"img": images, "label": [0, 1] * 2})
    pq.write_table(table, tmp_path / "train.parquet", compression="zstd", use_dictionary=False, write_statistics=False)
    pq.write_table(table[:0], tmp_path / "test.parquet")
    assert (tmp_path / "train.parquet").stat().st_size < 50_000
    monkeypatch.delattr(pq.ParquetFile, "iter_batches")  # which would unfold the page of the first image, and more
    with pytest.raises(ArchrepError, match=r"train\.parquet: .*claims 0\.4 GiB"):
        load_images(str(tmp_path))


ROW = {"arch": "deepnets-small:test:9", "protocol": "smoke", "seed": 0, "diverged": False}
ROW |= {"accuracy": 10.0, "accuracy_val": 10.0, "robustness": 10.0, "params": 5}
LINES = {
    "text as a number": json.dumps(ROW | {"params": "abc"}),
    "a number of 70 bits": json.dumps(ROW | {"params": 2**70}),
    "a seed of 80 bits": json.dumps(ROW | {"seed": 2**80}),
    "truth as a seed": json.dumps(ROW | {"seed": True}),
    "half a character": json.dumps(ROW | {"arch": "\ud800"}),
    "a struct as a curve": json.dumps(ROW | {"curve": {"a": [1]}}),
    "NaN": json.dumps(ROW | {"latency_ms": float("nan")}),
    "a number as an error": json.dumps(ROW | {"error": 5}),
    "an unknown column": json.dumps(ROW | {"more": 5}),
    "no word on divergence": json.dumps({k: v for k, v in ROW.items() if k != "diverged"}),
    "no UTF-8": b"\xff\xfe",
    "a carriage return": b'{"arch": \r "x',
}


@pytest.mark.parametrize("kind", LINES)
def test_a_bad_line_of_a_journal_blocks_no_other(kind, digits, tmp_path, record_property):
    record_property("fault", f"journal of archrep measure: a line with {kind}")
    record_property("cases", 1)
    out, runs = tmp_path / "l.parquet", [Run(f"deepnets-small:test:{i}", 0) for i in range(3)]
    record = Record(out, PROTOCOLS["smoke"], digits, "cpu", 1, False)
    for run in runs:
        record.add(run, {name: ROW[name] for name in ROW if name not in ("arch", "protocol", "seed")})
    del record
    journal = out.with_suffix(".jsonl")
    bad = LINES[kind] if isinstance(LINES[kind], bytes) else LINES[kind].encode()
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], bad + b"\n", *lines[2:]]))
    outcome = measure_all(runs, PROTOCOLS["smoke"], digits, out, HereCrew, Limits(), "cpu", 1)
    assert (len(outcome.measured), outcome.damaged, outcome.left) == (3, 1, 0)
    assert journal.read_bytes() == whole
    assert (tmp_path / "l.damaged.jsonl").read_bytes() == bad + b"\n"
    assert list(read_labels(out).table.index) == [run.arch for run in runs]


def test_the_journals_that_ship_are_whole():
    from archrep.measure.record import _is_row

    for path in (PROJECT / "labels").glob("*.jsonl"):
        lines = path.read_bytes().splitlines()[1:]
        assert lines
        assert all(map(_is_row, lines))


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A run that was left after a step, with a good state."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    create(SMALL, "digits", digits, folder, threads=1)
    assert not continue_run(folder, digits, time_limit=0)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


@pytest.mark.parametrize(
    "line", [b"garbage}", b"{}", b'{"step": "a"}', b"\xff\xfe}", b"[1]", b"5}", b'{"step": 1, "loss": "x"}', b""]
)
def test_damaged_metrics(line, run, digits, record_property):
    record_property("fault", f"metrics of a training: the line {line!r}")
    record_property("cases", 2)
    whole = (run / "metrics.jsonl").read_bytes()
    (run / "metrics.jsonl").write_bytes(line + b"\n" + whole)
    with pytest.raises(ArchrepError, match=r"metrics\.jsonl, line 1: damaged .* Repair or remove that line"):
        continue_run(run, digits)
    assert (run / "metrics.jsonl").read_bytes() == line + b"\n" + whole  # nothing is lost
    (run / "metrics.jsonl").write_bytes(whole + line)  # as a kill leaves it
    assert [row["step"] for row in read_metrics(run)] == [1]
    assert continue_run(run, digits)
    assert [row["step"] for row in read_metrics(run)] == [1, 2]


CONFIGS = {
    "threads x": {"threads": "x"},
    "no threads": {"threads": -1},
    "a billion threads": {"threads": 10**9},
    "data 5": {"data": 5},
    "provenance 3": {"provenance": 3},
    "a list": {"train": [1]},
    "lr x": {"lr": "x"},
    "lr NaN": {"lr": float("nan")},
    "lr infinity": {"lr": float("inf")},
    "a seed of 80 bits": {"seed": 2**80},
    "a true seed": {"seed": True},
    "half a step": {"steps": 2.5},
    "a number as space": {"space": 5},
    "a billion workers": {"workers": 10**9},
    "steps of 100 digits": {"steps": 10**100},
    "augment 1": {"augment": 1},
    "no steps": {"steps": 0},
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_edited_configurations(kind, run, digits, record_property):
    record_property("fault", f"configuration of a training: {kind}")
    record_property("cases", 1)
    record = json.loads((run / "config.json").read_text())
    for name, value in CONFIGS[kind].items():
        (record if name in record else record["train"])[name] = value
    (run / "config.json").write_text(json.dumps(record))
    with pytest.raises(ArchrepError, match="run") as error:
        read_config(run)
    assert len(str(error.value).splitlines()) == 1
    done = here.archrep("train", "--resume", run)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def no_moments(state):
    next(iter(state["optimizer"]["state"].values()))["exp_avg"] = torch.zeros(1)


def expanded_moments(state):
    moments = next(iter(state["optimizer"]["state"].values()))
    moments["exp_avg"] = torch.zeros(1).expand(moments["exp_avg"].shape)


STATES = {
    "a list": lambda state: [1],
    "step x": lambda state: state.update(step="x"),
    "step -1": lambda state: state.update(step=-1),
    "step 10": lambda state: state.update(step=10),
    "best x": lambda state: state.update(best="x"),
    "seconds NaN": lambda state: state.update(seconds=float("nan")),
    "recent 1": lambda state: state.update(recent=[(1, 2)]),
    "losses x": lambda state: state.update(recent=[("x", 1.0, 0)]),
    "weights 1": lambda state: state.update(ghn=[1]),
    "provenance 1": lambda state: state.update(provenance=1),
    "moments of another shape": no_moments,
    "moments in one place of memory": expanded_moments,
}


@pytest.mark.parametrize("kind", STATES)
def test_edited_states(kind, run, digits, record_property):
    record_property("fault", f"resume state of a training: {kind}")
    record_property("cases", 1)
    state = torch.load(run / "state.pt", weights_only=True)
    torch.save(STATES[kind](state) or state, run / "state.pt")
    with pytest.raises(ArchrepError, match=r"state\.pt: damaged resume state .*Delete it to start this run over") as e:
        continue_run(run, digits)
    assert len(str(e.value).splitlines()) == 1


def test_settings_of_the_optimiser_are_those_of_the_configuration(run, digits):
    state = torch.load(run / "state.pt", weights_only=True)
    state["optimizer"]["param_groups"][0] |= {"betas": "x", "fused": False, "weight_decay": 5}
    trainer = Trainer(SMALL, digits.train)
    trainer.load_state(state)
    assert trainer.optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    assert trainer.optimizer.param_groups[0]["weight_decay"] == SMALL.weight_decay


ONE = ("--archs", "deepnets-small:test:0", "--data", "digits")
NUMBERS = [
    ("evaluate", *ONE, "--noise", "nan"),
    ("evaluate", *ONE, "--noise", "inf"),
    ("evaluate", *ONE, "--seed", "-1"),
    *(("train", "--data", "digits", f"--{name}", "nan") for name in ("lr", "weight-decay", "clip", "network-clip")),
    *(("train", "--data", "digits", f"--{name}", "nan") for name in ("label-smoothing", "small-first", "save-every")),
    ("train", "--data", "digits", "--lr", "inf"),
    ("train", "--data", "digits", "--seed", str(2**70)),
    ("train", "--data", "digits", "--threads", str(10**9)),
    ("measure", *ONE, "--protocol", "smoke", "--seed", str(2**70)),
    ("measure", *ONE, "--protocol", "smoke", "--seed", "-1"),
]


@pytest.mark.parametrize("command", NUMBERS, ids=lambda command: " ".join(command[:1] + command[-2:])[:50])
def test_numbers_that_are_none(command, tmp_path, record_property):
    record_property("fault", f"archrep {command[0]} {' '.join(command[-2:])[:30]}")
    record_property("cases", 1)
    out = () if command[0] == "evaluate" else ("--out", tmp_path / "out.parquet")
    done = here.archrep(*command, *out)
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    assert command[-2].lstrip("-").replace("-", "_") in done.stderr.replace("-", "_").lower()
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def heard(sign):
    """Processes that start inside hear a signal, though a shell told this one, in the background, not to."""
    before = signal.signal(sign, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(sign, before)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", [signal.SIGINT, *([signal.SIGTERM] if SIZE else [])])
@pytest.mark.parametrize("name", ["measure", "train"])
def test_interrupted_at_work(name, how, tmp_path, record_property):
    """A process of its own that has written its first result: what is there is whole, and the command goes on."""
    record_property("fault", f"{how.name} of archrep {name}")
    record_property("cases", 1)
    if name == "measure":
        begun = tmp_path / "l.jsonl"
        first = ["measure", "--archs", "deepnets-small:test:0-3", "--data", "digits", "--protocol", "smoke"]
        first += ["--out", str(tmp_path / "l.parquet")]
        again = first
    else:
        begun = tmp_path / "run" / "state.pt"
        (tmp_path / "x").mkdir()
        create(dataclasses.replace(SMALL, steps=6, save_every=0.0), "digits", load_images("digits"), begun.parent)
        first = again = ["train", "--resume", str(begun.parent)]
    with heard(signal.SIGINT):
        process = subprocess.Popen(
            [sys.executable, "-m", "archrep.cli", *first], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    while not begun.exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(how)
    _, errors = process.communicate()
    assert process.returncode in (1, 130, -signal.SIGTERM), errors
    assert "Traceback" not in errors
    if name == "measure":
        assert 1 <= len(read_labels(tmp_path / "l.parquet").table) < 4
    else:
        assert torch.load(begun, weights_only=True)["step"] >= 1
    assert here.archrep(*again).returncode == 0
    if name == "measure":
        assert len(read_labels(tmp_path / "l.parquet").table) == 4
    else:
        assert [row["step"] for row in read_metrics(begun.parent)] == [1, 2, 3, 4, 5, 6]
    assert not list(tmp_path.rglob(".*-part-*"))
