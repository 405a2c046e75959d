"""The bytes of a file that does not change while it is read, unpacked within bounds."""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError

# Several times the largest official file; a small archive can hold far more, and fill the memory.
MOST_UNPACKED_BYTES = 2 << 30
CHUNK_BYTES = 1 << 20


@contextmanager
def open_unchanged(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be read from start to end, unbuffered.

    Raises ``InputError`` at the end if somebody wrote to a regular file meanwhile: what was read
    may be half old, half new. A file that takes its name meanwhile is another file, and no matter.
    """
    with path.open("rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        yield file
        after = os.fstat(file.fileno())
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if stat.S_ISREG(before.st_mode) and not same:
        raise changed(path)


def changed(path: Path) -> InputError:
    """The error for a file that is written while it is read."""
    return InputError(
        f"{path}: changed while it was being read; run again when nothing writes to it."
    )


def read_whole(path: Path) -> bytes:
    """The file's bytes. Raises ``InputError`` if they change meanwhile."""
    with open_unchanged(path) as file:
        return file.read()


def gunzip(path: Path, data: bytes) -> bytes:
    """The content of a gzip file. Raises ``InputError`` if it is damaged or too much."""
    content = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while chunk := file.read(CHUNK_BYTES):
                if content.tell() + len(chunk) > MOST_UNPACKED_BYTES:
                    raise too_much(path, data)
                content.write(chunk)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: a damaged or incomplete gzip file ({error}); fetch or write it again."
        ) from error
    except MemoryError as error:
        raise too_much(path, data) from error
    return content.getvalue()


def too_much(path: Path, data: bytes) -> InputError:
    """The error for an archive that holds too much."""
    return InputError(
        f"{path}: a gzip file of {len(data):,} bytes whose content takes more than "
        f"{MOST_UNPACKED_BYTES:,} bytes or than there is memory; expected annotations, captions or "
        "results, so fetch or write it again, or unpack it first."
    )
