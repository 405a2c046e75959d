"""Made-up feature files: what they say about themselves, and columns that fit together."""

from pathlib import Path
from typing import Any

import numpy as np
from frostgrid.featurize.file.checksums import SHORT_COLUMNS, checksums, row_crc32
from frostgrid.featurize.file.layout import DONE, FAILED, columns_of
from frostgrid.featurize.file.structure import read_user_block
from frostgrid.featurize.file.writer import RowWriter, create_file

PROVENANCE = {
    "format": "frostgrid-features",
    "version": 1,
    "backbone": "resnet18",
    "weights": "w.pth",
    "weights_sha256": "0" * 64,
    "layer": "layer4",
    "image_size": 448,
    "crop": "squash",
    "channels": 8,
    "dtype": "float16",
}


def complete(
    values: dict[str, np.ndarray], image_id: np.ndarray, status: np.ndarray
) -> dict[str, np.ndarray]:
    """The columns with those that they lack: zeros, and the checksum of each row."""
    n = len(status)
    rest = {name: np.zeros(n, np.int64) for name in SHORT_COLUMNS if name not in values}
    values = {"error": np.zeros(n, "S160")} | rest | values | {"status": status}
    values["row_crc32"] = row_crc32(values | {"image_id": image_id})
    return {name: column for name, column in values.items() if name != "image_id"}


def write_file(path: Path, n_images: int, failed: int | None = None, **changes: Any) -> None:
    """A finished file of random values, every checksum right; the row ``failed`` did."""
    provenance = {**PROVENANCE, **changes}
    ids = np.arange(100, 100 + n_images)
    create_file(path, provenance, ids, [f"ü {i}.png" for i in ids])
    rng = np.random.default_rng(n_images)
    values = {
        column.name: (rng.random((n_images, *column.row_shape)) * 50).astype(column.dtype)
        for column in columns_of(provenance)
        if column.name in ("grid", "pooled", "scale")
    }
    status, error = np.full(n_images, DONE, np.uint8), np.zeros(n_images, "S160")
    if failed is not None:
        status[failed], error[failed] = FAILED, b"is no image"
    values = complete(values | checksums(values) | {"error": error}, ids, status)
    with RowWriter(path) as writer:
        for name, column in values.items():
            writer.write(name, np.arange(n_images), column)


def make_old(path: Path) -> None:
    """Turn a file into one from before there was a user block."""
    data = path.read_bytes()
    path.write_bytes(data[read_user_block(path).hdf5_offset :])
