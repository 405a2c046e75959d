"""Writes others' features into a feature file, some images at a time, checked and as a whole."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ....atomic import atomic_write
from ....errors import InputError
from ..checksums import checksums, row_crc32
from ..layout import DONE, ERROR_BYTES, FORMAT, IMPORTED, VERSION
from ..quantize import quantize
from ..writer import RowWriter, check_name, check_space, create_file, needed_bytes
from .cells import Shape
from .identify import Identified
from .source import Array, Source

ROWS_AT_ONCE = 32


@dataclass(frozen=True)
class ImportOptions:
    """What the user says of the features: the stored dtype, and what made them, "" if unknown."""

    dtype: str = "float16"
    made_by: str = ""


def import_features(
    source: Source,
    found: Identified,
    shape: Shape,
    out: Path,
    options: ImportOptions,
    report: Callable[[int], object] = lambda n: None,
) -> None:
    """Write the identified items to a new feature file, atomically.

    ``report`` gets the number of rows after each write. Raises ``InputError`` for values that are
    not finite or do not fit the dtype, or if ``out`` exists.
    """
    check_name(out)
    n_cells = shape.height * shape.width
    check_space(out, needed_bytes(len(found.index), shape.channels, options.dtype, n_cells))
    with atomic_write(out) as part:
        attributes = describe_import(source, found, shape, options)
        create_file(part, attributes, found.image_id, found.file_name)
        with RowWriter(part) as writer:
            for first in range(0, len(found.index), ROWS_AT_ONCE):
                rows = np.arange(first, min(first + ROWS_AT_ONCE, len(found.index)))
                for name, values in read_rows(source, found, shape, rows, options.dtype).items():
                    writer.write(name, rows, values)
                report(len(rows))
            writer.sync()


def read_rows(
    source: Source, found: Identified, shape: Shape, rows: Array, dtype: str
) -> dict[str, Array]:
    """All columns but ``image_id`` of these rows."""
    grids, means = [], []
    for row in rows.tolist():
        values = source.read(found.index[row])
        if not np.isfinite(values).all():
            raise InputError(
                f"{name_row(found, row)}: holds infinite or NaN features; extract them again."
            )
        own = values.reshape(-1, shape.channels)
        means.append(own.mean(0, dtype=np.float32))
        grids.append(shape.convert(values))
    columns = store(np.stack(grids), np.stack(means), dtype)
    kept = [columns[name] for name in ("grid", "pooled", "scale") if name in columns]
    finite = np.all([np.isfinite(c).all(tuple(range(1, c.ndim))) for c in kept], axis=0)
    if not finite.all():
        row = int(rows[~finite][0])
        raise InputError(
            f"{name_row(found, row)}: holds values too large for {dtype}; add --dtype float32."
        )
    n = len(rows)
    columns |= checksums(columns)
    columns |= {"image_id": found.image_id[rows], "status": np.full(n, DONE, np.uint8)}
    columns |= {"source_bytes": np.zeros(n, np.int64), "source_crc32": np.zeros(n, np.uint32)}
    columns["error"] = np.zeros(n, f"S{ERROR_BYTES}")
    columns["row_crc32"] = row_crc32(columns)
    del columns["image_id"]  # written when the file was created
    return columns


def store(grid: Array, mean: Array, dtype: str) -> dict[str, Array]:
    """The columns of the features in a dtype."""
    with np.errstate(over="ignore"):
        pooled = mean.astype(np.float32 if dtype == "float32" else np.float16)
        if dtype != "uint8":
            return {"grid": grid.astype(dtype), "pooled": pooled}
        cells, scale = quantize(grid.astype(np.float32))
        return {"grid": cells, "pooled": pooled, "scale": scale}


def name_row(found: Identified, row: int) -> str:
    """A row's image, for a message."""
    name = found.file_name[row]
    return f"image {found.image_id[row]}{f' ({name})' if name else ''}"


def describe_import(
    source: Source, found: Identified, shape: Shape, options: ImportOptions
) -> dict[str, Any]:
    """The HDF5 attributes: what is known of the features, and that the rest is not."""
    owner = found.owner
    made_by = options.made_by or "unknown"
    steps = [f"imported from {source.words}", *filter(None, [shape.words])]
    return {
        "format": FORMAT,
        "version": VERSION,
        "backbone": IMPORTED,
        "weights": made_by,
        "weights_sha256": "",
        "layer": source.kind,
        "image_size": 0,
        "crop": "unknown",
        "preprocessing": "; ".join(steps),
        "cells": "grid" if shape.has_grid else "without a grid",
        "grid": [shape.height, shape.width],
        "channels": shape.channels,
        "dtype": options.dtype,
        "compute": "unknown",
        "data": owner.data,
        "split": owner.split,
        "shard": "",
        "images_digest": found.digest,
        "data_digest": owner.digest,
        "image_root": "",
        "versions": json.dumps({name: version(name) for name in ("frostgrid", "numpy", "h5py")}),
    }
