"""Image sets that stay in their files: ImageFolder and Hugging Face layout, decoding, augmentation, every wrong way."""

import io
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from archrep.data import load_images
from archrep.data.image_files import TRIES, ImageFiles, decode, random_crop
from archrep.errors import ArchrepError

CLASSES = ("n01440764", "n01443537", "n02102040")
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))


def jpeg(label, seed, size=(300, 260), mode="RGB"):
    """A noisy image in the colour of its class."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(np.array(COLOURS[label]) + rng.normal(0, 25, (*size[::-1], 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, format="JPEG")
    return buffer.getvalue()


def write_folder(root, train=6, val=4):
    for part, count in (("train", train), ("val", val)):
        for label, name in enumerate(CLASSES):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                size = (230 + 20 * i, 260)
                content = jpeg(label, 100 * label + i, size, "L" if (label, i) == (2, 3) else "RGB")
                (folder / f"{name}_{i}.JPEG").write_bytes(content)
    return root


def write_parquet(root, column="image", rows_per_group=4):
    for name, count, first in (("train-00000-of-00002", 9, 0), ("train-00001-of-00002", 9, 9), ("validation-0", 6, 30)):
        labels = [i % 3 for i in range(count)]
        images = [{"bytes": jpeg(label, first + i), "path": None} for i, label in enumerate(labels)]
        table = pa.table({column: images, "label": labels})
        pq.write_table(table, root / f"{name}.parquet", row_group_size=rows_per_group)
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("imagenet"))


def test_folder_layout(folder):
    loaded = load_images(str(folder))
    assert isinstance(loaded.train, ImageFiles)
    assert (len(loaded.train), len(loaded.val), len(loaded.test)) == (17, 1, 12)
    assert (loaded.num_classes, loaded.image_size) == (3, 224)
    assert loaded.test.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4  # sorted class names
    assert sorted([*loaded.train.index.tolist(), *loaded.val.index.tolist()]) == list(range(18))
    x, y = loaded.test.batch(torch.tensor([9, 0, 5]))
    assert x.shape == (3, 3, 224, 224)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert y.tolist() == [2, 0, 1]
    pixels = x * torch.tensor(loaded.test.std)[:, None, None] + torch.tensor(loaded.test.mean)[:, None, None]
    means = 255 * pixels.mean(dim=(2, 3))
    for mean, label in zip(means, y, strict=True):
        torch.testing.assert_close(mean, torch.tensor(COLOURS[label]).float(), atol=8, rtol=0)


def test_parquet_layout_is_read_by_row_groups(tmp_path):
    loaded = load_images(str(write_parquet(tmp_path)))
    assert (len(loaded.train), len(loaded.val), len(loaded.test), loaded.num_classes) == (17, 1, 6, 3)
    positions = torch.tensor([16, 3, 8, 3])
    x, _ = loaded.train.batch(positions)
    for image, position in zip(x, loaded.train.index[positions].tolist(), strict=True):
        alone = decode(jpeg(position % 9 % 3, position), str, None)
        expected = (
            torch.from_numpy(alone.copy()).permute(2, 0, 1) / 255 - torch.tensor(loaded.train.mean)[:, None, None]
        )
        torch.testing.assert_close(image, expected / torch.tensor(loaded.train.std)[:, None, None])
    assert loaded.train.source.name(13) == f"{tmp_path / 'train-00001-of-00002.parquet'}, row 4"
    copied = pickle.loads(pickle.dumps(loaded.test))  # noqa: S301 - as processes get it
    assert torch.equal(copied.batch(torch.arange(3))[0], loaded.test.batch(torch.arange(3))[0])


def test_img_column_and_missing_bytes(tmp_path):
    write_parquet(tmp_path, column="img")
    assert load_images(str(tmp_path)).image_size == 224
    images = [{"bytes": jpeg(0, 1), "path": None}, {"bytes": None, "path": "elsewhere.JPEG"}]
    pq.write_table(pa.table({"img": images, "label": [0, 1]}), tmp_path / "validation-0.parquet")
    with pytest.raises(ArchrepError, match="row 1: no image bytes"):
        load_images(str(tmp_path)).test.batch(torch.tensor([0, 1]))


def test_augmentation_is_seeded_and_does_not_depend_on_threads(folder):
    train = load_images(str(folder)).train
    index = torch.arange(6)
    first = train.batch(index, torch.Generator().manual_seed(1))[0]
    assert torch.equal(first, train.batch(index, torch.Generator().manual_seed(1))[0])
    assert not torch.equal(first, train.batch(index, torch.Generator().manual_seed(2))[0])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(first, train.batch(index, torch.Generator().manual_seed(1))[0])
    finally:
        torch.set_num_threads(threads)


def test_random_crops_have_the_stated_areas_and_aspects():
    draws = torch.rand(500, TRIES + 1, 4, generator=torch.Generator().manual_seed(0)).tolist()
    crops = np.array([random_crop(400, 300, d) for d in draws])
    left, top, width, height = crops.T
    assert (left >= 0).all()
    assert (left + width <= 400).all()
    assert (top >= 0).all()
    assert (top + height <= 300).all()
    areas = width * height / (400 * 300)
    assert 0.07 < areas.min() < 0.12
    assert 0.8 < areas.max() <= 1
    assert 0.7 < (width / height).min() < 0.8
    assert 1.25 < (width / height).max() < 1.4
    assert random_crop(1000, 10, [[0.9, 0.5, 0.0, 0.0]] * (TRIES + 1)) == (493, 0, 13, 10)  # none fits


def test_evaluation_crop_is_torchvisions(folder):
    from archrep.space.zoo import import_torchvision

    try:
        import_torchvision()
    except ArchrepError as error:
        pytest.skip(str(error))
    from torchvision import transforms

    transform = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    for size in ((230, 260), (500, 333), (224, 301)):
        content = jpeg(1, 5, size)
        expected = np.asarray(transform(Image.open(io.BytesIO(content))))
        assert np.array_equal(decode(content, str, None), expected)


def test_subset_and_digest(folder, tmp_path):
    loaded = load_images(str(folder))
    subset = loaded.test.subset(6)
    assert torch.bincount(subset.labels).tolist() == [2, 2, 2]
    assert loaded.test.subset(100) is loaded.test
    other = load_images(str(write_folder(tmp_path / "same")))
    assert other.digest == loaded.digest
    image = tmp_path / "same" / "val" / CLASSES[0] / f"{CLASSES[0]}_0.JPEG"
    image.write_bytes(image.read_bytes() + b"\0")
    assert load_images(str(tmp_path / "same")).digest != loaded.digest


def test_wrong_folders(tmp_path):
    root = write_folder(tmp_path / "set", train=2, val=1)
    broken = root / "val" / CLASSES[1] / f"{CLASSES[1]}_0.JPEG"
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(ArchrepError, match=rf"{broken.name}: not a readable image") as caught:
        load_images(str(root)).test.batch(torch.tensor([0, 1]))
    assert len(str(caught.value).splitlines()) == 1
    broken.unlink()
    loaded = load_images(str(root))
    (root / "val" / CLASSES[0] / f"{CLASSES[0]}_0.JPEG").unlink()
    with pytest.raises(ArchrepError, match="not readable"):
        loaded.test.batch(torch.tensor([0]))
    with pytest.raises(ArchrepError, match="not readable"):
        loaded.digest  # noqa: B018
    (root / "val" / "n99999999").mkdir()
    with pytest.raises(ArchrepError, match="val has the class 'n99999999'"):
        load_images(str(root))
    (root / "val" / "n99999999").rename(root / "train" / "n00000000")
    with pytest.raises(ArchrepError, match="n00000000: no images"):
        load_images(str(root))


def test_too_few_classes_and_flat_validation(tmp_path):
    root = tmp_path / "set"
    for part in ("train", "val"):
        (root / part / "one").mkdir(parents=True)
        (root / part / "one" / "a.jpg").write_bytes(jpeg(0, 0))
    with pytest.raises(ArchrepError, match="at least two classes"):
        load_images(str(root))
    (root / "val" / "one" / "a.jpg").rename(root / "val" / "ILSVRC2012_val_00000001.JPEG")
    (root / "val" / "one").rmdir()
    with pytest.raises(ArchrepError, match="val: no class folders"):
        load_images(str(root))


def test_wrong_parquet(tmp_path, monkeypatch):
    write_parquet(tmp_path)
    pq.write_table(pa.table({"image": [{"bytes": jpeg(0, 0)}], "label": [7]}), tmp_path / "validation-0.parquet")
    with pytest.raises(ArchrepError, match="evaluation images must be 0 … 2"):
        load_images(str(tmp_path))
    (tmp_path / "validation-0.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArchrepError, match=r"validation-0\.parquet: not a parquet file of images"):
        load_images(str(tmp_path))
    monkeypatch.setattr("archrep.data.image_files.GROUP_BYTES", 1000)
    with pytest.raises(ArchrepError, match="row_group_size=100"):
        load_images(str(tmp_path))
