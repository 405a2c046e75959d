"""The feature file's layout as one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

FORMAT = "frostgrid-features"
VERSION = 1
GRID = (14, 14)
N_CELLS = GRID[0] * GRID[1]
ERROR_BYTES = 160

IMPORTED = "imported"  # the backbone of features that others extracted
TO_DO, DONE, FAILED = 0, 1, 2
ABSENT = 255  # in no file: the status of an image that has no row

# The attributes that a trained head depends on, beside the grid's shape.
IDENTITY = (
    "backbone",
    "weights",
    "weights_sha256",
    "image_size",
    "layer",
    "crop",
    "channels",
    "dtype",
)
PLAIN, MIRRORED = "plain", "mirrored"  # the views of images
# What a file has that does not say otherwise: one made before this was recorded.
IDENTITY_BEFORE = {"decode": "cpu", "view": PLAIN}

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
        Column("row_crc32", (), np.dtype("<u4")),  # of the row's short columns; see ``checksums``
    ]
    if dtype == "uint8":
        # A cell's values are its bytes times its scale.
        table.insert(1, Column("scale", (n_cells,), GRID_DTYPES["float16"]))
    return table
