"""The columns of a feature file as arrays: mapped, read and checked, or joined of several files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .checksums import row_crc32
from .layout import FAILED, TO_DO, columns_of
from .structure import Structure

FEATURES = ("grid", "scale", "pooled")
LONG = (*FEATURES, "error")


def map_column(path: Path, structure: Structure, name: str) -> NDArray[Any]:
    """The column as a read-only memory map [N, …] that needs no HDF5 call to read.

    Raises ``InputError`` if it is not contiguous.
    """
    stored = structure.columns[name]
    if not stored.n_bytes:  # what is empty cannot be mapped
        return np.zeros(stored.shape, stored.dtype)
    if stored.offset is None:
        raise InputError(
            f"{path}: its dataset '{name}' is chunked or virtual, so it has no single offset in "
            "the file; make a plain copy with `frostgrid convert`."
        )
    dtype = np.dtype(stored.dtype)
    return np.memmap(path, dtype, mode="r", offset=stored.offset, shape=stored.shape)


def read_rows(path: Path, structure: Structure) -> dict[str, NDArray[Any]]:
    """The columns of a file that is not joined: the long ones mapped, the short ones read.

    An archive's features are left out. ``damaged`` is added: whether a row's short columns do not
    match their checksum. Such a row is to do, whatever its status in the file.
    """
    # The status comes first: a process that is filling the file writes it last.
    rows = {"status": np.array(map_column(path, structure, "status"))}
    names = {column.name for column in columns_of(structure.attributes)} & set(structure.columns)
    for name in names - {"status"} - (set(FEATURES) if structure.layout == "archive" else set()):
        column = map_column(path, structure, name)
        rows[name] = column if name in LONG else np.array(column)
    status = rows["status"]
    wrong = status > FAILED
    if "row_crc32" in rows:
        wrong |= (status != TO_DO) & (row_crc32(rows) != rows["row_crc32"])
    status[wrong] = TO_DO
    return rows | {"damaged": wrong}


def check_distinct(
    path: Path, image_ids: NDArray[np.int64], file_names: list[str]
) -> NDArray[np.int64]:
    """The rows in the order of their image ids; raises ``InputError`` if one id stands twice."""
    order = np.argsort(image_ids, kind="stable")
    ids = image_ids[order]
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    if len(twice):
        first, second = order[twice[0] : twice[0] + 2].tolist()
        raise InputError(
            f"{path}: rows {first} ({file_names[first]}) and {second} ({file_names[second]}) have "
            f"the same image id {image_ids[first]}, but an id must belong to one image; run "
            "`featurize` with --overwrite."
        )
    return order


class JoinedRows:
    """A column [N, …] of several files, indexed like one array: by a number, a slice or an array.

    Each part stays its own memory map; indexing copies the rows.
    """

    def __init__(self, parts: list[NDArray[Any]]) -> None:
        self.parts = parts
        self.starts = np.cumsum([0] + [len(part) for part in parts])
        self.shape = (int(self.starts[-1]), *parts[0].shape[1:])
        self.dtype = parts[0].dtype

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        asked = np.arange(len(self))[rows]
        flat = np.atleast_1d(asked).ravel()
        out = np.empty((len(flat), *self.shape[1:]), self.dtype)
        owner = np.searchsorted(self.starts, flat, side="right") - 1
        for number, part in enumerate(self.parts):
            mine = np.flatnonzero(owner == number)
            out[mine] = part[flat[mine] - self.starts[number]]
        return out.reshape(np.shape(asked) + self.shape[1:])
