"""Image sets: CIFAR-10 from Hugging Face parquet files or the official binary archive, and scikit-learn's digits.

Images are kept as uint8 and normalised per batch. CIFAR-10: 45,000 training, 5,000 validation and 10,000
test images, as in the paper (§ 5).
"""

import hashlib
import io
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from archrep.errors import ArchrepError, first_line

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR10_RECORD = 1 + 3 * 32 * 32  # label, then red, green and blue planes
HOW_TO_GET = (
    "Give --data a folder with the Hugging Face parquet files (train*.parquet, test*.parquet), the official "
    "cifar-10-binary.tar.gz, or `digits`"
)


@dataclass(frozen=True)
class Images:
    """Images of one split.

    Attributes:
        pixels: (n, 3, H, W) uint8. labels: (n,) int64.
        mean, std: per channel, of the training images, in [0, 1].
    """

    pixels: Tensor
    labels: Tensor
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

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

    def subset(self, size: int) -> "Images":
        """A fixed stratified subset: the first images of every class, in equal numbers where possible."""
        if size >= len(self):
            return self
        order = torch.argsort(self.labels, stable=True)
        counts = torch.bincount(self.labels)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(self)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)
        index = torch.argsort(rank * (int(self.labels.max()) + 1) + self.labels)[:size].sort().values
        return Images(self.pixels[index], self.labels[index], self.mean, self.std)


@dataclass(frozen=True)
class ImageSet:
    """Train, validation and test images of one data set; `digest` identifies the pixels and labels."""

    name: str
    train: Images
    val: Images
    test: Images
    num_classes: int

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of all pixels and labels."""
        sha = hashlib.sha256()
        for part in (self.train, self.val, self.test):
            sha.update(part.pixels.numpy().tobytes())
            sha.update(part.labels.numpy().tobytes())
        return sha.hexdigest()[:16]


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


def load_images(source: str = "cifar10") -> ImageSet:
    """Loads an image set.

    Args:
        source: `digits`; `cifar10` (downloads the official archive once, checksum verified); or a path: a
            folder with CIFAR-10 as parquet or binary batches, or the official archive.

    Raises:
        ArchrepError: if there is nothing to read there, or it is not CIFAR-10.
    """
    if source == "digits":
        return _digits()
    path = _download() if source == "cifar10" else Path(source)
    if path.is_file():
        train, test = _read_archive(path)
        return _assemble("cifar10", train, test)
    if not path.is_dir():
        raise ArchrepError(f"No image data at {path}. {HOW_TO_GET}.")
    parquet = {s: sorted(p for p in path.rglob("*.parquet") if p.name.startswith(s)) for s in ("train", "test")}
    if parquet["train"] and parquet["test"]:
        return _assemble("cifar10", _read_parquet(parquet["train"]), _read_parquet(parquet["test"]))
    found = {p.name: p for p in path.rglob("*.bin")}
    if "test_batch.bin" in found:
        train, test = _read_binary({name: p.read_bytes() for name, p in found.items()}, path)
        return _assemble("cifar10", train, test)
    raise ArchrepError(f"No CIFAR-10 files in {path}. {HOW_TO_GET}.")


def _download() -> Path:
    import pooch

    try:
        return Path(
            pooch.retrieve(CIFAR10_URL, f"md5:{CIFAR10_MD5}", path=pooch.os_cache("archrep"), progressbar=False)
        )
    except (OSError, ValueError) as error:
        raise ArchrepError(f"Cannot download CIFAR-10 ({first_line(error)}). {HOW_TO_GET}.") from error


def _read_parquet(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    pixels, labels = [], []
    for file in files:
        try:
            table = pq.read_table(file)
            image_column = "img" if "img" in table.column_names else "image"
            encoded = [row["bytes"] for row in table[image_column].to_pylist()]
            labels.append(table["label"].to_numpy().astype(np.int64))
            pixels += [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in encoded]
        except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
            raise ArchrepError(
                f"{file}: not a parquet file of images, with columns `img` (bytes) and `label` ({first_line(error)})."
            ) from error
    shapes = {p.shape for p in pixels}
    if shapes != {(32, 32, 3)}:
        raise ArchrepError(f"{files[0].parent}: expected 32x32 RGB images, got shapes {sorted(shapes)[:3]}.")
    return np.stack(pixels).transpose(0, 3, 1, 2), np.concatenate(labels)


def _read_archive(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    try:
        with tarfile.open(path) as archive:
            members = [m for m in archive if m.isfile() and m.name.endswith(".bin") and m.size < 10**8]
            contents = {Path(m.name).name: file.read() for m in members if (file := archive.extractfile(m))}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ArchrepError(f"{path}: not a readable archive ({first_line(error)}). {HOW_TO_GET}.") from error
    return _read_binary(contents, path)


def _read_binary(contents: dict[str, bytes], path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    parts = []
    for names in ([f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"]):
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
    num_classes = int(labels.max()) + 1
    if labels.min() < 0 or num_classes > 1000 or len(np.unique(labels)) != num_classes:
        raise ArchrepError(f"{name}: labels must be 0 … classes-1, each present; got {np.unique(labels)[:12]}.")
    val = len(labels) // 10 if val is None else val
    scaled = pixels.astype(np.float32).transpose(1, 0, 2, 3).reshape(3, -1) / 255
    mean, std = tuple(scaled.mean(axis=1).tolist()), tuple(scaled.std(axis=1).tolist())
    everything = Images(torch.from_numpy(pixels), torch.from_numpy(labels), mean, std)
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    held_out[torch.from_numpy(np.random.Generator(np.random.PCG64(1)).permutation(len(labels))[:val])] = True
    train_part, val_part = (
        Images(everything.pixels[mask], everything.labels[mask], mean, std) for mask in (~held_out, held_out)
    )
    test_pixels, test_labels = (torch.from_numpy(np.ascontiguousarray(a)) for a in test)
    return ImageSet(name, train_part, val_part, Images(test_pixels, test_labels, mean, std), num_classes)
