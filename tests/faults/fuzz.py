"""Reads damaged files in a process of its own: a crash, a hang or too much memory is seen from outside.

Where a digest would refuse every damaged copy, a second kind ("…, sealed") damages what is inside and seals it again,
as its author could.

`python -m tests.faults.fuzz FOLDER` takes lines "target first count" and answers each with a line: how many were
accepted, or the case that went wrong. Case i of a target is the same in every run.
"""

import json
import random
import resource
import signal
import sys
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from archrep.errors import ArchrepError

SECONDS = 10  # that one file may take
MEMORY = 3 * 2**30  # bytes beyond what the process has at its start
NUMBERS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
TOKENS = (b"-1", b"1e999", b"NaN", b"null", b"[]", b"{}", b'"', b"\x00", b"\xff", b"../", b"99999999999999999999")


DEEP = "lists in lists"
VALUES = (
    None,
    True,
    -1,
    0,
    3,
    2**31,
    2**63,
    2**70,
    0.5,
    1e308,
    float("nan"),
    float("-inf"),
    "",
    "x",
    "../..",
    "é",
    DEEP,
)


def mutated(valid: bytes, chance: random.Random) -> bytes:
    """A damaged copy; every other one of JSON is still JSON."""
    if chance.random() < 0.5 and (changed := other_json(valid, chance)) is not None:
        return changed
    return damaged(valid, chance)


def other_json(valid: bytes, chance: random.Random) -> bytes | None:
    """JSON, a line of it, or a header of safetensors, with other values; None where there is none."""
    if valid[8:9] == b"{":  # safetensors: eight bytes tell how long the header is
        end = 8 + int.from_bytes(valid[:8], "little")
        header = other_json(valid[8:end], chance)
        return None if header is None else len(header).to_bytes(8, "little") + header + valid[end:]
    if valid[:1] != b"{":
        return None
    try:
        return other_values(valid, chance)
    except ValueError:
        lines = valid.splitlines(keepends=True)
        at = chance.randrange(len(lines))
        return b"".join([*lines[:at], other_values(lines[at], chance) + b"\n", *lines[at + 1 :]])


def other_values(text: bytes, chance: random.Random) -> bytes:
    """JSON in which values are missing, of other types, huge, deep or from elsewhere."""
    content = json.loads(text)
    for _ in range(chance.choice((1, 1, 2, 4))):
        places = list(walk(content))
        container, key = chance.choice(places)
        kind = chance.randrange(5)
        if kind == 0:
            del container[key]
        elif kind == 1:
            container[key] = chance.choice(([], {}, [[]], [0] * 99, {"x": {}}))
        elif kind == 2:
            from_container, from_key = chance.choice(places)
            container[key] = json.loads(json.dumps(from_container[from_key]))
        else:
            container[key] = chance.choice(VALUES)
        if not content:
            break
    return json.dumps(content).replace(f'"{DEEP}"', 3000 * "[" + 3000 * "]").encode()


def walk(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of JSON."""
    containers = [content]
    while containers:
        container = containers.pop()
        for key in container if isinstance(container, dict) else range(len(container)):
            yield container, key
            if isinstance(container[key], dict | list):
                containers.append(container[key])


def damaged(valid: bytes, chance: random.Random) -> bytes:
    """A copy that is cut off, overwritten, has other numbers where lengths stand, or parts moved."""
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
    import numpy as np
    import pandas as pd
    import pyarrow.parquet as pq
    import torch

    from archrep import GHN, GHNConfig, architectures, load_images
    from archrep.data.adapters import adapt
    from archrep.data.embeddings import read_embeddings, write_embeddings
    from archrep.data.imported import Request
    from archrep.data.labels import read_labels
    from archrep.measure import PROTOCOLS
    from archrep.measure.record import Record
    from archrep.probe.label_card import read_measured
    from archrep.probe.saved import digest, load_probe
    from archrep.shipped import LABELS, shipped
    from archrep.space.deepnets.shard import Shard, write_columns
    from archrep.space.deepnets.store import read_request
    from archrep.space.official import meta_path
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
        labels[["arch", "protocol", "seed", "accuracy", "latency_ms"]].to_csv(folder / "l.csv", index=False)
        return folder / "l.csv"

    def parquet(folder: Path) -> Path:
        pq.write_table(pq.read_table(shipped(LABELS)).slice(0, 12), folder / "l.parquet")
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

    def columns(folder: Path) -> Path:
        path = store(folder)
        whole.update(Shard(path, read_request(path.parent).contents(0)).columns)
        (folder / "columns").write_bytes(b"".join(column.tobytes() for column in whole.values()))
        return folder / "columns"

    def sealed_shard(path: Path) -> object:
        """Columns of the right lengths, with a checksum, in a valid Arrow file."""
        shard, content, damaged = path.parent / "s" / "shard-00000.arrow", path.read_bytes(), {}
        for name, column in whole.items():
            part, content = content[: column.nbytes], content[column.nbytes :]
            damaged[name] = np.frombuffer(part.ljust(column.nbytes, b"\0"), column.dtype)
        try:
            write_columns(shard, read_request(shard.parent).contents(0), damaged)
        except (ValueError, OverflowError):  # Arrow's: there is no such file
            return None
        return graphs(shard)

    def hdf5(folder: Path) -> Path:
        where = ("--space", "deepnets-small", "--split", "test", "-n", 1, "--format", "official", "--workers", 1)
        typed("sample", *where, "--out", folder / "o")
        return folder / "o" / "deepnets1m_test.hdf5"

    def genotypes(folder: Path) -> Path:
        return meta_path(hdf5(folder))

    def official(path: Path) -> object:
        return [a.graph.primitives for a in architectures(f"deepnets-official:{path.parent}:test:0")]

    def probe(folder: Path) -> Path:
        chosen = ("--encoders", "size", "--probe", "ridge", "--limit", 24, "--labels", shipped(LABELS))
        typed("probe", "--target", "accuracy", *chosen, "--out", folder / "p")
        return folder / "p" / "probe.skops"

    def facts(folder: Path) -> Path:
        return probe(folder).with_name("probe.json")

    def sealed_facts(path: Path) -> object:
        """Facts with their digest, where they are still JSON."""
        try:
            facts = json.loads(path.read_text())
            facts["digest"] = digest({k: v for k, v in facts.items() if k != "digest"}, path.with_name("probe.skops"))
        except (ValueError, TypeError, AttributeError, RecursionError):
            return load_probe(path.parent)
        path.write_text(json.dumps(facts))
        return load_probe(path.parent)

    def schema(folder: Path) -> Path:
        return member(probe(folder), "schema.json")

    def sealed_models(path: Path) -> object:
        """The description of the models, in a valid archive with its digest."""
        replace_member(path.with_name("probe.skops"), "schema.json", path.read_bytes())
        return sealed_facts(path.with_name("probe.json"))

    def pickled(folder: Path) -> Path:
        return member(released(folder), "ghn/data.pkl")

    def sealed_released(path: Path) -> object:
        """The pickle of a released checkpoint, in a valid archive."""
        replace_member(path.with_name("ghn.pt"), "ghn/data.pkl", path.read_bytes())
        return GHN.load(path.with_name("ghn.pt"))

    def metadata(table: Path) -> Path:
        table.with_name("metadata").write_bytes(pq.read_schema(table).metadata[b"archrep"])
        return table.with_name("metadata")

    def sealed(path: Path, name: str) -> Path:
        """A valid Parquet file with what it says of itself."""
        table = pq.read_table(path.with_name(name)).replace_schema_metadata({"archrep": path.read_bytes()})
        pq.write_table(table, path.with_name("sealed.parquet"))
        return path.with_name("sealed.parquet")

    def measured(path: Path) -> object:
        read_labels(path).target("accuracy")
        return read_measured(path)

    def run(folder: Path) -> Path:
        few = {"steps": 1, "meta_batch": 1, "images": 8, "workers": 0, "archs": "deepnets-small:train:0-3"}
        create(TrainConfig(ghn=small, **few), "digits", digits, folder / "run")
        return folder / "run" / "config.json"

    whole: dict[str, np.ndarray] = {}  # columns of the undamaged shard
    return {
        "checkpoint": Target(checkpoint, GHN.load),
        "released checkpoint": Target(released, GHN.load),
        "released checkpoint, sealed": Target(pickled, sealed_released),
        "label table, CSV": Target(csv, lambda path: read_labels(path).target("accuracy")),
        "label table, Parquet": Target(parquet, lambda path: read_labels(path).target("accuracy")),
        "embedding table": Target(embeddings, read_embeddings),
        "label table's metadata, sealed": Target(
            lambda folder: metadata(parquet(folder)), lambda path: measured(sealed(path, "l.parquet"))
        ),
        "embedding table's metadata, sealed": Target(
            lambda folder: metadata(embeddings(folder)), lambda path: read_embeddings(sealed(path, "e.parquet"))
        ),
        "measurement journal": Target(journal, read_journal),
        "published table": Target(published, lambda path: adapt("nasbench201", path, Request(None, None, None))),
        "graph store, shard": Target(store, graphs),
        "graph store, shard, sealed": Target(columns, sealed_shard),
        "graph store, manifest": Target(request, graphs),
        "official graphs, HDF5": Target(hdf5, official),
        "official genotypes, JSON": Target(genotypes, official),
        "saved probe, models": Target(probe, lambda path: load_probe(path.parent)),
        "saved probe, models, sealed": Target(schema, sealed_models),
        "saved probe, facts": Target(facts, lambda path: load_probe(path.parent)),
        "saved probe, facts, sealed": Target(facts, sealed_facts),
        "training run": Target(run, lambda path: read_config(path.parent)),
    }


OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
SPECS = "spec strings"
NAMES = (
    *("checkpoint", "released checkpoint", "released checkpoint, sealed", "label table, CSV", "label table, Parquet"),
    *("label table's metadata, sealed", "embedding table", "embedding table's metadata, sealed"),
    *("measurement journal", "published table"),
    *("graph store, shard", "graph store, shard, sealed", "graph store, manifest", "official graphs, HDF5"),
    *("official genotypes, JSON", "saved probe, models", "saved probe, models, sealed", "saved probe, facts"),
    *("saved probe, facts, sealed", "training run", SPECS),
)


def RunOf(arch: str, seed: int):  # noqa: N802 - imported late, as everything of archrep that imports torch
    from archrep.measure import Run

    return Run(arch, seed)


def member(archive: Path, name: str) -> Path:
    """A copy of a member of an archive, in the file "inside" beside it."""
    with zipfile.ZipFile(archive) as file:
        archive.with_name("inside").write_bytes(file.read(name))
    return archive.with_name("inside")


def replace_member(archive: Path, name: str, content: bytes) -> None:
    """Writes the archive again, with other content of a member."""
    with zipfile.ZipFile(archive) as file:
        members = {info.filename: file.read(info) for info in file.infolist()} | {name: content}
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


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
    file = original / (original / "made").read_text()
    valid = file.read_bytes()
    problem = one(lambda: target.read(file))
    assert problem is None, f"{name}: the valid file is refused: {problem}"
    there = set(file.parent.iterdir())
    now = (folder / "case").open("w")  # for the one that asks, should this process die
    try:
        for case in cases:
            file.write_bytes(mutated(valid, random.Random(f"{name} {case}")))
            now.seek(0)
            now.write(f"{name} {case}\n".ljust(80))
            now.flush()
            if problem := one(lambda: target.read(file)):
                return {"case": case, "problem": problem}
            for new in set(file.parent.iterdir()) - there:  # such as lines that were set aside
                new.unlink()
    finally:
        file.write_bytes(valid)
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
