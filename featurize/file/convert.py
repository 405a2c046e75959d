"""Converts a feature file to another layout or dtype, row by row, checking each row."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...atomic import atomic_write
from ...errors import InputError
from .archive import ArchiveWriter, compression, create_archive
from .background_writer import checksums
from .layout import DONE, columns_of
from .quantize import dequantize, quantize
from .reader import open_features, open_hdf5, read_provenance
from .writer import RowWriter, check_name, check_space, create_file, needed_bytes

ROWS_AT_ONCE = 64
LAYOUTS = ("plain", "archive")

Columns = dict[str, NDArray[Any]]


def convert_file(
    source: Path, out: Path, dtype: str | None, layout: str, report: Callable[[int], object]
) -> None:
    """Write the features of ``source`` (plain, joined or archived) to a new file, atomically.

    ``plain`` is what heads train from; ``archive`` is compressed, to store or send, and must be
    converted back before training. ``dtype`` None keeps the source's; ``report`` gets the number of
    rows after each write. Raises ``InputError`` if a row of the source is damaged, if a value does
    not fit the new dtype, or if ``out`` exists.
    """
    check_name(out)
    with open_hdf5(source) as file:
        if "parts" in file.attrs:
            open_features(source)  # raises if a part is missing, which HDF5 does not
        if file["grid"].chunks is not None:
            compression()  # registers the filter that reads them
        after = dtype or str(file.attrs["dtype"])
        n_images, n_cells, n_channels = file["grid"].shape
        check_space(out, needed_bytes(n_images, n_channels, after, n_cells))
        with atomic_write(out) as part, create_target(file, part, after, layout) as target:
            for rows, values in read_rows(file):
                done = values["status"] == DONE
                check_rows(source, rows, values, done)
                if after != file.attrs["dtype"]:
                    change_dtype(source, values, after, done)
                for name, column in values.items():
                    target.write(name, rows, column)
                report(len(rows))
            target.sync()


def create_target(
    source: h5py.File, path: Path, dtype: str, layout: str
) -> AbstractContextManager[RowWriter | ArchiveWriter]:
    """A new file of the layout with the source's attributes and images, open for writing."""
    provenance = {**read_provenance(source), "dtype": dtype}
    provenance.pop("parts", None)
    ids = source["image_id"][:]
    names = [name.decode() for name in source["file_name"][:]]
    if layout == "archive":
        create_archive(path, provenance, ids, names)
        return ArchiveWriter(path)
    create_file(path, provenance, ids, names)
    return RowWriter(path)


def read_rows(file: h5py.File) -> Iterator[tuple[NDArray[np.int64], Columns]]:
    """All columns but ``image_id``, some consecutive rows at a time."""
    table = columns_of(file.attrs)
    names = [column.name for column in table if column.name != "image_id"]
    n_images = file["grid"].shape[0]
    for first in range(0, n_images, ROWS_AT_ONCE):
        rows = np.arange(first, min(first + ROWS_AT_ONCE, n_images), dtype=np.int64)
        yield rows, {name: file[name][first : first + ROWS_AT_ONCE] for name in names}


def check_rows(
    source: Path, rows: NDArray[np.int64], values: Columns, done: NDArray[np.bool_]
) -> None:
    """Raise ``InputError`` naming a finished row that does not match its checksums."""
    found = checksums(values)
    wrong = done & (found["crc32"] != values["crc32"])
    wrong |= done & (found["pooled_crc32"] != values["pooled_crc32"])
    if wrong.any():
        raise InputError(
            f"{source}: row {rows[wrong][0]} is damaged; run `featurize` with --repair first."
        )


def change_dtype(source: Path, values: Columns, dtype: str, done: NDArray[np.bool_]) -> None:
    """Convert the columns, in place, to another dtype, with new checksums."""
    grid = values["grid"]
    if "scale" in values:
        grid = dequantize(grid, values.pop("scale"))
    with np.errstate(over="ignore"):
        values["pooled"] = values["pooled"].astype(np.float32 if dtype == "float32" else np.float16)
        if dtype == "uint8":
            values["grid"], values["scale"] = quantize(grid)
        else:
            values["grid"] = grid.astype(dtype)
    kept = values.keys() & {"grid", "pooled", "scale"}
    if not all(np.isfinite(values[name]).all() for name in kept):
        raise InputError(f"{source}: holds values too large for {dtype}; keep float32.")
    values |= {name: np.where(done, new, 0) for name, new in checksums(values).items()}
