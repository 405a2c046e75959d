"""Files that take their names once they are whole: no reader ever finds half of one."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: Path, alone: bool = False) -> Iterator[Path]:
    """A hidden name beside ``path`` to write a file under; at the end the file takes ``path``.

    On any exception the half-written file goes, and what stood under the name stays as it was.
    With ``alone`` nobody else writes this file at the same time: what a killed process left is
    then written over, not left lying.
    """
    mark = "" if alone else f".{secrets.token_hex(4)}"
    part = path.with_name(f".{path.name}{mark}.tmp")
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
    """Write a file: under its name stands the old one or the new one, whole."""
    with atomic_write(path) as part:
        part.write_bytes(data)


def sync(path: Path) -> None:
    """Put a file, or a folder's entries, on the disk, so that they outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
