"""Reads every row again and compares it with its checksums."""

import errno
import os
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images import ImageError, read_image_file
from .checksums import checksums
from .layout import DONE, FAILED, TO_DO
from .positioned import open_binary, read_at
from .reader import FeatureFile

ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Verdict:
    """The result: how many rows are done, and which are damaged, failed or to do."""

    n_done: int
    damaged: list[int]
    failed: list[int]
    to_do: list[int]

    @property
    def is_sound(self) -> bool:
        """Whether the file is finished and no row is damaged; failed images do not count."""
        return not self.damaged and not self.to_do


def verify(file: FeatureFile, report: Callable[[int], object]) -> Verdict:
    """Compare the checksums of all finished rows; ``report`` gets the number of rows read."""
    damaged: list[int] = np.flatnonzero(file.damaged).tolist()
    done = np.flatnonzero(file.status == DONE)
    with closing(ColumnReader(file)) as reader:
        for first in range(0, len(done), ROWS_AT_ONCE):
            rows = done[first : first + ROWS_AT_ONCE]
            found = checksums({name: reader.read(name, rows) for name in reader.names})
            wrong = found["crc32"] != file.crc32[rows]
            wrong |= found["pooled_crc32"] != file.pooled_crc32[rows]
            damaged += rows[wrong].tolist()
            report(len(rows))
    return Verdict(
        n_done=len(done),
        damaged=sorted(damaged),
        failed=np.flatnonzero(file.status == FAILED).tolist(),
        to_do=np.flatnonzero((file.status == TO_DO) & ~file.damaged).tolist(),
    )


class ColumnReader:
    """Reads rows by ``pread``: a failing disk raises ``OSError``, a memory map dies of SIGBUS."""

    def __init__(self, file: FeatureFile) -> None:
        self.names = ["grid", "pooled"] + (["scale"] if file.scale is not None else [])
        self._columns: dict[str, tuple[int, NDArray[Any]]] = {}
        for name in self.names:
            self._columns[name] = (file.structure.columns[name].offset or 0, getattr(file, name))
        self._path = file.path
        self._descriptor = open_binary(file.path, os.O_RDONLY)

    def read(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Rows of a column, ascending."""
        offset, mapped = self._columns[name]
        out = np.empty((len(rows), *mapped.shape[1:]), mapped.dtype)
        row_bytes = out[0].nbytes
        for row, buffer in zip(rows, out, strict=True):
            self._fill(buffer, offset + int(row) * row_bytes)
        return out

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _fill(self, buffer: NDArray[Any], offset: int) -> None:
        left = buffer.data.cast("B")
        while left:
            n_bytes = read_at(self._descriptor, left, offset)
            if not n_bytes:
                raise OSError(errno.EIO, "the file ends too early", str(self._path))
            left, offset = left[n_bytes:], offset + n_bytes


def image_changed(path: Path, n_bytes: int, crc32: int) -> bool:
    """Whether an image file differs from the one that was read when its row was written.

    A missing file counts as unchanged, since its row can no longer be computed anew.
    """
    try:
        data = read_image_file(path)
    except OSError:
        return False
    except ImageError:  # a pipe, say
        return True
    return len(data) != n_bytes or zlib.crc32(data) != crc32
