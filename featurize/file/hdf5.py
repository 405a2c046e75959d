"""What needs the HDF5 library: creating datasets, and describing a file that has no user block.

A damaged file can make the library fail in any way, or never return. So a file whose bytes are not
checked beforehand is described in a child process with limits.
"""

import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np

from ...errors import InputError
from .layout import ERROR_BYTES, Column
from .structure import StoredColumn, Structure, user_block_bytes, write_user_block

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
CPU_SECONDS = 10  # 120,000 images take 0.5
WALL_SECONDS = 120
MEMORY_BYTES = 8 << 30


def new_hdf5(
    path: Path, attributes: Mapping[str, Any], file_names: list[str], alignment: int = 1
) -> h5py.File:
    """A new HDF5 file with room for its user block, its attributes and file names written.

    Whatever is larger than ``alignment`` bytes begins at a multiple of it.
    """
    plain = {name: plain_value(value) for name, value in attributes.items()}
    file = h5py.File(
        path,
        "w",
        userblock_size=user_block_bytes(plain, file_names),
        alignment_threshold=alignment,
        alignment_interval=alignment,
    )
    for name, value in attributes.items():
        file.attrs[name] = value
    names = file.create_dataset("file_name", (len(file_names),), h5py.string_dtype("utf-8"))
    if file_names:
        names[:] = np.array([name.encode() for name in file_names], dtype=object)
    return file


def create_column(file: h5py.File, column: Column, n_images: int) -> None:
    """Create one column: contiguous, uncompressed, its offset in the file fixed at once."""
    shape = (n_images, *column.row_shape)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    # New blocks of a file read as zeros, which means TO_DO, so nothing needs to be written.
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    kind = h5py.h5t.py_create(hdf5_dtype(column), logical=True)
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, column.name.encode(), kind, space, dcpl=plist)


def hdf5_dtype(column: Column) -> np.dtype[Any]:
    """The column's type in HDF5, where bytes and text differ."""
    text: np.dtype[Any] = h5py.string_dtype("utf-8", ERROR_BYTES)
    return text if column.name == "error" else column.dtype


def seal(path: Path) -> None:
    """Write the user block of a file that is complete in its structure."""
    write_user_block(path, describe(path, trusted=True))


def plain_value(value: Any) -> Any:
    """An attribute as a plain Python value."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def describe(path: Path, trusted: bool) -> Structure:
    """The structure of an HDF5 file, as the library reads it.

    A file that is not ``trusted`` gets no checksum, and its chunk index is walked once, so that
    damage shows here.
    """
    with h5py.File(path) as file:
        datasets = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
        names = datasets.pop("file_name", None)
        image_ids = datasets["image_id"][:] if trusted else None
        if not trusted:
            for dataset in datasets.values():
                if dataset.chunks is not None:
                    dataset.id.chunk_iter(lambda chunk: None)
        return Structure(
            attributes={name: plain_value(value) for name, value in file.attrs.items()},
            file_name=[] if names is None else [name.decode() for name in names[:]],
            columns={name: describe_column(dataset) for name, dataset in datasets.items()},
            hdf5_offset=file.userblock_size,
            file_bytes=path.stat().st_size,
            image_id_crc32=None if image_ids is None else zlib.crc32(image_ids.tobytes()),
        )


def describe_column(dataset: h5py.Dataset) -> StoredColumn:
    """Where and what a dataset is."""
    # The offset counts from the start of the file, user block included.
    return StoredColumn(dataset.id.get_offset(), dataset.dtype.str, dataset.shape)


def describe_in_child(path: Path) -> Structure:
    """The structure of an unchecked file; raises ``InputError`` if it cannot be read."""
    code = "from frostgrid.featurize.file.hdf5 import serve; serve()"
    command = [sys.executable, "-P", "-c", code, str(path), str(CPU_SECONDS)]
    # NumPy's threads would take address space, which is limited.
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WALL_SECONDS, env=env
        )
        seconds = CPU_SECONDS if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL) else 0
    except subprocess.TimeoutExpired:
        seconds = WALL_SECONDS
    if seconds:
        raise unreadable(path, f"HDF5 did not come to an end with it in {seconds} s")
    if done.returncode < 0:
        raise unreadable(path, f"HDF5 died of it ({signal.Signals(-done.returncode).name})")
    if done.returncode > 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise unreadable(path, lines[-1] if lines else "HDF5 failed")
    try:
        return msgspec.json.decode(done.stdout, type=Structure)
    except msgspec.MsgspecError as error:
        raise unreadable(path, str(error)) from None


def serve() -> None:
    """What the child does: write the structure of a file to standard output as JSON."""
    import resource  # which Windows lacks

    path, cpu_seconds = Path(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        data = msgspec.json.encode(describe(path, trusted=False))
    except Exception as error:  # whatever a damaged file leads to
        print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
        sys.exit(1)
    sys.stdout.buffer.write(data)


def unreadable(path: Path, reason: str) -> InputError:
    """What a file is refused with that HDF5 cannot read."""
    return InputError(
        f"{path}: cannot be opened as a feature file: {reason}; if it is cut off or damaged, fetch "
        "it again or run `featurize` with --overwrite."
    )
