"""The checksums of rows, and the check of a row at its first use."""

import zlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .layout import FAILED, columns

if TYPE_CHECKING:
    from .reader import FeatureFile

# In this order; of a failed row ``error`` follows.
SHORT_COLUMNS = ("image_id", "status", "crc32", "pooled_crc32", "source_bytes", "source_crc32")
DTYPES = {column.name: column.dtype for column in columns(1, "float16")}


def checksums(values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.uint32]]:
    """The columns ``crc32`` and ``pooled_crc32`` of some rows (see ``layout``)."""
    return {
        "crc32": bytes_crc32(values["grid"]),
        "pooled_crc32": pooled_crc32(values["pooled"], values.get("scale")),
    }


def bytes_crc32(rows: Iterable[NDArray[Any]]) -> NDArray[np.uint32]:
    """Of the bytes of each row, the GIL released while a long one is read."""
    return np.array([zlib.crc32(np.ascontiguousarray(row).data) for row in rows], np.uint32)


def pooled_crc32(
    pooled: Iterable[NDArray[Any]], scale: Iterable[NDArray[Any]] | None
) -> NDArray[np.uint32]:
    """Of the bytes of each row of ``pooled`` [B, D], then of ``scale`` [B, S] if there is one."""
    found = bytes_crc32(pooled)
    if scale is None:
        return found
    pairs = zip(scale, found.tolist(), strict=True)
    return np.array([zlib.crc32(row.tobytes(), before) for row, before in pairs], np.uint32)


def row_crc32(values: Mapping[str, NDArray[Any]]) -> NDArray[np.uint32]:
    """The column ``row_crc32`` [N]: of each row's ``SHORT_COLUMNS`` and a failed row's error."""
    short = [values[name].astype(DTYPES[name]) for name in SHORT_COLUMNS]
    rows = np.concatenate([c[:, None].view(np.uint8) for c in short], axis=1)
    data, n_bytes = memoryview(rows.tobytes()), rows.shape[1]
    found = [zlib.crc32(data[i : i + n_bytes]) for i in range(0, len(data), n_bytes)]
    for row in np.flatnonzero(values["status"] == FAILED).tolist():
        found[row] = zlib.crc32(values["error"][row : row + 1].tobytes(), found[row])
    return np.array(found, np.uint32)


class RowChecker:
    """Compares a file's rows with their checksums at their first use in this process.

    ``kind`` is the column in use: ``grid`` (with its scale) or ``pooled``. Several threads may
    check at once; at worst a row is checked twice.
    """

    def __init__(self, file: "FeatureFile", kind: str) -> None:
        self._file = file
        self.kind = kind
        self._checked = np.zeros(file.n_images, bool)

    def unchecked(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the rows that are yet to be checked.

        Raises ``InputError`` if the file has been cut off since it was opened: touching its map
        would then end the process.
        """
        self._file.check_size()
        return rows[~self._checked[rows]]

    def check(self, rows: NDArray[np.int64]) -> None:
        """Raise ``InputError`` naming the first of the rows that does not match its checksum."""
        file, numbers = self._file, rows.tolist()
        wrong = np.zeros(len(rows), bool)
        if self.kind == "grid":
            grid = np.asarray(file.grid)  # a plain array's rows are had faster than a memmap's
            wrong |= bytes_crc32(grid[row] for row in numbers) != file.crc32[rows]
        if self.kind == "pooled" or file.scale is not None:
            scale = None if file.scale is None else file.scale[rows]
            wrong |= pooled_crc32(file.pooled[rows], scale) != file.pooled_crc32[rows]
        if wrong.any():
            row = int(rows[wrong][0])
            raise InputError(
                f"{file.path}: row {row} (image {file.image_id[row]}, {file.file_name[row]}) does "
                "not match its checksum; run `featurize` with --repair to compute it again."
            )
        self._checked[rows] = True
