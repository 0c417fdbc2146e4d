"""Image sets: every way in, and every wrong way."""

import io
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from archrep.data import images, load_images
from archrep.data.images import CIFAR10_RECORD, flip_and_crop
from archrep.errors import ArchrepError


def fake_cifar(n, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), (np.arange(n) % 10).astype(np.int64)


def write_parquet(folder, label="label"):
    for name, seed in (("train-00000-of-00001", 0), ("test-00000-of-00001", 1)):
        pixels, labels = fake_cifar(200, seed)
        rows = []
        for image in pixels:
            buffer = io.BytesIO()
            Image.fromarray(image.transpose(1, 2, 0)).save(buffer, format="PNG")
            rows.append({"bytes": buffer.getvalue(), "path": None})
        pq.write_table(pa.table({"img": rows, label: labels}), folder / f"{name}.parquet")


def binary_batches():
    batches = {}
    for i, name in enumerate([f"data_batch_{k}.bin" for k in range(1, 6)] + ["test_batch.bin"]):
        pixels, labels = fake_cifar(40, 10 + i)
        records = np.concatenate([labels.astype(np.uint8)[:, None], pixels.reshape(40, -1)], axis=1)
        assert records.shape[1] == CIFAR10_RECORD
        batches[name] = records.tobytes()
    return batches


def test_parquet(tmp_path):
    write_parquet(tmp_path)
    loaded = load_images(str(tmp_path))
    pixels, labels = fake_cifar(200, 1)
    assert torch.equal(loaded.test.pixels, torch.from_numpy(pixels))
    assert torch.equal(loaded.test.labels, torch.from_numpy(labels))
    assert (len(loaded.train), len(loaded.val), loaded.num_classes) == (180, 20, 10)


def test_archive_and_folder_of_batches(tmp_path):
    for name, content in binary_batches().items():
        (tmp_path / name).write_bytes(content)
    archive = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in binary_batches():
            tar.add(tmp_path / name, f"cifar-10-batches-bin/{name}")
    from_folder, from_archive = load_images(str(tmp_path)), load_images(str(archive))
    assert from_folder.digest == from_archive.digest
    assert torch.equal(from_folder.test.pixels, torch.from_numpy(fake_cifar(40, 15)[0]))


def test_split_is_fixed_and_digits_are_real(digits):
    assert (len(digits.train), len(digits.val), len(digits.test)) == (1097, 200, 500)
    assert digits.digest == load_images("digits").digest
    x, y = digits.train.batch(torch.arange(64))
    assert x.shape == (64, 3, 32, 32)
    assert abs(float(digits.train.batch(torch.arange(1097))[0].mean())) < 0.02
    assert set(y.tolist()) == set(range(10))


def test_stratified_subset(digits):
    subset = digits.test.subset(100)
    assert len(subset) == 100
    assert torch.bincount(subset.labels).tolist() == [10] * 10
    assert torch.equal(subset.pixels, digits.test.subset(100).pixels)
    assert digits.test.subset(10**6) is digits.test


def test_augmentation_flips_and_crops():
    x = torch.rand(50, 3, 8, 8)
    y = flip_and_crop(x, torch.Generator().manual_seed(0))
    assert torch.equal(y, flip_and_crop(x, torch.Generator().manual_seed(0)))
    padded = torch.nn.functional.pad(x, (4, 4, 4, 4))
    flipped = torch.nn.functional.pad(x.flip(3), (4, 4, 4, 4))
    for i in range(50):
        crops = [
            torch.equal(y[i], source[i, :, top : top + 8, left : left + 8])
            for source in (padded, flipped)
            for top in range(9)
            for left in range(9)
        ]
        assert any(crops)


def test_wrong_inputs(tmp_path, monkeypatch):
    with pytest.raises(ArchrepError, match="No image data"):
        load_images(str(tmp_path / "nowhere"))
    with pytest.raises(ArchrepError, match="No CIFAR-10 or ImageNet files"):
        load_images(str(tmp_path))
    write_parquet(tmp_path, label="category")
    with pytest.raises(ArchrepError, match="not a parquet file of images"):
        load_images(str(tmp_path))
    pq.write_table(pa.table({"img": [{"bytes": b"no image"}], "label": [0]}), tmp_path / "train-x.parquet")
    with pytest.raises(ArchrepError, match="not a parquet file of images"):
        load_images(str(tmp_path))
    (tmp_path / "train-x.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(ArchrepError, match="not a parquet file of images"):
        load_images(str(tmp_path))
    text = tmp_path / "file.tar.gz"
    text.write_text("no archive")
    with pytest.raises(ArchrepError, match="not a readable archive"):
        load_images(str(text))


def test_download_without_network_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "CIFAR10_URL", "http://127.0.0.1:9/cifar.tar.gz")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ArchrepError, match=r"Cannot download CIFAR-10.*Give --data"):
        load_images("cifar10")


@pytest.mark.shared
def test_real_cifar10(shared):
    loaded = load_images(str(shared / "data" / "cifar10"))
    assert (len(loaded.train), len(loaded.val), len(loaded.test)) == (45_000, 5_000, 10_000)
    assert torch.bincount(loaded.test.labels).tolist() == [1000] * 10
    assert loaded.train.mean == pytest.approx((0.491, 0.482, 0.447), abs=0.003)
