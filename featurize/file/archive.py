"""The archive layout: the same columns, compressed image by image, to store or send."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .layout import columns_of, create_column, write_head

BIG = ("grid", "pooled", "scale")


def compression() -> Mapping[str, Any]:
    """Blosc2 with zstd behind bit shuffling; raises ``InputError`` if hdf5plugin is missing."""
    try:
        import hdf5plugin
    except ImportError as error:
        raise InputError(
            "The archive layout needs the package hdf5plugin; run pip install hdf5plugin."
        ) from error
    filters: Mapping[str, Any] = hdf5plugin.Blosc2(
        cname="zstd", clevel=5, filters=hdf5plugin.Blosc2.BITSHUFFLE
    )
    return filters


def create_archive(
    path: Path, provenance: Mapping[str, Any], image_ids: NDArray[np.int64], file_names: list[str]
) -> None:
    """Create an archive with no rows filled."""
    n_images = len(file_names)
    with h5py.File(path, "w") as file:
        write_head(file, provenance, file_names)
        for column in columns_of(provenance):
            if column.name not in BIG or not n_images:
                create_column(file, column, n_images)
                continue
            file.create_dataset(
                column.name,
                (n_images, *column.row_shape),
                column.dtype,
                chunks=(1 if column.name == "grid" else min(n_images, 64), *column.row_shape),
                **compression(),
            )
        if n_images:
            file["image_id"][:] = image_ids


class ArchiveWriter:
    """Writes rows of an archive, with the interface of ``RowWriter``."""

    def __init__(self, path: Path) -> None:
        compression()  # registers the filter
        self._file = h5py.File(path, "r+")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def write(self, name: str, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Write ``values[i]`` into row ``rows[i]`` of a column; ``rows`` are consecutive."""
        self._file[name][rows[0] : rows[-1] + 1] = values

    def sync(self) -> None:
        """Pass everything written to the operating system."""
        self._file.flush()
