"""The feature file's layout as one table, and how a column is created and mapped."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

FORMAT = "frostgrid-features"
VERSION = 1
GRID = (14, 14)
N_CELLS = GRID[0] * GRID[1]
ERROR_BYTES = 160

TO_DO, DONE, FAILED = 0, 1, 2

GRID_DTYPES: dict[str, np.dtype[Any]] = {
    "float16": np.dtype("<f2"),
    "float32": np.dtype("<f4"),
    "uint8": np.dtype("u1"),
}


@dataclass(frozen=True)
class Column:
    """One dataset of the file: one row an image."""

    name: str
    row_shape: tuple[int, ...]
    dtype: np.dtype[Any]


def grid_of(provenance: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns of a file's grid, from its attributes."""
    height, width = provenance.get("grid", GRID)
    return int(height), int(width)


def name_grid(shape: tuple[int, int]) -> str:
    """A grid in words, as in ``14x14``."""
    return "{}x{}".format(*shape)


def columns_of(provenance: Mapping[str, Any]) -> list[Column]:
    """The columns of a file, from its attributes; see ``columns``."""
    height, width = grid_of(provenance)
    return columns(int(provenance["channels"]), str(provenance["dtype"]), height * width)


def columns(n_channels: int, dtype: str, n_cells: int = N_CELLS) -> list[Column]:
    """The columns that are reached by offset, for D channels, S cells and one of ``GRID_DTYPES``.

    ``file_name`` alone is not listed: its strings vary in length, so HDF5 stores them, and they
    never change once the file is created.
    """
    pooled = "float32" if dtype == "float32" else "float16"
    table = [
        Column("grid", (n_cells, n_channels), GRID_DTYPES[dtype]),
        Column("pooled", (n_channels,), GRID_DTYPES[pooled]),
        Column("image_id", (), np.dtype("<i8")),
        Column("status", (), np.dtype("u1")),
        Column("crc32", (), np.dtype("<u4")),  # of the grid row's bytes
        Column("pooled_crc32", (), np.dtype("<u4")),  # of the pooled row's bytes, then the scales'
        Column("source_bytes", (), np.dtype("<i8")),  # length of the image file that was read
        Column("source_crc32", (), np.dtype("<u4")),  # of the image file that was read
        Column("error", (), np.dtype(f"S{ERROR_BYTES}")),  # why an image failed, utf-8
    ]
    if dtype == "uint8":
        # A cell's values are its bytes times its scale.
        table.insert(1, Column("scale", (n_cells,), GRID_DTYPES["float16"]))
    return table


def write_head(file: h5py.File, provenance: Mapping[str, Any], file_names: list[str]) -> None:
    """Write the attributes and the images' file names."""
    for name, value in provenance.items():
        file.attrs[name] = value
    names = file.create_dataset("file_name", (len(file_names),), h5py.string_dtype("utf-8"))
    if file_names:
        names[:] = np.array([name.encode() for name in file_names], dtype=object)


def create_column(file: h5py.File, column: Column, n_images: int) -> None:
    """Create one column: contiguous, uncompressed, its offset in the file fixed at once."""
    shape = (n_images, *column.row_shape)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    # New blocks of a file read as zeros, which means TO_DO, so nothing needs to be written.
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    if column.name == "error":
        kind = h5py.h5t.py_create(h5py.string_dtype("utf-8", ERROR_BYTES), logical=True)
    else:
        kind = h5py.h5t.py_create(column.dtype, logical=True)
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, column.name.encode(), kind, space, dcpl=plist)


def column_offset(path: Path, file: h5py.File, name: str) -> int:
    """Where the column's bytes start in the file.

    Raises ``InputError`` if the column is missing, not contiguous, or reaches past the file's end.
    """
    if name not in file:
        raise InputError(f"{path}: has no dataset '{name}', so it is not a complete feature file.")
    dataset = file[name]
    offset = dataset.id.get_offset()
    if offset is None and dataset.size == 0:
        return 0
    if offset is None:
        raise InputError(
            f"{path}: its dataset '{name}' is chunked or virtual, so it has no single offset in "
            "the file; make a plain copy with `frostgrid convert`."
        )
    end = offset + dataset.size * dataset.dtype.itemsize
    size = path.stat().st_size
    if end > size:
        raise InputError(
            f"{path}: is cut off ({size} bytes, but '{name}' ends at byte {end}); "
            "fetch it again or run `featurize` with --overwrite."
        )
    return int(offset)


def map_column(path: Path, file: h5py.File, name: str) -> NDArray[Any]:
    """The column as a read-only memory map [N, …] that needs no HDF5 call to read."""
    offset = column_offset(path, file, name)
    dataset = file[name]
    if not dataset.size:  # what is empty cannot be mapped
        return np.zeros(dataset.shape, dataset.dtype)
    return np.memmap(path, dtype=dataset.dtype, mode="r", offset=offset, shape=dataset.shape)
