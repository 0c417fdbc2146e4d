"""Writing results so that nothing is lost or half-written, and saying where they come from."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
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
def atomic_folder(path: Path, force: bool = False) -> Iterator[Path]:
    """Like `atomic`, for a folder of files that belong together.

    With `force`, an existing folder is replaced only once the new one is complete, and only if everything
    in it looks like an earlier result (files, no sub-folders).
    """
    path = Path(path)
    refuse_existing(path, force)
    if path.exists() and (not path.is_dir() or any(p.is_dir() for p in path.iterdir())):
        raise ArchrepError(
            f"{path} is not a folder of an earlier result; --force does not replace it. Choose another --out."
        )
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except OSError as error:
        raise ArchrepError(f"Cannot write {path}: {error.strerror or error}. Choose another --out.") from error
    finally:
        if temporary is not None:
            with suppress(FileNotFoundError):
                shutil.rmtree(temporary)


def refuse_existing(path: Path, force: bool) -> None:
    """Raises ArchrepError if `path` exists and may not be replaced; asked before long work starts."""
    if Path(path).exists() and not force:
        raise ArchrepError(f"{path} exists; it is not overwritten without --force.")


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
