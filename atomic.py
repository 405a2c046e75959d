"""Atomic writes: a file appears under its name only once it is complete."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: Path, alone: bool = False) -> Iterator[Path]:
    """Yield a hidden path beside ``path`` to write to; on success the file is renamed to ``path``.

    On any exception the unfinished file is removed and an existing ``path`` stays as it was. With
    ``alone`` (nobody else writes this file at the same time) the hidden name is always the same, so
    that what a killed process left behind is overwritten.
    """
    suffix = "" if alone else f".{secrets.token_hex(4)}"
    part = path.with_name(f".{path.name}{suffix}.tmp")
    try:
        yield part
        sync(part)
        os.replace(part, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename == os.fspath(part):
            error.filename = os.fspath(path)  # the name that the user knows
        with suppress(OSError):
            part.unlink()
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: under its name is either the old content or the new."""
    with atomic_write(path) as part:
        part.write_bytes(data)


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to the disk, so that they survive a power cut.

    Windows can flush only what is open for writing, and no folder at all.
    """
    on_windows = os.name == "nt"
    if on_windows and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if on_windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
