"""Reads damaged files in a process of its own: a crash, a hang or too much memory is seen from outside.

`python -m tests.faults.fuzz FOLDER` takes lines "target first count" and answers each with a line: how many were
accepted, or the case that went wrong. Case i of a target is the same in every run.
"""

import json
import random
import resource
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from archrep.errors import ArchrepError

SECONDS = 10  # that one file may take
MEMORY = 3 * 2**30  # bytes beyond what the process has at its start
NUMBERS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
TOKENS = (b"-1", b"1e999", b"NaN", b"null", b"[]", b"{}", b'"', b"\x00", b"\xff", b"../", b"99999999999999999999")


def mutated(valid: bytes, chance: random.Random) -> bytes:
    """A damaged copy: cut off, overwritten, with other numbers where lengths stand, or with parts moved."""
    data = bytearray(valid)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        near = min(len(data), chance.choice((64, 512, len(data) or 1)))  # heads and tails tell how to read the rest
        at = chance.randrange(near) if near else 0
        at = len(data) - 1 - at if data and chance.random() < 0.3 else at
        kind = chance.randrange(6)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 2:
            width = chance.choice((4, 8))
            number = chance.choice(NUMBERS) % 256**width
            data[at : at + width] = number.to_bytes(width, chance.choice(("little", "big")))
        elif kind == 3:
            data[at:at] = chance.choice(TOKENS)
        elif kind == 4:
            del data[at : at + chance.randrange(1, 64)]
        else:
            other = chance.randrange(len(data) or 1)
            data[at : at + 32] = data[other : other + 32]
    return bytes(data)


def spec(chance: random.Random) -> str:
    """A spec that is nearly one."""
    parts = ["deepnets", "deepnets-small", "nasbench201", "nasbench101", "nasbench_macro", "timm", "torchvision"]
    parts += ["test", "train", "0-9", "7-3", "999999999999999999999", "-1", "0-999999999999", "|nor_conv_3x3~0|", "+"]
    parts += [
        "1" * 21,
        "input,conv3x3-bn-relu,output",
        "@cifar10",
        "*",
        "..",
        "/",
        "~",
        " ",
        "\n",
        "é",
        "𝟘",
        "%",
        "all",
    ]
    return "".join(
        chance.choice(parts) + chance.choice((":", ":", "", "-", ",")) for _ in range(chance.randrange(1, 6))
    )


class Target:
    """What is read, and the valid file that is damaged for it."""

    def __init__(self, make: Callable[[Path], Path], read: Callable[[Path], object]) -> None:
        """`make` writes into a folder and returns the file; `read` gets the damaged copy, in a copy of the folder."""
        self.make, self.read = make, read


def targets() -> dict[str, Target]:
    """All of them; imports happen here, before memory is limited."""
    import pandas as pd
    import torch

    from archrep import GHN, GHNConfig, architectures, load_images
    from archrep.data.adapters import adapt
    from archrep.data.embeddings import read_embeddings, write_embeddings
    from archrep.data.imported import Request
    from archrep.data.labels import read_labels
    from archrep.measure import PROTOCOLS
    from archrep.measure.record import Record
    from archrep.probe.saved import load_probe
    from archrep.shipped import LABELS, shipped
    from archrep.train.config import TrainConfig
    from archrep.train.run import create, read_config
    from tests.cli import here
    from tests.ghn.test_released import as_released

    small = GHNConfig(hidden=8, max_shape=(8, 8, 3, 3))
    digits = load_images("digits")
    labels = pd.read_parquet(shipped(LABELS)).head(12)
    nasbench = [f"|{a}~0|+|{b}~0|skip_connect~1|+|none~0|none~1|nor_conv_3x3~2|" for a in OPS for b in OPS]

    def typed(*words: object) -> None:
        done = here.archrep(*words)
        assert done.returncode == 0, done.stderr

    def checkpoint(folder: Path) -> Path:
        GHN.untrained(small, seed=0).save(folder / "ghn.safetensors")
        return folder / "ghn.safetensors"

    def released(folder: Path) -> Path:
        torch.save(as_released(GHN.untrained(small, seed=0)), folder / "ghn.pt")
        return folder / "ghn.pt"

    def csv(folder: Path) -> Path:
        labels.drop(columns=["curve"], errors="ignore").to_csv(folder / "l.csv", index=False)
        return folder / "l.csv"

    def parquet(folder: Path) -> Path:
        shutil.copyfile(shipped(LABELS), folder / "l.parquet")
        return folder / "l.parquet"

    def embeddings(folder: Path) -> Path:
        names = [f"deepnets-small:test:{i}" for i in range(9)]
        columns = {"arch": names, "space": ["deepnets-small"] * 9, "split": ["test"] * 9}
        write_embeddings(folder / "e.parquet", columns, torch.randn(9, 4).numpy(), {"ghn": {}}, False)
        return folder / "e.parquet"

    def journal(folder: Path) -> Path:
        record = Record(folder / "l.parquet", PROTOCOLS["smoke"], digits, "cpu", 1, False)
        for i in range(4):
            record.add(RunOf(f"deepnets-small:test:{i}", 0), {"accuracy": 10.0 + i, "seconds": 1.0})
        return folder / "l.jsonl"

    def read_journal(path: Path) -> object:
        return Record(path.with_suffix(".parquet"), PROTOCOLS["smoke"], digits, "cpu", 1, False).rows

    def published(folder: Path) -> Path:
        table = pd.DataFrame({"arch": nasbench, "cifar10_valid_12ep": 50.0, "cifar10_test_200ep": 90.0})
        table.to_csv(folder / "nb.csv", index=False)
        return folder / "nb.csv"

    def store(folder: Path) -> Path:
        typed("sample", "--space", "deepnets-small", "--split", "test", "-n", 3, "--out", folder / "s", "--workers", 1)
        return next((folder / "s").glob("*.arrow"))

    def request(folder: Path) -> Path:
        store(folder)
        return next((folder / "s").glob("*.json"))

    def graphs(path: Path) -> object:
        return [a.graph.primitives for a in architectures(f"deepnets-small:{path.parent}")]

    def hdf5(folder: Path) -> Path:
        typed("sample", "--split", "test", "-n", 1, "--format", "official", "--out", folder / "o", "--workers", 1)
        return next((folder / "o").glob("*.hdf5"))

    def genotypes(folder: Path) -> Path:
        hdf5(folder)
        return next((folder / "o").glob("*.json"))

    def official(path: Path) -> object:
        return [a.graph.primitives for a in architectures(f"deepnets-official:{path.parent}:test:0")]

    def probe(folder: Path) -> Path:
        chosen = ("--encoders", "size", "--probe", "ridge", "--limit", 24, "--labels", shipped(LABELS))
        typed("probe", "--target", "accuracy", *chosen, "--out", folder / "p")
        return folder / "p" / "probe.skops"

    def run(folder: Path) -> Path:
        few = {"steps": 1, "meta_batch": 1, "images": 8, "workers": 0, "archs": "deepnets-small:train:0-3"}
        create(TrainConfig(ghn=small, **few), "digits", digits, folder / "run")
        return folder / "run" / "config.json"

    return {
        "checkpoint": Target(checkpoint, GHN.load),
        "released checkpoint": Target(released, GHN.load),
        "label table, CSV": Target(csv, lambda path: read_labels(path).target("accuracy")),
        "label table, Parquet": Target(parquet, lambda path: read_labels(path).target("accuracy")),
        "embedding table": Target(embeddings, read_embeddings),
        "measurement journal": Target(journal, read_journal),
        "published table": Target(published, lambda path: adapt("nasbench201", path, Request(None, None, None))),
        "graph store, shard": Target(store, graphs),
        "graph store, manifest": Target(request, graphs),
        "official graphs, HDF5": Target(hdf5, official),
        "official genotypes, JSON": Target(genotypes, official),
        "saved probe, models": Target(probe, lambda path: load_probe(path.parent)),
        "saved probe, facts": Target(lambda f: probe(f).with_name("probe.json"), lambda path: load_probe(path.parent)),
        "training run": Target(run, lambda path: read_config(path.parent)),
    }


OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
SPECS = "spec strings"
NAMES = (
    *("checkpoint", "released checkpoint", "label table, CSV", "label table, Parquet", "embedding table"),
    *("measurement journal", "published table", "graph store, shard", "graph store, manifest"),
    *("official graphs, HDF5", "official genotypes, JSON", "saved probe, models", "saved probe, facts"),
    *("training run", SPECS),
)


def RunOf(arch: str, seed: int):  # noqa: N802 - imported late, as everything of archrep that imports torch
    from archrep.measure import Run

    return Run(arch, seed)


class _TooSlowError(BaseException):
    pass


def _too_slow(signum: int, frame: object) -> None:
    raise _TooSlowError


def one(read: Callable[[], object]) -> str | None:
    """None if a case ended well: accepted, or refused by an ArchrepError; else what happened instead."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        read()
    except ArchrepError as error:
        return None if str(error).strip() else "an error without words"
    except _TooSlowError:
        return f"still running after {SECONDS} s"
    except BaseException:  # noqa: BLE001 - whatever it is, it is what is looked for
        return traceback.format_exc(limit=-4)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def run(name: str, target: Target | None, folder: Path, cases: range) -> dict[str, object]:
    """Reads damaged copies; says how the first one that ended badly did."""
    if target is None:
        from itertools import islice

        from archrep import architectures

        for case in cases:
            text = spec(random.Random(f"{name} {case}"))
            if problem := one(lambda text=text: [a.id for a in islice(architectures(text, typed=False), 3)]):
                return {"case": case, "problem": problem, "input": text}
        return {"cases": len(cases)}
    original = folder / name.replace(",", "").replace(" ", "-")
    if not original.exists():
        original.mkdir()
        (original / "made").write_text(str(target.make(original).relative_to(original)))
    inside = (original / "made").read_text()
    valid = (original / inside).read_bytes()
    problem = one(lambda: target.read(original / inside))
    assert problem is None, f"{name}: the valid file is refused: {problem}"
    there = set(original.rglob("*"))
    try:
        for case in cases:
            (original / inside).write_bytes(mutated(valid, random.Random(f"{name} {case}")))
            (folder / "case").write_text(f"{name} {case}")
            if problem := one(lambda: target.read(original / inside)):
                return {"case": case, "problem": problem}
            for new in set(original.rglob("*")) - there:  # such as lines that were set aside
                new.unlink()
    finally:
        (original / inside).write_bytes(valid)
    return {"cases": len(cases)}


def main(folder: Path) -> None:
    """Serves until its input ends."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _too_slow)
    known = targets()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    present = 1024 * int(status["VmSize"].split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (present + MEMORY, -1))
    for line in sys.stdin:
        request = json.loads(line)
        cases = range(request["first"], request["first"] + request["count"])
        print(json.dumps(run(request["target"], known.get(request["target"]), folder, cases)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
