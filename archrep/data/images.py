"""Image sets: CIFAR-10 from Hugging Face parquet files or the official binary archive, and scikit-learn's digits.

These images are kept as uint8 and normalised per batch; bigger ones (ImageNet) stay in their files, see
image_files.py. CIFAR-10: 45,000 training, 5,000 validation and 10,000 test images, as in the paper (§ 5).
"""

import gzip
import hashlib
import io
import tarfile
import zlib
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from archrep.errors import ArchrepError, first_line

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CIFAR10_RECORD = 1 + 3 * 32 * 32  # label, then red, green and blue planes
CIFAR10_BATCH = 10_000 * CIFAR10_RECORD  # bytes of a file
TRAIN_BATCHES, TEST_BATCH = [f"data_batch_{i}.bin" for i in range(1, 6)], "test_batch.bin"
BATCHES = (*TRAIN_BATCHES, TEST_BATCH)
# Bytes that an archive may unpack to (CIFAR-10's has 186 MB), and at a time; members that it may have.
ARCHIVE_BYTES, CHUNK, MEMBERS = 2**28, 2**20, 1000
HOW_TO_GET = (
    "Give --data a folder with the Hugging Face parquet files (train*.parquet, test*.parquet), the official "
    "cifar-10-binary.tar.gz, a folder with train/CLASS/*.JPEG and val/CLASS/*.JPEG, or `digits`"
)
Channels = tuple[float, float, float]  # red, green, blue


class Images(Protocol):
    """Images of one split, in memory or in files."""

    @property
    def labels(self) -> Tensor:
        """Classes (n,) int64."""
        ...

    @property
    def mean(self) -> Channels:
        """Per channel, in [0, 1]: what is subtracted from images to normalise them."""
        ...

    @property
    def std(self) -> Channels:
        """Per channel: what they are divided by then."""
        ...

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        ...

    def __len__(self) -> int: ...

    def batch(self, index: Tensor, augment: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Normalised images (k, 3, H, W) float32 in channels-last layout, and labels (k,); augmented if asked for."""
        ...

    def subset(self, size: int) -> "Images":
        """A fixed stratified subset: the first images of every class, in equal numbers where possible."""
        ...

    def identify(self, sha: Any) -> None:
        """Feeds a hashlib object with what tells these images from others."""
        ...


@dataclass(frozen=True)
class PixelImages:
    """Images of one split in memory.

    Attributes:
        pixels: (n, 3, H, W) uint8. labels: (n,) int64.
        mean, std: per channel, of the training images, in [0, 1].
    """

    pixels: Tensor
    labels: Tensor
    mean: Channels
    std: Channels

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        return self.pixels.shape[-1]

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Tensor, augment: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Normalised images (k, 3, H, W) float32 in channels-last layout, and labels (k,).

        Args:
            augment: if given, images are flipped and cropped from 4-pixel zero padding (paper § 5).
        """
        pixels = self.pixels[index].float() / 255
        mean, std = (torch.tensor(v)[:, None, None] for v in (self.mean, self.std))
        x = (pixels - mean) / std
        if augment is not None:
            x = flip_and_crop(x, augment)
        return x.contiguous(memory_format=torch.channels_last), self.labels[index]

    def subset(self, size: int) -> "PixelImages":
        """A fixed stratified subset: the first images of every class, in equal numbers where possible."""
        if size >= len(self):
            return self
        index = stratified(self.labels, size)
        return PixelImages(self.pixels[index], self.labels[index], self.mean, self.std)

    def identify(self, sha: Any) -> None:
        """Feeds a hashlib object with all pixels and labels."""
        sha.update(self.pixels.numpy().tobytes())
        sha.update(self.labels.numpy().tobytes())


@dataclass(frozen=True)
class ImageSet:
    """Train, validation and test images of one data set; `digest` identifies them."""

    name: str
    train: Images
    val: Images
    test: Images
    num_classes: int

    @property
    def image_size(self) -> int:
        """Height and width of the images that a network gets, in pixels."""
        return self.train.image_size

    @cached_property
    def digest(self) -> str:
        """See `digest_of`."""
        return digest_of(self.train, self.val, self.test)


def digest_of(*parts: Images) -> str:
    """First 16 hex digits of a SHA-256: of pixels and labels, or of names, sizes and labels of image files."""
    sha = hashlib.sha256()
    for part in parts:
        part.identify(sha)
    return sha.hexdigest()[:16]


def stratified(labels: Tensor, size: int) -> Tensor:
    """Positions (size,) of the first images of every class, in equal numbers where possible, ascending."""
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(labels)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    return torch.argsort(rank * (int(labels.max()) + 1) + labels)[:size].sort().values


def flip_and_crop(x: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Random horizontal flip and random crop from zero padding, per image; x is (k, 3, H, W)."""
    k, _, height, width = x.shape
    flip = torch.rand(k, generator=generator) < 0.5
    x = torch.where(flip[:, None, None, None], x.flip(3), x)
    padded = torch.nn.functional.pad(x, (padding,) * 4)
    top, left = torch.randint(0, 2 * padding + 1, (2, k), generator=generator)
    rows = (top[:, None] + torch.arange(height))[:, :, None]  # (k, H, 1)
    columns = (left[:, None] + torch.arange(width))[:, None, :]  # (k, 1, W)
    return padded[torch.arange(k)[:, None, None], :, rows, columns].permute(0, 3, 1, 2)


def noisy(x: Tensor, images: Images, noise: float, generator: torch.Generator) -> Tensor:
    """Normalised images (k, 3, H, W) with noise of that standard deviation on their pixels in [0, 1], clipped there."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (images.mean, images.std))
    pixels = x * std + mean + noise * torch.randn(x.shape, generator=generator)
    return ((pixels.clamp(0, 1) - mean) / std).contiguous(memory_format=torch.channels_last)


def load_images(source: str = "cifar10") -> ImageSet:
    """Loads an image set.

    Args:
        source: `digits`; `cifar10` (downloads the official archive once, checksum verified); or a path: a
            folder with CIFAR-10 as parquet or binary batches, the official archive, or a folder of bigger images
            (ImageNet): train/CLASS/* and val/CLASS/*, or parquet files train* and validation*.

    Raises:
        ArchrepError: if there is nothing to read there, or it is not such a data set.
    """
    from archrep.data.image_files import image_folder, image_parquet, is_image_folder, parquet_files

    if source == "digits":
        return _digits()
    path = _download() if source == "cifar10" else Path(source)
    if path.is_file():
        train, test = _read_archive(path)
        return _assemble("cifar10", train, test)
    if not path.is_dir():
        raise ArchrepError(f"No image data at {path}. {HOW_TO_GET}.")
    if is_image_folder(path):
        return image_folder(path)
    files = parquet_files(path)
    if files["train"] and (files["val"] or files["test"]):
        if _encoded_size(files["train"][0]) != (32, 32):
            return image_parquet(path, files["train"], files["val"] or files["test"])
        return _assemble("cifar10", _read_parquet(files["train"]), _read_parquet(files["test"] or files["val"]))
    found = {p.name: p for p in path.rglob("*.bin")}
    if TEST_BATCH in found:
        train, test = _read_binary({name: found[name].read_bytes() for name in BATCHES if name in found}, path)
        return _assemble("cifar10", train, test)
    raise ArchrepError(f"No CIFAR-10 or ImageNet files in {path}. {HOW_TO_GET}.")


def _download() -> Path:
    import pooch

    try:
        return Path(
            pooch.retrieve(CIFAR10_URL, f"sha256:{CIFAR10_SHA256}", path=pooch.os_cache("archrep"), progressbar=False)
        )
    except (OSError, ValueError) as error:
        raise ArchrepError(f"Cannot download CIFAR-10 ({first_line(error)}). {HOW_TO_GET}.") from error


def _read_parquet(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow as pa
    from PIL import Image

    from archrep.parquet import read_parquet

    pixels, labels = [], []
    for file in files:
        try:
            table = read_parquet(file)
            image_column = "img" if "img" in table.column_names else "image"
            encoded = [row["bytes"] for row in table[image_column].to_pylist()]
            labels.append(class_numbers(table["label"]))
            for data in encoded:
                with Image.open(io.BytesIO(data)) as image:  # which reads no pixels yet
                    if image.size != (32, 32):
                        raise ValueError(f"images of {image.size} pixels")
                    pixels.append(np.asarray(image.convert("RGB")))
        except (pa.ArrowException, KeyError, TypeError, ValueError, OSError, Image.DecompressionBombError) as error:
            raise ArchrepError(
                f"{file}: not a parquet file of images of 32×32 pixels, with columns `img` (bytes) and `label` "
                f"({first_line(error)})."
            ) from error
    if not pixels:
        raise ArchrepError(f"{files[0].parent}: no images in {files[0].name}.")
    return np.stack(pixels).transpose(0, 3, 1, 2), np.concatenate(labels)


def class_numbers(column: Any) -> np.ndarray:
    """A column of labels (n,) as int64.

    Raises:
        ValueError: if it holds anything but whole numbers; NaN would become some class.
    """
    values: np.ndarray = column.to_numpy()
    if values.dtype.kind not in "iu":
        raise ValueError(f"labels are {column.type}{' with nulls' if column.null_count else ''}, not whole numbers")
    return values.astype(np.int64)


def _encoded_size(file: Path) -> tuple[int, int]:
    """Width and height of the first image of a parquet file; (32, 32) where that cannot be told."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    from archrep.parquet import refuse_claims

    try:
        refuse_claims(file)
        rows = next(pq.ParquetFile(file).iter_batches(1))
        column = "img" if "img" in rows.schema.names else "image"
        return Image.open(io.BytesIO(rows[column][0].as_py()["bytes"])).size
    except Image.DecompressionBombError as error:
        raise ArchrepError(f"{file}: {first_line(error)}.") from error
    except (pa.ArrowException, LookupError, TypeError, ValueError, OSError, StopIteration):
        return 32, 32  # reading it as CIFAR-10 says what is wrong


def _read_archive(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    contents = {}
    try:
        with path.open("rb") as packed, gzip.open(packed) as file:
            archive = tarfile.TarFile(fileobj=_Unpacked(file))  # type: ignore[arg-type]
            for _, member in zip(range(MEMBERS), archive, strict=False):
                name = Path(member.name).name
                if name in BATCHES and member.size <= CIFAR10_BATCH and (batch := archive.extractfile(member)):
                    contents[name] = b"".join(iter(partial(batch.read, CHUNK), b""))
    except (tarfile.TarError, OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise ArchrepError(f"{path}: not a readable archive ({first_line(error)}). {HOW_TO_GET}.") from error
    return _read_binary(contents, path)


class _Unpacked:
    """What a compressed archive unpacks to; refuses to unpack more than CIFAR-10's has, or headers of megabytes."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file, self.tell = file, file.tell

    def seek(self, position: int) -> int:
        self._refuse_beyond(position)
        return self._file.seek(position)

    def read(self, size: int) -> bytes:
        if size > CHUNK:
            raise ValueError(f"a header of {size / 2**20:.0f} MiB")
        self._refuse_beyond(self.tell() + size)
        return self._file.read(size)

    def _refuse_beyond(self, position: int) -> None:
        if position > ARCHIVE_BYTES:
            raise ValueError(f"it unpacks to more than {ARCHIVE_BYTES / 2**20:.0f} MiB")


def _read_binary(contents: dict[str, bytes], path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    parts = []
    for names in (TRAIN_BATCHES, [TEST_BATCH]):
        missing = [name for name in names if len(contents.get(name, b"")) % CIFAR10_RECORD or not contents.get(name)]
        if missing:
            raise ArchrepError(f"{path}: missing or truncated {', '.join(missing)}; fetch {CIFAR10_URL} again.")
        records = np.frombuffer(b"".join(contents[n] for n in names), np.uint8).reshape(-1, CIFAR10_RECORD)
        parts.append((records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)))
    return parts


def _digits() -> ImageSet:
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.repeat(np.repeat(data.images, 4, axis=1), 4, axis=2)  # (n, 32, 32)
    pixels = np.repeat((pixels * (255 / 16)).astype(np.uint8)[:, None], 3, axis=1)
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(pixels))
    pixels, labels = pixels[order], data.target[order].astype(np.int64)
    return _assemble("digits", (pixels[:1297], labels[:1297]), (pixels[1297:], labels[1297:]), val=200)


def _assemble(
    name: str, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], val: int | None = None
) -> ImageSet:
    """Splits validation images off the training images: a fixed random tenth unless `val` says how many."""
    pixels, labels = (np.ascontiguousarray(a) for a in train)
    num_classes = count_classes(labels, name)
    scaled = pixels.astype(np.float32).transpose(1, 0, 2, 3).reshape(3, -1) / 255
    mean, std = tuple(scaled.mean(axis=1).tolist()), tuple(scaled.std(axis=1).tolist())
    everything = PixelImages(torch.from_numpy(pixels), torch.from_numpy(labels), mean, std)
    mask = held_out(len(labels), len(labels) // 10 if val is None else val)
    train_part, val_part = (
        PixelImages(everything.pixels[chosen], everything.labels[chosen], mean, std) for chosen in (~mask, mask)
    )
    test_pixels, test_labels = (torch.from_numpy(np.ascontiguousarray(a)) for a in test)
    return ImageSet(name, train_part, val_part, PixelImages(test_pixels, test_labels, mean, std), num_classes)


def held_out(n: int, val: int) -> Tensor:
    """Mask (n,) of the `val` training images that serve as validation images: fixed, at random."""
    mask = torch.zeros(n, dtype=torch.bool)
    mask[torch.from_numpy(np.random.Generator(np.random.PCG64(1)).permutation(n)[:val])] = True
    return mask


def count_classes(labels: np.ndarray, name: str) -> int:
    """Number of classes of training images.

    Raises:
        ArchrepError: if the labels are not 0 … classes-1, each present.
    """
    num_classes = int(labels.max()) + 1 if len(labels) else 0
    if num_classes < 2 or labels.min() < 0 or num_classes > 100_000 or len(np.unique(labels)) != num_classes:
        raise ArchrepError(
            f"{name}: labels must be 0 … classes-1, at least two classes, each present; got {np.unique(labels)[:12]}."
        )
    return num_classes
