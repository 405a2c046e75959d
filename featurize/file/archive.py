"""The archive layout: the same columns, compressed image by image, to store or send."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .hdf5 import create_column, new_hdf5, seal
from .layout import columns_of
from .rows import FEATURES, read_rows
from .structure import Structure, check_fixed_bytes


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
    with new_hdf5(path, provenance, file_names) as file:
        for column in columns_of(provenance):
            if column.name not in FEATURES or not n_images:
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


@contextmanager
def open_archive(path: Path, structure: Structure) -> Iterator[dict[str, Any]]:
    """An archive's columns by name, each to be sliced; raises ``InputError`` if it is damaged."""
    compression()  # registers the filter
    if structure.fixed_crc32 is not None:
        check_fixed_bytes(path, structure)
    rows = read_rows(path, structure)
    with h5py.File(path) as file:
        yield rows | {name: file[name] for name in FEATURES if name in file}


class ArchiveWriter:
    """Writes rows of an archive, with the interface of ``RowWriter``."""

    def __init__(self, path: Path) -> None:
        compression()  # registers the filter
        self._path = path
        self._file = h5py.File(path, "r+")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *raised: object) -> None:
        self._file.close()
        if kind is None:
            seal(self._path)

    def write(self, name: str, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Write ``values[i]`` into row ``rows[i]`` of a column; ``rows`` are consecutive."""
        dataset = self._file[name]
        values = np.ascontiguousarray(values)
        if name == "error":
            values = values.view(dataset.dtype)  # HDF5 tells text from bytes
        dataset[rows[0] : rows[-1] + 1] = values

    def sync(self) -> None:
        """Pass everything written to the operating system."""
        self._file.flush()
