"""Converts a feature file to another layout or dtype, row by row, checking each row."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import atomic_write
from ...errors import InputError
from .archive import ArchiveWriter, create_archive, open_archive
from .checksums import checksums, row_crc32
from .layout import DONE
from .opening import read_structure
from .quantize import dequantize, quantize
from .reader import FeatureFile
from .structure import Structure
from .writer import RowWriter, check_name, check_space, create_file, needed_bytes

ROWS_AT_ONCE = 64

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
    structure = read_structure(source)
    before = structure.attributes["dtype"]
    after = dtype or before
    n_images, n_cells, n_channels = structure.columns["grid"].shape
    check_space(out, needed_bytes(n_images, n_channels, after, n_cells))
    with (
        open_columns(source, structure) as columns,
        atomic_write(out) as part,
        create_target(structure, columns["image_id"], part, after, layout) as target,
    ):
        for rows, values in read_blocks(source, columns, n_images):
            done = values["status"] == DONE
            check_rows(source, rows, values, done)
            if after != before:
                change_dtype(source, values, after, done)
            values["row_crc32"] = row_crc32(values)
            for name, column in values.items():
                if name not in ("image_id", "damaged"):
                    target.write(name, rows, column)
            report(len(rows))
        target.sync()


def open_columns(
    source: Path, structure: Structure
) -> AbstractContextManager[Mapping[str, NDArray[Any]]]:
    """The columns of a file of any layout, each to be sliced."""
    if structure.layout == "archive":
        return open_archive(source, structure)
    return nullcontext(FeatureFile(source, structure).columns)


def create_target(
    structure: Structure, image_ids: NDArray[np.int64], path: Path, dtype: str, layout: str
) -> AbstractContextManager[RowWriter | ArchiveWriter]:
    """A new file of the layout with the source's attributes and images, open for writing."""
    provenance = {**structure.attributes, "dtype": dtype}
    provenance.pop("parts", None)
    if layout == "archive":
        create_archive(path, provenance, image_ids, structure.file_name)
        return ArchiveWriter(path)
    create_file(path, provenance, image_ids, structure.file_name)
    return RowWriter(path)


def read_blocks(
    source: Path, columns: Mapping[str, NDArray[Any]], n_images: int
) -> Iterator[tuple[NDArray[np.int64], Columns]]:
    """All columns, some consecutive rows at a time."""
    for first in range(0, n_images, ROWS_AT_ONCE):
        rows = np.arange(first, min(first + ROWS_AT_ONCE, n_images), dtype=np.int64)
        try:
            values = {name: column[first : first + len(rows)] for name, column in columns.items()}
        except (OSError, RuntimeError, ValueError) as error:  # an archive's chunk is damaged
            raise InputError(
                f"{source}: rows {first}–{rows[-1]} cannot be read ({error}); fetch the file again."
            ) from error
        yield rows, values


def check_rows(
    source: Path, rows: NDArray[np.int64], values: Columns, done: NDArray[np.bool_]
) -> None:
    """Raise ``InputError`` naming a finished row that does not match its checksums."""
    found = checksums(values)
    wrong = values["damaged"] | (done & (found["crc32"] != values["crc32"]))
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
