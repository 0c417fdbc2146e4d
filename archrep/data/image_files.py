"""Images that stay in their files until a batch of them is asked for: ImageNet and sets like it, 224×224 pixels.

Two layouts: folders (train/CLASS/*.JPEG, val/CLASS/*.JPEG; labels are the positions of the sorted class names) and
Hugging Face parquet files (train*, validation* with the columns `image` or `img`, a struct with `bytes`, and `label`).
Of parquet files, whole row groups are read: random order is faster from folders, or from small row groups.

Training images: random resized crop (8 … 100 % of the area, aspect 3/4 … 4/3) and flip. Evaluation: shorter side to
256, centre crop. Bilinear, as torchvision does it. The released code also jitters colours in training.
"""

import io
import math
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from archrep.data.images import Channels, ImageSet, class_numbers, count_classes, held_out, stratified
from archrep.errors import ArchrepError, first_line

SIZE, RESIZED = 224, 256
MEAN: Channels = (0.485, 0.456, 0.406)
STD: Channels = (0.229, 0.224, 0.225)
SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp")
TRIES = 10  # crops that are drawn before the largest one in the centre is taken
ASPECT = 100  # times that an image may be longer than wide, or the other way round
VAL_PER_CLASS = 50  # training images per class that are held out at most, as many as the released code takes
GROUP_BYTES = 2**31  # largest row group that is read
GROUPS = 8  # row groups that are kept


class Encoded(Protocol):
    """Encoded images by position."""

    def read(self, positions: Sequence[int]) -> list[bytes]:
        """Contents of image files."""
        ...

    def name(self, position: int) -> str:
        """What an image is called in messages."""
        ...

    def identify(self, sha: Any) -> None:
        """Feeds a hashlib object with names and sizes; no image is read."""
        ...


@dataclass(frozen=True)
class ImageFiles:
    """Images of one split, decoded when a batch of them is asked for.

    Attributes:
        source: where they lie. index: (n,) int64, positions there. labels: (n,) int64.
    """

    source: Encoded
    index: Tensor
    labels: Tensor
    mean: Channels = MEAN
    std: Channels = STD
    image_size: int = SIZE

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Tensor, augment: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Normalised images (k, 3, 224, 224) float32 in channels-last layout, and labels (k,).

        Decodes in as many threads as torch uses; their number changes nothing.

        Args:
            augment: if given, images are cropped and flipped at random; else the centre is taken.

        Raises:
            ArchrepError: for an image that cannot be read; names it.
        """
        positions = self.index[index].tolist()
        draws: list = [None] * len(positions)
        if augment is not None:
            draws = torch.rand(len(positions), TRIES + 1, 4, generator=augment).tolist()
        names = [partial(self.source.name, position) for position in positions]
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            pixels = np.stack(list(pool.map(decode, self.source.read(positions), names, draws)))  # (k, H, W, 3)
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255  # (k, 3, H, W), channels last in memory
        mean, std = (torch.tensor(v)[:, None, None] for v in (self.mean, self.std))
        return (x - mean) / std, self.labels[index]

    def subset(self, size: int) -> "ImageFiles":
        """A fixed stratified subset: the first images of every class, in equal numbers where possible."""
        if size >= len(self):
            return self
        chosen = stratified(self.labels, size)
        return ImageFiles(self.source, self.index[chosen], self.labels[chosen])

    def identify(self, sha: Any) -> None:
        """Feeds a hashlib object with names and sizes of the files, positions and labels; no image is read."""
        self.source.identify(sha)
        sha.update(self.index.numpy().tobytes())
        sha.update(self.labels.numpy().tobytes())


def decode(encoded: bytes, name: Callable[[], str], draws: list[list[float]] | None) -> np.ndarray:
    """Pixels (224, 224, 3) uint8 of an encoded image.

    Args:
        name: for messages. draws: (TRIES + 1, 4) numbers in [0, 1) that decide crop and flip; None: the centre.

    Raises:
        ArchrepError: if it is no complete image, or is longer than wide by more than ASPECT, or the other way round.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded)) as opened:  # which reads no pixels yet
            if max(opened.size) > ASPECT * min(opened.size):
                raise ValueError("{}×{} pixels, a side is more than {} times the other".format(*opened.size, ASPECT))
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        raise ArchrepError(f"{name()}: not a readable image ({first_line(error)}). Replace or remove it.") from error
    bilinear = Image.Resampling.BILINEAR
    if draws is not None:
        left, top, width, height = random_crop(image.width, image.height, draws)
        image = image.crop((left, top, left + width, top + height)).resize((SIZE, SIZE), bilinear)
        pixels = np.asarray(image)
        return pixels[:, ::-1] if draws[TRIES][0] < 0.5 else pixels
    shorter = min(image.size)
    width, height = (RESIZED if side == shorter else int(RESIZED * side / shorter) for side in image.size)
    image = image.resize((width, height), bilinear)
    left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)))


def random_crop(width: int, height: int, draws: list[list[float]]) -> tuple[int, int, int, int]:
    """Left, top, width and height of a crop: the first drawn one that fits, else the largest in the centre."""
    for area, ratio, x, y in draws[:TRIES]:
        wanted = width * height * (0.08 + 0.92 * area)
        aspect = math.exp(math.log(3 / 4) + ratio * (math.log(4 / 3) - math.log(3 / 4)))
        w, h = round(math.sqrt(wanted * aspect)), round(math.sqrt(wanted / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(x * (width - w + 1)), int(y * (height - h + 1)), w, h
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (width - w) // 2, (height - h) // 2, w, h


@dataclass(frozen=True)
class Folder:
    """Image files below a folder; `paths` are relative to it."""

    root: Path
    paths: tuple[str, ...]

    def read(self, positions: Sequence[int]) -> list[bytes]:
        """Contents of image files.

        Raises:
            ArchrepError: for a file that is gone or cannot be read.
        """
        try:
            return [(self.root / self.paths[p]).read_bytes() for p in positions]
        except OSError as error:
            raise ArchrepError(f"{error.filename}: not readable ({error.strerror}).") from error

    def name(self, position: int) -> str:
        """Path of an image."""
        return str(self.root / self.paths[position])

    def identify(self, sha: Any) -> None:
        """Feeds a hashlib object with all relative paths and file sizes."""
        try:
            for path in self.paths:
                sha.update(f"{path}\0{(self.root / path).stat().st_size}\0".encode())
        except OSError as error:
            raise ArchrepError(f"{error.filename}: not readable ({error.strerror}).") from error


def is_image_folder(path: Path) -> bool:
    """Whether a folder has class folders in its folder `train`."""
    return (path / "train").is_dir() and any(child.is_dir() for child in (path / "train").iterdir())


def image_folder(path: Path) -> ImageSet:
    """The image set in a folder with train/CLASS/* and val/CLASS/*.

    Raises:
        ArchrepError: without class folders in `val`, for classes that `train` lacks, or classes without images.
    """
    classes = _classes(path / "train")
    if not (path / "val").is_dir() or not _classes(path / "val"):
        raise ArchrepError(f"{path / 'val'}: no class folders; evaluation images belong in val/CLASS/, as in train/.")
    foreign = sorted(set(_classes(path / "val")) - set(classes))
    if foreign:
        raise ArchrepError(f"{path}: val has the class {foreign[0]!r}, train has not; both must have the same classes.")
    train, test = (_read_folder(path / part, classes) for part in ("train", "val"))
    return _assemble(path, train, test)


def _classes(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _read_folder(root: Path, classes: list[str]) -> tuple[Folder, np.ndarray]:
    paths: list[str] = []
    labels: list[np.ndarray] = []
    for label, name in enumerate(classes):
        folder = root / name
        files = sorted(f for f in os.listdir(folder) if f.lower().endswith(SUFFIXES)) if folder.is_dir() else []
        if not files and root.name == "train":
            raise ArchrepError(f"{folder}: no images ({', '.join(SUFFIXES)}); remove the folder or fill it.")
        paths += [f"{name}/{file}" for file in files]
        labels.append(np.full(len(files), label, np.int64))
    return Folder(root, tuple(paths)), np.concatenate(labels)


@dataclass
class ParquetRows:
    """Images in the rows of parquet files. Row groups are read whole; the last few of them are kept."""

    files: list[Path]
    groups: list[tuple[int, int, int]]  # number of the file, of the row group in it, rows before it
    column: str
    _kept: OrderedDict[int, list] = field(default_factory=OrderedDict, repr=False)

    def read(self, positions: Sequence[int]) -> list[bytes]:
        """Contents of image files.

        Raises:
            ArchrepError: for a row without an image.
        """
        starts = np.array([start for _, _, start in self.groups])
        where = np.searchsorted(starts, positions, side="right") - 1
        found: dict[int, Any] = {}
        for group in sorted(set(where.tolist())):
            rows = self._group(group)
            found |= {p: rows[p - starts[group]] for p, g in zip(positions, where, strict=True) if g == group}
        empty = next((p for p in positions if not isinstance(found[p], bytes)), None)
        if empty is not None:
            raise ArchrepError(f"{self.name(empty)}: no image bytes; only files that hold their images can be read.")
        return [found[p] for p in positions]

    def _group(self, group: int) -> list:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if group not in self._kept:
            file, number, _ = self.groups[group]
            try:
                with pq.ParquetFile(self.files[file]) as opened:
                    table = opened.read_row_group(number, columns=[f"{self.column}.bytes"])
                self._kept[group] = table[self.column].combine_chunks().field("bytes").to_pylist()
            except (pa.ArrowException, OSError, KeyError) as error:
                raise ArchrepError(f"{self.files[file]}: not a readable parquet file ({first_line(error)}).") from error
        self._kept.move_to_end(group)
        while len(self._kept) > GROUPS:
            self._kept.popitem(last=False)
        return self._kept[group]

    def name(self, position: int) -> str:
        """File and row of an image, from 0 in each file."""
        file, _, _ = next(g for g in reversed(self.groups) if g[2] <= position)
        return f"{self.files[file]}, row {position - next(start for f, _, start in self.groups if f == file)}"

    def identify(self, sha: Any) -> None:
        """Feeds a hashlib object with names and sizes of the files."""
        for file in self.files:
            sha.update(f"{file.name}\0{file.stat().st_size}\0".encode())

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_kept": OrderedDict()}


def parquet_files(path: Path) -> dict[str, list[Path]]:
    """Parquet files below a folder whose names begin with train, val and test."""
    found = sorted(path.rglob("*.parquet"))
    return {split: [p for p in found if p.name.startswith(split)] for split in ("train", "val", "test")}


def image_parquet(path: Path, train: list[Path], test: list[Path]) -> ImageSet:
    """The image set in parquet files of bigger images.

    Raises:
        ArchrepError: for other files, or row groups that are too big to be read whole.
    """
    return _assemble(path, _open_parquet(train), _open_parquet(test))


def _open_parquet(files: list[Path]) -> tuple[ParquetRows, np.ndarray]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from archrep.parquet import refuse_claims

    groups: list[tuple[int, int, int]] = []
    labels: list[np.ndarray] = []
    rows, column = 0, "image"
    for number, file in enumerate(files):
        try:
            refuse_claims(file)
            with pq.ParquetFile(file) as opened:
                column = "img" if "img" in opened.schema_arrow.names else "image"
                opened.schema_arrow.field(column).type.field("bytes")
                labels.append(class_numbers(opened.read(columns=["label"])["label"]))
                parts = [opened.metadata.row_group(g) for g in range(opened.num_row_groups)]
        except (pa.ArrowException, LookupError, AttributeError, TypeError, ValueError, OSError) as error:
            raise ArchrepError(
                f"{file}: not a parquet file of images, with columns `image` or `img` (bytes) and `label` "
                f"({first_line(error)})."
            ) from error
        for group, part in enumerate(parts):
            if part.total_byte_size > GROUP_BYTES:
                raise ArchrepError(
                    f"{file}: a row group of {part.total_byte_size / 2**30:.1f} GiB, but whole row groups are read; "
                    "write it again with row_group_size=100."
                )
            groups.append((number, group, rows))
            rows += part.num_rows
    return ParquetRows(files, groups, column), np.concatenate(labels)


def _assemble(path: Path, train: tuple[Encoded, np.ndarray], test: tuple[Encoded, np.ndarray]) -> ImageSet:
    """Splits validation images off the training images: a random tenth, at most 50 per class."""
    (source, labels), (test_source, test_labels) = train, test
    num_classes = count_classes(labels, str(path))
    if len(test_labels) == 0 or test_labels.min() < 0 or test_labels.max() >= num_classes:
        raise ArchrepError(
            f"{path}: labels of the evaluation images must be 0 … {num_classes - 1}; got {np.unique(test_labels)[:12]}."
        )
    mask = held_out(len(labels), min(len(labels) // 10, VAL_PER_CLASS * num_classes))
    positions, known = torch.arange(len(labels)), torch.from_numpy(labels)
    train_part, val_part = (ImageFiles(source, positions[chosen], known[chosen]) for chosen in (~mask, mask))
    test_part = ImageFiles(test_source, torch.arange(len(test_labels)), torch.from_numpy(test_labels))
    name = "imagenet" if num_classes == 1000 else path.resolve().name
    return ImageSet(name, train_part, val_part, test_part, num_classes)
