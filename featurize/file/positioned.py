"""Reading, writing and flushing at an offset, also where the system lacks the calls for it.

Linux has them all; macOS has no ``fdatasync``, and Windows has none of them.
"""

import os
import threading
from pathlib import Path

_seeking = threading.Lock()  # moving a descriptor and using it are two steps


def open_binary(path: Path, flags: int) -> int:
    """A descriptor whose bytes are never translated, as Windows does with ends of lines."""
    return os.open(path, flags | getattr(os, "O_BINARY", 0))


def read_at(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Fill the buffer from an offset on; returns how many bytes there were, at most all."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [buffer], offset)
    with _seeking:
        os.lseek(descriptor, offset, os.SEEK_SET)
        data = os.read(descriptor, len(buffer))
    buffer[: len(data)] = data
    return len(data)


def write_at(descriptor: int, data: memoryview, offset: int) -> int:
    """Write at an offset; returns how many bytes were written."""
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, data, offset)
    with _seeking:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.write(descriptor, data)


def flush(descriptor: int) -> None:
    """Wait until what was written is on the disk."""
    getattr(os, "fdatasync", os.fsync)(descriptor)
