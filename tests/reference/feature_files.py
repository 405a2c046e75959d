"""Made-up feature files: what they say about themselves, and columns that fit together."""

import numpy as np
from frostgrid.featurize.file.checksums import SHORT_COLUMNS, row_crc32

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
