"""Creates a feature file and fills it: the HDF5 structure once, then rows by offset."""

import errno
import itertools
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...atomic import atomic_write, sync
from ...console import say_bytes
from ...errors import InputError
from .hdf5 import create_column, new_hdf5, seal
from .layout import N_CELLS, Column, columns, columns_of
from .opening import read_structure
from .positioned import flush, open_binary, write_at
from .rows import check_distinct, map_column

PAGE = 4096  # maps and direct reads of columns that begin at one are aligned
SLACK_BYTES = 16 << 20  # for HDF5's own structure and the file names


def needed_bytes(n_images: int, n_channels: int, dtype: str, n_cells: int = N_CELLS) -> int:
    """The size of a feature file without its file names and some KB of structure."""
    row = sum(
        int(np.prod(column.row_shape, dtype=np.int64)) * column.dtype.itemsize
        for column in columns(n_channels, dtype, n_cells)
    )
    return n_images * row


def check_name(path: Path) -> None:
    """Raise ``InputError`` unless a new file of this name can be created."""
    if path.exists():
        raise InputError(f"{path}: exists already; choose another name, or remove it first.")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: no such folder; create it first.")


def check_space(path: Path, n_bytes: int) -> None:
    """Raise ``InputError`` if the disk of ``path`` has less than ``n_bytes`` free."""
    free = shutil.disk_usage(path.parent).free
    if n_bytes + SLACK_BYTES > free:
        raise InputError(
            f"{path}: needs {say_bytes(n_bytes)}, its disk has {say_bytes(free)} free; free some "
            "space, write to another disk, or choose a smaller --dtype."
        )


def create_file(
    path: Path,
    provenance: Mapping[str, Any],
    image_ids: NDArray[np.int64],
    file_names: list[str],
    reserve: bool = True,
) -> None:
    """Create a feature file with its complete structure and no rows filled.

    The file appears under its name only once its structure is on the disk. Where the file system
    supports it, all blocks are reserved, so that the disk cannot fill up halfway; without
    ``reserve``, columns that are never written take no space. Raises ``InputError`` if two images
    have one id.
    """
    n_images = len(file_names)
    check_distinct(path, image_ids, file_names)
    try:
        with atomic_write(path) as part:
            with new_hdf5(part, provenance, file_names, PAGE) as file:
                for column in columns_of(provenance):
                    create_column(file, column, n_images)
                file["image_id"][:] = image_ids
            seal(part)
            if reserve:
                reserve_blocks(part)
        sync(path.parent)
    except OSError as error:
        raise explain_full_disk(path, error) from error


def reserve_blocks(path: Path) -> None:
    """Reserve all of the file's blocks, where the file system supports it."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        size = os.fstat(descriptor).st_size
        if hasattr(os, "posix_fallocate") and size:
            try:
                os.posix_fallocate(descriptor, 0, size)
            except OSError as error:
                # Without support, the free space was at least checked.
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
    finally:
        os.close(descriptor)


def explain_full_disk(path: Path, error: OSError) -> Exception:
    """An ``InputError`` that says how to continue if the disk is full, else the error itself."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error
    return InputError(
        f"{path}: cannot grow or be written ({error.strerror}); free some space and run the same "
        "command again: it goes on where it stopped."
    )


class RowWriter:
    """Writes rows of an existing feature file by offset, without HDF5.

    Several processes may write the same file at once as long as their rows differ. ``write`` only
    passes bytes to the operating system: a row's status must not be written before ``sync`` has put
    the rest of the row on the disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        structure = read_structure(path)
        self.n_images = len(structure.file_name)
        self.image_id: NDArray[np.int64] = np.array(map_column(path, structure, "image_id"))
        self._columns: dict[str, tuple[Column, int]] = {
            column.name: (column, structure.columns[column.name].offset or 0)
            for column in columns_of(structure.attributes)
            if column.name in structure.columns
        }
        self.grid_dtype = self._columns["grid"][0].dtype
        self.is_quantized = "scale" in self._columns
        self._descriptor = open_binary(path, os.O_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        os.close(self._descriptor)

    def write(self, name: str, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Write ``values[i]`` into row ``rows[i]`` of a column; ``rows`` ascending.

        The column ``row_crc32`` is left out in a file made before there was one.
        """
        if name == "row_crc32" and name not in self._columns:
            return
        column, offset = self._columns[name]
        values = np.ascontiguousarray(values, dtype=column.dtype)
        row_bytes = values[:1].nbytes
        # One call for each run of consecutive rows.
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for start, stop in itertools.pairwise([0, *breaks.tolist(), len(rows)]):
            if stop > start:
                self._write_at(offset + int(rows[start]) * row_bytes, values[start:stop])

    def sync(self) -> None:
        """Wait until all that was written is on the disk."""
        try:
            flush(self._descriptor)
        except OSError as error:
            raise explain_full_disk(self.path, error) from error

    def _write_at(self, offset: int, values: NDArray[Any]) -> None:
        data = values.data.cast("B") if values.nbytes else memoryview(b"")
        while data:
            try:
                written = write_at(self._descriptor, data, offset)
            except OSError as error:
                raise explain_full_disk(self.path, error) from error
            data, offset = data[written:], offset + written
