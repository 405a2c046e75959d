"""The content of a JSON file, read once: what is hashed is what is parsed, by every process.

The file itself may be replaced, overwritten or cut off at any moment. So a long one is copied into
memory that has no name and that a second process can map; a short one is read at one go.
"""

import codecs
import hashlib
import mmap
import os
import stat
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import BinaryIO

from ...datasets.file_bytes import changed, open_unchanged
from ...datasets.formats import GZIP_MAGIC, ZIP_MAGIC, SourceFile, unpack

# From this size on, hashing the content and keeping what was parsed of it saves time.
LONG_BYTES = 16 << 20
# Much at a time: between reading and hashing, the interpreter may have to be waited for.
BUFFER_BYTES = 8 << 20
PACKED = (GZIP_MAGIC, ZIP_MAGIC, codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class FileCopy:
    """A JSON file's content, unpacked; it is read, and hashed if it is long, in the background.

    ``name`` is the path for messages. Where ``is_kept`` says of its size that all may be known from
    its hash, a file is not copied before its text is asked for. Errors of reading (``InputError``,
    ``OSError``) are raised by the methods. What was read before (``SourceFile``) is taken as it is.
    """

    def __init__(
        self,
        source: Path | SourceFile,
        is_kept: Callable[[int], bool] = lambda n_bytes: False,
        name: Path | None = None,
    ) -> None:
        self.path, text = (
            (source.path, source.data) if isinstance(source, SourceFile) else (source, None)
        )
        self.name = name or self.path
        self._is_kept = is_kept
        self._text: bytes | mmap.mmap | None = text
        self._file: BinaryIO | None = None
        self._digest = ""
        self._n_bytes = 0
        self._error: Exception | None = None
        self._thread = Thread(target=self._start, daemon=True)
        self._thread.start()

    def digest(self) -> tuple[str, int]:
        """The SHA-256 of the content, in hex, and its length in bytes; "" if it is short."""
        self._wait()
        return self._digest, self._n_bytes

    def text(self) -> bytes | mmap.mmap:
        """The content. Raises ``InputError`` if it is no longer what was hashed before."""
        self._wait()
        return self._load() if self._text is None else self._text

    def file(self) -> BinaryIO | None:
        """The copy of a long content as an open file, to be mapped by another process."""
        self.text()
        return self._file

    def release(self) -> None:
        """Give the memory of a long content back, until it is asked for again."""
        if self._file:
            self._file.close()
            self._text = self._file = None

    def _wait(self) -> None:
        self._thread.join()
        if self._error:
            raise self._error

    def _start(self) -> None:
        try:
            if self._text is None:
                self._load(hash_kept=True)
        except Exception as error:  # raised where the content is needed
            self._error = error

    def _load(self, hash_kept: bool = False) -> bytes | mmap.mmap:
        """Read the file, opened once; where ``hash_kept``, only hash what has a kept table."""
        data, copy = b"", None
        with open_unchanged(self.path) as source:
            n_bytes = long_size(source)
            if n_bytes:
                if not (hash_kept and self._is_kept(n_bytes)):
                    copy = self._new_file()
                digest = hash_content(source, copy)
            else:
                data = source.read()
        if not n_bytes:
            data = unpack(self.path, data)
            if len(data) < LONG_BYTES:
                self._text = data
                return data
            copy, n_bytes, digest = self._new_file(), len(data), hashlib.sha256(data).hexdigest()
            copy.write(data)
        if self._digest not in ("", digest):
            raise changed(self.path)
        self._digest, self._n_bytes = digest, n_bytes
        if copy is None:
            return b""
        copy.flush()
        self._text = mmap.mmap(copy.fileno(), 0, access=mmap.ACCESS_READ)
        self._file = copy
        return self._text

    def _new_file(self) -> BinaryIO:
        """A new file without a name, in memory where the system has such files."""
        if hasattr(os, "memfd_create"):
            file: BinaryIO = open(os.memfd_create("frostgrid"), "w+b")  # noqa: SIM115
        else:
            file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, file.close)
        return file


def long_size(file: BinaryIO) -> int:
    """The size of a long file of plain text; 0 for any other file."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode) or status.st_size < LONG_BYTES:
        return 0
    head = file.read(4)
    file.seek(0)
    return 0 if head.startswith(PACKED) else status.st_size


def hash_content(file: BinaryIO, copy: BinaryIO | None) -> str:
    """The SHA-256 of a file's content, in hex; the same bytes are written to the copy, if any.

    The file is not mapped: a mapped file that somebody cuts off ends the process.
    """
    digest, buffer = hashlib.sha256(), memoryview(bytearray(BUFFER_BYTES))
    while n_bytes := file.readinto(buffer):  # type: ignore[attr-defined]
        digest.update(buffer[:n_bytes])
        if copy:
            copy.write(buffer[:n_bytes])
    return digest.hexdigest()
