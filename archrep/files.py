"""Writing results so that nothing is lost or half-written, and saying where they come from.

Nothing in archrep opens a file for writing but through here (a test looks for it). What is written appears complete
and on disk, or not at all, whenever the process is killed; a process that writes holds a lock on its temporary file,
so that the next one can tell what a kill has left behind, and removes it.
"""

import ctypes
import fcntl
import glob
import hashlib
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from archrep.errors import ArchrepError, first_line

# How libraries that write files themselves (safetensors, torch) tell of a disk that is full.
DISK_ERRORS = ("No space left on device", "File too large", "failed writing", "unexpected pos", "os error")
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@contextmanager
def atomic(path: Path, force: bool = False) -> Iterator[Path]:
    """Gives a temporary path beside `path` (same suffix) and renames it at the end; on failure nothing stays.

    Raises:
        ArchrepError: if `path` exists, also since a moment ago, and `force` is False, or it cannot be written.
    """
    path = Path(path)
    refuse_existing(path, force)
    with _errors_about(path), _temporary(path, folder=False) as temporary:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        _sync(temporary)
        if force:
            os.replace(temporary, path)
        else:
            _publish(temporary, path)
        _sync(path.parent)


@contextmanager
def atomic_folder(path: Path, force: bool, names: Sequence[str]) -> Iterator[Path]:
    """Like `atomic`, for a folder of files that belong together.

    Args:
        names: the files that it will hold. With `force`, an existing folder is replaced only if it holds
            nothing else, once the new one is complete.
    """
    path = Path(path)
    refuse_foreign_folder(path, force, names)
    with _errors_about(path), _temporary(path, folder=True) as temporary:
        new = temporary / "new"
        new.mkdir()
        yield new
        for written in (*new.rglob("*"), new):
            _sync(written)
        refuse_foreign_folder(path, force, names)  # another process may have been faster
        if not path.exists():
            os.replace(new, path)
        elif not _exchange(new, path):
            os.replace(path, temporary / "old")
            os.replace(new, path)
        _sync(path.parent)


@contextmanager
def _errors_about(path: Path) -> Iterator[None]:
    """Turns what a disk, or a library that writes to it, reports into one line about `path`."""
    try:
        yield
    except OSError as error:
        raise ArchrepError(f"Cannot write {path}: {error.strerror or error}. Choose another --out.") from error
    except ArchrepError:
        raise
    except Exception as error:
        if not any(sign in str(error) for sign in DISK_ERRORS):
            raise
        raise ArchrepError(f"Cannot write {path}: {first_line(error)}. Is the disk full?") from error


@contextmanager
def _temporary(path: Path, folder: bool) -> Iterator[Path]:
    """A new hidden file or folder beside `path`, locked; it is gone at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stem, suffix = (path.name, "") if folder else (path.stem, path.suffix)
    _sweep(path.parent, f".{stem}-part-", suffix)
    while True:
        name = tempfile.mktemp(prefix=f".{stem}-part-", suffix=suffix, dir=path.parent)
        os.mkdir(name, 0o777) if folder else os.close(os.open(name, os.O_CREAT | os.O_EXCL, 0o600))
        lock = os.open(name, os.O_RDONLY)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(name):
            break
        os.close(lock)  # swept before it was locked
    temporary = Path(name)
    try:
        yield temporary
    finally:
        if folder:
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        os.close(lock)


def _sweep(parent: Path, prefix: str, suffix: str) -> None:
    """Removes what killed processes left: temporary files and folders that no process holds."""
    for left in parent.glob(f"{glob.escape(prefix)}????????{glob.escape(suffix)}"):
        with suppress(OSError):
            handle = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not left.is_dir():
                    left.unlink()
                elif not (left / "old").exists():  # which is all that is left if the kill came before `new`'s turn
                    shutil.rmtree(left)
            finally:
                os.close(handle)


def _publish(temporary: Path, path: Path) -> None:
    """Gives a file its name, unless something has it by now."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        refuse_existing(path, force=False)
        raise
    except OSError:  # a file system without links
        refuse_existing(path, force=False)
        os.replace(temporary, path)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two folders in one step; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    names = os.fsencode(one), os.fsencode(other)
    return rename is not None and rename(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE) == 0


def _sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append(path: Path, lines: Sequence[str | bytes]) -> None:
    """Adds lines, each with its end, to a file and waits until they are on disk; a kill may cut off the last one.

    Raises:
        OSError: if they cannot be written; then the file is as it was.
    """
    data = b"".join(line.encode() if isinstance(line, str) else line for line in lines)
    with path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, size)
            raise
    if size == 0:
        _sync(path.parent)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds `path` for this process: two that write one journal would do everything twice.

    Raises:
        ArchrepError: if another process holds it, or the folder cannot be written.
    """
    refuse_existing(path, force=True)
    lock = path.with_name(f".{path.stem}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o666)
    except OSError as error:
        raise ArchrepError(f"Cannot write {lock}: {error.strerror or error}. Choose another --out.") from error
    try:
        busy = False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            busy = not os.path.samestat(os.fstat(handle), os.stat(lock))  # its holder ended while this one came
        except (BlockingIOError, FileNotFoundError):
            busy = True
        except OSError:  # a file system without locks
            pass
        if busy:
            raise ArchrepError(f"{path}: another process is writing it. Wait for it, or choose another --out.")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
    finally:
        os.close(handle)


def refuse_foreign_folder(path: Path, force: bool, names: Sequence[str]) -> None:
    """Like `refuse_existing`, for a folder that may be replaced only if it holds nothing but `names`."""
    path = Path(path)
    _refuse(path, force)
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
        ArchrepError: if `path` exists and may not be replaced, is no file (as pipes and devices are none), or its
            folder cannot be written.
    """
    _refuse(path, force)
    if path.exists() and not path.is_file():
        raise ArchrepError(f"{path} is no file and is not replaced. Choose another --out.")


def refuse_unnamed(path: Path) -> None:
    """Raises ArchrepError for `/`, `.` and nothing, which have no name that a suffix could follow."""
    if path.name in ("", ".."):
        raise ArchrepError(f"'{path}' is no name of a result. Choose another --out.")


def _refuse(path: Path, force: bool) -> None:
    refuse_unnamed(path)
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


def is_packed(archive: zipfile.ZipFile, path: Path) -> bool:
    """Whether an archive unpacks to more than its file has; what archrep and torch write is stored as it is."""
    members = archive.infolist()
    compressed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    return compressed or sum(member.file_size for member in members) > path.stat().st_size


def is_number(value: object) -> bool:
    """Whether a value of JSON is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def to_json(value: object) -> str:
    """Readable JSON; paths and numpy scalars become plain values."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain)


def from_json(text: str | bytes) -> Any:
    """The value of JSON text.

    Raises:
        ValueError: if it is none, or lists lie too deep in each other.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("JSON with too many brackets in each other") from None


def _plain(value: object) -> object:
    item = getattr(value, "tolist", None)
    return item() if item else str(value)
