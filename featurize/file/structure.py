"""A feature file's structure in front of its HDF5 part, where reading it needs no HDF5 library.

An HDF5 library trusts what it reads: one wrong bit in a B-tree can keep it busy forever. So the
file's first bytes, HDF5's user block, repeat all that a reader needs as JSON, with a checksum of
the JSON and one of every byte of the HDF5 part that never changes once the file is created.
"""

import struct
import zlib
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from ...errors import InputError

SIGNATURE = b"\x89frostgrid\r\n\x1a\n\0\0"
# Signature, length of the JSON, its crc32; then, of these three, a crc32.
HEAD = struct.Struct("<16sQI")
HEAD_CRC32 = struct.Struct("<I")
HEAD_BYTES = HEAD.size + HEAD_CRC32.size
# For the JSON beside the attributes and file names: the column table takes about 1 KB.
TABLE_BYTES = 4096
READ_BYTES = 1 << 20
MOST_JSON_BYTES = 1 << 30  # 120,000 images take 5 MB


class StoredColumn(msgspec.Struct, frozen=True):
    """Where a column lies: ``offset`` in bytes, None for a chunked or virtual dataset."""

    offset: int | None
    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        np.dtype(self.dtype)  # raises TypeError if it is none
        if min(self.offset or 0, *self.shape, 0) < 0:
            raise ValueError(f"offset {self.offset} and shape {self.shape} must not be negative")

    @property
    def n_bytes(self) -> int:
        """The size of the column."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


class Structure(msgspec.Struct, frozen=True):
    """All of a feature file but its rows.

    Attributes:
        attributes: the HDF5 attributes.
        file_name: the images' paths.
        columns: the other datasets, by name.
        hdf5_offset: where the HDF5 part begins: the size of the user block.
        file_bytes: the size of the file.
        image_id_crc32: of the column ``image_id``; None for a file without a user block.
        fixed_crc32: of the HDF5 part without the columns that are filled later; None likewise.
    """

    attributes: dict[str, Any]
    file_name: list[str]
    columns: dict[str, StoredColumn]
    hdf5_offset: int
    file_bytes: int
    image_id_crc32: int | None = None
    fixed_crc32: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.hdf5_offset <= self.file_bytes:
            raise ValueError(f"the HDF5 part must begin in the file, not at {self.hdf5_offset}")

    @property
    def layout(self) -> str:
        """plain, archive or joined."""
        if "parts" in self.attributes:
            return "joined"
        grid = self.columns.get("grid")
        return "archive" if grid and grid.offset is None and prod(grid.shape) else "plain"


def user_block_bytes(attributes: dict[str, Any], file_names: list[str]) -> int:
    """The size of a user block that holds these: a power of two, as HDF5 wants it."""
    n_bytes = len(msgspec.json.encode([attributes, file_names])) + TABLE_BYTES
    return 1 << (n_bytes - 1).bit_length()


def write_user_block(path: Path, structure: Structure) -> None:
    """Write the structure in front of the HDF5 part, with its checksums."""
    fixed = fixed_crc32(path, structure)
    data = msgspec.json.encode(msgspec.structs.replace(structure, fixed_crc32=fixed))
    head = HEAD.pack(SIGNATURE, len(data), zlib.crc32(data))
    block = head + HEAD_CRC32.pack(zlib.crc32(head)) + data
    if len(block) > structure.hdf5_offset:
        raise ValueError(f"{path}: {len(block)} bytes exceed a block of {structure.hdf5_offset}.")
    with path.open("r+b") as file:
        file.write(block)


def read_user_block(path: Path) -> Structure:
    """The structure of a file that begins with ``SIGNATURE``.

    Raises ``InputError`` if it is damaged or the file is shorter than it was.
    """
    file_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES:
            raise cut_off(path, file_bytes, HEAD_BYTES)
        if zlib.crc32(head[: HEAD.size]) != HEAD_CRC32.unpack(head[HEAD.size :])[0]:
            raise damaged(path)
        _, n_bytes, crc32 = HEAD.unpack(head[: HEAD.size])
        if n_bytes > MOST_JSON_BYTES:
            raise InputError(f"{path}: its description claims {n_bytes} bytes; fetch it again.")
        if HEAD_BYTES + n_bytes > file_bytes:
            raise cut_off(path, file_bytes, HEAD_BYTES + n_bytes)
        data = file.read(n_bytes)
    if zlib.crc32(data) != crc32:
        raise damaged(path)
    try:
        structure = msgspec.json.decode(data, type=Structure)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: its description is not that of a feature file: {error}; fetch it again."
        ) from None
    if structure.file_bytes > file_bytes:
        raise cut_off(path, file_bytes, structure.file_bytes)
    return structure


def check_fixed_bytes(path: Path, structure: Structure) -> None:
    """Raise ``InputError`` if a byte that never changes is not as it was written."""
    if fixed_crc32(path, structure) != structure.fixed_crc32:
        raise damaged(path)


def fixed_crc32(path: Path, structure: Structure) -> int:
    """The checksum of the HDF5 part without the columns that are filled later.

    An archive and a joined file are written at once, so all of their bytes count.
    """
    filled = []
    if structure.layout == "plain":
        filled = [c for name, c in structure.columns.items() if name != "image_id"]
    ranges = [(c.offset, c.offset + c.n_bytes) for c in filled if c.offset is not None]
    crc32, position = 0, structure.hdf5_offset
    with path.open("rb") as file:
        for start, stop in [*sorted(ranges), (structure.file_bytes, structure.file_bytes)]:
            crc32 = range_crc32(file, position, start, crc32)
            position = max(position, stop)
    return crc32


def range_crc32(file: BinaryIO, start: int, stop: int, crc32: int) -> int:
    """``crc32`` continued over the bytes from ``start`` to ``stop`` of a file."""
    file.seek(start)
    while start < stop and (data := file.read(min(READ_BYTES, stop - start))):
        crc32 = zlib.crc32(data, crc32)
        start += len(data)
    return crc32


def damaged(path: Path) -> InputError:
    """What a file is refused with whose structure is not as it was written."""
    return InputError(
        f"{path}: its structure does not match its checksum: a byte outside the rows was damaged, "
        "or changed by another program; fetch the file again or run `featurize` with --overwrite."
    )


def cut_off(path: Path, n_bytes: int, expected: int) -> InputError:
    """What a file is refused with that is shorter than it should be."""
    return InputError(
        f"{path}: is cut off ({n_bytes} bytes, expected {expected}); fetch it again or run "
        "`featurize` with --overwrite."
    )
