"""Writing results so that nothing is lost or half-written, and saying where they come from."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from archrep.errors import ArchrepError


@contextmanager
def atomic(path: Path, force: bool = False) -> Iterator[Path]:
    """Gives a temporary path beside `path` (same suffix) and renames it at the end; on failure nothing stays.

    Raises:
        ArchrepError: if `path` exists and `force` is False, or its folder cannot be written.
    """
    path = Path(path)
    refuse_existing(path, force)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise ArchrepError(f"Cannot write {path}: {error.strerror or error}. Choose another --out.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, force: bool, names: Sequence[str]) -> Iterator[Path]:
    """Like `atomic`, for a folder of files that belong together.

    Args:
        names: the files that it will hold. With `force`, an existing folder is replaced only if it holds
            nothing else, once the new one is complete.
    """
    path = Path(path)
    refuse_foreign_folder(path, force, names)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        yield new
        if path.exists():
            os.replace(path, old)
        os.replace(new, path)
    except OSError as error:
        raise ArchrepError(f"Cannot write {path}: {error.strerror or error}. Choose another --out.") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def refuse_foreign_folder(path: Path, force: bool, names: Sequence[str]) -> None:
    """Like `refuse_existing`, for a folder that may be replaced only if it holds nothing but `names`."""
    path = Path(path)
    refuse_existing(path, force)
    if not path.exists():
        return
    foreign = [p.name for p in path.iterdir() if p.name not in names] if path.is_dir() else [path.name]
    if foreign or path.resolve() == Path.cwd():
        raise ArchrepError(
            f"{path} is not just an earlier result{f' (it holds {foreign[0]})' if foreign else ''}; "
            "--force does not replace it. Choose another --out."
        )


def refuse_existing(path: Path, force: bool) -> None:
    """Asked before long work starts.

    Raises:
        ArchrepError: if `path` exists and may not be replaced, or its folder cannot be written.
    """
    path = Path(path)
    try:
        exists = path.exists()
        folder = next(p for p in path.absolute().parents if p.exists())
        writable = folder.is_dir() and os.access(folder, os.W_OK)
    except OSError as error:
        raise ArchrepError(f"Cannot write {path}: {error.strerror or error}. Choose another --out.") from error
    if exists and not force:
        raise ArchrepError(f"{path} exists; it is not overwritten without --force.")
    if not writable:
        raise ArchrepError(f"Cannot write {path}: {folder} is not a folder that can be written. Choose another --out.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def file_digest(path: Path) -> str:
    """First 16 hex digits of a file's SHA-256."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def provenance(**facts: object) -> dict[str, object]:
    """Command line, versions of what matters, and the given facts (seed, inputs, checkpoint …)."""
    packages = ("archrep", "torch", "torch-geometric", "numpy", "scikit-learn")
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in packages:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {"command": command, "versions": versions, **facts}


def to_json(value: object) -> str:
    """Readable JSON; paths and numpy scalars become plain values."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    item = getattr(value, "tolist", None)
    return item() if item else str(value)
