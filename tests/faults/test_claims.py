"""Files of a few kilobytes that claim gigabytes, or data that lie elsewhere: refused before memory is taken."""

import io
import json
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from archrep import GHN, architectures, load_images
from archrep.data.adapters import adapt
from archrep.data.embeddings import read_embeddings
from archrep.data.imported import Request
from archrep.data.labels import read_labels
from archrep.errors import ArchrepError
from archrep.parquet import read_parquet
from archrep.parquet_pages import unfolded
from tests.cli import here

OFFICIAL = "deepnets1m_test"


def long_runs(path, text, values=1_000_000):
    """The same text in a million rows, which takes two kilobytes."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(values, np.int8)), [text])
    table = pa.table({"arch": texts, "accuracy": np.zeros(values)})
    pq.write_table(table, path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 10_000
    return path


PARQUET = {
    "label table": read_labels,
    "embedding table": read_embeddings,
    "architectures": lambda path: list(architectures(str(path))),
    "published table": lambda path: adapt("nasbench201", path, Request(None, None, None)),
}


@pytest.mark.parametrize("reader", list(PARQUET))
def test_repeated_texts(tmp_path, reader, record_property):
    record_property("fault", f"{reader} of 3 KB that claims a terabyte of text")
    record_property("cases", 1)
    path = long_runs(tmp_path / "t.parquet", "x" * 1_000_000)
    with pytest.raises(ArchrepError, match=r"t\.parquet: .*claims 931\.. GiB"):
        PARQUET[reader](path)


NESTED = {
    "a dictionary": lambda texts: texts,
    "lists": lambda texts: pa.ListArray.from_arrays(np.arange(len(texts) + 1, dtype=np.int32), texts),
    "structs": lambda texts: pa.StructArray.from_arrays([texts], ["x"]),
}


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("kind", NESTED)
def test_repeated_texts_inside(tmp_path, kind, kept, record_property):
    record_property("fault", f"texts of terabytes in {kind}{', of which Arrow keeps the type' * kept}")
    record_property("cases", 1)
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000_000, np.int32)), ["x" * 1_000_000])
    table = pa.table({"arch": ["deepnets-small:test:0"] * len(texts), "x": NESTED[kind](texts)})
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd", store_schema=kept)
    with pytest.raises(ArchrepError, match=r"t\.parquet: .*claims 931\.. GiB"):
        read_parquet(tmp_path / "t.parquet")


def test_wide_values(tmp_path, record_property):
    """Values of a fixed width lie in a dictionary, too."""
    record_property("fault", "a million values of a fixed width of a megabyte")
    record_property("cases", 1)
    writer = pq.ParquetWriter(tmp_path / "t.parquet", pa.schema([("x", pa.binary(1_000_000))]), compression="zstd")
    with writer:
        for _ in range(20):
            writer.write_table(pa.table({"x": pa.array([b"x" * 1_000_000] * 50, pa.binary(1_000_000))}))
    assert (tmp_path / "t.parquet").stat().st_size < 200_000
    with pytest.raises(ArchrepError, match="claims"):
        read_parquet(tmp_path / "t.parquet")


def test_long_runs(tmp_path, record_property):
    record_property("fault", "Parquet file that claims a billion rows")
    record_property("cases", 1)
    with pq.ParquetWriter(tmp_path / "t.parquet", pa.schema([("x", pa.int8())]), compression="zstd") as file:
        for _ in range(40):
            file.write_table(pa.table({"x": np.zeros(1_000_000, np.int8)}))
    with pytest.raises(ArchrepError, match="claims"):
        read_parquet(tmp_path / "t.parquet")


def test_one_long_list(tmp_path, record_property):
    record_property("fault", "label table with a curve of billions of equal values")
    record_property("cases", 1)
    table = pa.table({"arch": ["a"], "curve": pa.array([np.zeros(40_000_000, np.int8)])})
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd")
    assert (tmp_path / "t.parquet").stat().st_size < 100_000
    with pytest.raises(ArchrepError, match="claims"):
        read_parquet(tmp_path / "t.parquet")


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_pages_are_added_up(tmp_path, codec, version):
    """Of flat and nested columns, in several row groups, with dictionaries and without."""
    n = 5000
    columns = {"x": np.random.default_rng(0).normal(size=n), "curve": [[1.0] * (i % 4) for i in range(n)]}
    table = pa.table(columns | {"arch": [f"a{i % 7}" for i in range(n)], "s": [{"y": i} for i in range(n)]})
    options = {"compression": codec, "data_page_version": version, "row_group_size": 1000, "data_page_size": 1000}
    pq.write_table(table, tmp_path / "t.parquet", **options)
    values = 3 * n + sum(max(i % 4, 1) for i in range(n))  # an empty list is a value, too
    assert 8 * values <= unfolded(tmp_path / "t.parquet") <= 20 * values
    assert read_parquet(tmp_path / "t.parquet").equals(table)


def test_nulls_of_a_fixed_size(tmp_path, record_property):
    record_property("fault", "embeddings that are null, of a claimed length of millions")
    record_property("cases", 1)
    nulls = pa.nulls(100, pa.list_(pa.int8(), 500_000))
    pq.write_table(pa.table({"arch": [str(i) for i in range(100)], "embedding": nulls}), tmp_path / "t.parquet")
    with pytest.raises(ArchrepError, match="claims"):
        read_parquet(tmp_path / "t.parquet")


def test_ordinary_tables_are_read_as_they_are(tmp_path):
    vectors = pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2))
    words = pa.array(["a", None, "a"]).dictionary_encode()
    table = pa.table({"arch": ["é", "b", None], "embedding": vectors, "curve": [[1.0], [], None], "words": words})
    table = table.replace_schema_metadata({"archrep": "{}"})
    pq.write_table(table, tmp_path / "t.parquet")
    read = read_parquet(tmp_path / "t.parquet")
    assert read.equals(table.set_column(3, "words", table["words"].cast(pa.string())))
    assert read.schema.metadata == table.schema.metadata


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """Official files of one network."""
    folder = tmp_path_factory.mktemp("claims") / "o"
    options = ("--split", "test", "-n", 1, "--format", "official", "--workers", 1)
    done = here.archrep("sample", *options, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


def huge(group, folder):
    group.create_dataset("adj", (200_000, 200_000), "u1", chunks=(1000, 1000), compression="gzip")


def outside_dataset(group, folder):
    size = len(group.parent.parent["kept"])
    (folder / "secret").write_bytes(bytes(size * size))
    group.create_dataset("adj", (size, size), "u1", external=[(str(folder / "secret"), 0, size * size)])


def outside_link(group, folder):
    with h5py.File(folder / "other.hdf5", "w") as other:
        other["adj"] = group.parent.parent["kept"][()]
    group["adj"] = h5py.ExternalLink("other.hdf5", "adj")


def virtual(group, folder):
    with h5py.File(folder / "other.hdf5", "w") as other:
        other["adj"] = group.parent.parent["kept"][()]
        layout = h5py.VirtualLayout(other["adj"].shape, "u1")
        layout[:] = h5py.VirtualSource(other["adj"])
    group.create_virtual_dataset("adj", layout)


@pytest.mark.parametrize("claim", [huge, outside_dataset, outside_link, virtual])
def test_official_files_hold_what_is_read(official, claim, tmp_path, record_property):
    record_property("fault", f"official HDF5: {claim.__name__.replace('_', ' ')}")
    record_property("cases", 1)
    for name in (f"{OFFICIAL}.hdf5", f"{OFFICIAL}_meta.json"):
        (tmp_path / name).write_bytes((official / name).read_bytes())
    with h5py.File(tmp_path / f"{OFFICIAL}.hdf5", "r+") as file:
        group = file["test/0"]
        file["kept"] = group["adj"][()]
        del group["adj"]
        claim(group, tmp_path)
    spec = f"deepnets-official:{tmp_path}:test:0"
    with pytest.raises(ArchrepError, match=r"not stored here|stored in another file|not uint8"):
        next(iter(architectures(spec))).graph  # noqa: B018 - it is read there


@pytest.mark.parametrize(
    "target", ["../{name}.hdf5", "{folder}/{name}.hdf5", "other.hdf5", "{name}.hdf5", "{name}.hdf5 "]
)
def test_official_splits_are_linked_only_beside(official, target, tmp_path, record_property):
    """As the merged file of `archrep sample` links them; to anything else, nothing is opened."""
    record_property("fault", f"official HDF5: split linked to {target}")
    record_property("cases", 1)
    target = target.format(folder=official, name=OFFICIAL)
    with h5py.File(tmp_path / "deepnets1m_eval.hdf5", "w") as file:
        file["test"] = h5py.ExternalLink(target, "test")
    with pytest.raises(ArchrepError, match=f"only one to {OFFICIAL}.hdf5 beside it is followed"):
        list(architectures(f"deepnets-official:{tmp_path}:test"))
    (tmp_path / "deepnets1m_eval.hdf5").rename(tmp_path / f"{OFFICIAL}.hdf5")
    with pytest.raises(ArchrepError, match="is followed"):  # nor one to itself
        list(architectures(f"deepnets-official:{tmp_path}:test"))


def batches(name, count):
    """A gzipped archive of that many files of zeros, each as large as a batch may be."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for i in range(count):
            member = tarfile.TarInfo(name.format(i))
            member.size = 30_730_000
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return content.getvalue()


def test_archives_give_only_batches_of_cifar10(tmp_path, record_property):
    record_property("fault", "CIFAR-10 archive of 60 KB with other files of many megabytes")
    record_property("cases", 1)
    (tmp_path / "a.tar.gz").write_bytes(batches("x{}.bin", 2))
    tracemalloc.start()
    with pytest.raises(ArchrepError, match="missing or truncated"):
        load_images(str(tmp_path / "a.tar.gz"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize("name", ["../../escaped.bin", "/tmp/escaped.bin", "../data_batch_1.bin"])
def test_archives_write_nothing(tmp_path, name, record_property):
    record_property("fault", f"CIFAR-10 archive with a member {name}")
    record_property("cases", 1)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.tar.gz").write_bytes(content.getvalue())
    with pytest.raises(ArchrepError):
        load_images(str(folder / "a.tar.gz"))
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "a.tar.gz"]


def png(size):
    """An image of 32×32 pixels whose head says otherwise."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32)).save(file, "png")
    data = bytearray(file.getvalue())
    data[16:24] = struct.pack(">II", *size)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize("place", [0, 1])
def test_images_that_claim_to_be_huge_are_not_decoded(tmp_path, place, record_property):
    record_property("fault", f"image of 100 bytes that claims 20,000 × 20,000 pixels, row {place}")
    record_property("cases", 1)
    images = [{"bytes": png((32, 32))}, {"bytes": png((32, 32))}]
    images[place] = {"bytes": png((20_000, 20_000))}
    for part in ("train", "test"):
        pq.write_table(pa.table({"img": images, "label": [0, 1]}), tmp_path / f"{part}.parquet")
    with pytest.raises(ArchrepError, match="DecompressionBomb"):
        load_images(str(tmp_path))


def test_a_checkpoint_cannot_claim_more_than_it_holds(tmp_path, ghn, record_property):
    record_property("fault", "checkpoint whose header claims huge tensors")
    record_property("cases", 2)
    header = {"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    for length in (2**62, None):
        text = json.dumps(header).encode()
        (tmp_path / "g.safetensors").write_bytes(struct.pack("<Q", length or len(text)) + text)
        with pytest.raises(ArchrepError, match="not a readable safetensors"):
            GHN.load(tmp_path / "g.safetensors")


def test_a_released_checkpoint_is_no_bomb(tmp_path, record_property):
    record_property("fault", "released checkpoint that is compressed a thousandfold, or repeats one number")
    record_property("cases", 2)
    torch.save({"config": {}, "state_dict": {"embed.weight": torch.zeros(10_000_000)}}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as old,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    assert (tmp_path / "b.pt").stat().st_size < 100_000
    with pytest.raises(ArchrepError, match="compressed"):
        GHN.load(tmp_path / "b.pt")
    torch.save({"config": {}, "state_dict": {"embed.weight": torch.zeros(1).expand(10**6, 10**6)}}, tmp_path / "c.pt")
    with pytest.raises(ArchrepError):
        GHN.load(tmp_path / "c.pt")


@pytest.mark.parametrize("span", ["0-999999999999", "999999999999999999999999", "5-2", "0-", "-1", "0x10"])
@pytest.mark.parametrize("space", ["deepnets", "deepnets-small"])
def test_ranges_are_bounded_by_their_split(space, span, record_property):
    record_property("fault", f"spec {space}:test:{span}")
    record_property("cases", 1)
    with pytest.raises(ArchrepError):
        list(architectures(f"{space}:test:{span}"))
