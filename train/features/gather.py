"""Rows of a memory map into a buffer, by several threads, and the hint that some will be needed."""

import mmap
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import InputError
from ...models.kernels.threads import even_pieces, run_pieces

# A second thread is not worth waking for less.
_SERIAL_BYTES = 1 << 20


def gather_rows(source: NDArray[Any], rows: NDArray[np.int64], out: Tensor | NDArray[Any]) -> None:
    """Copy rows of ``source`` (N, …), a memory map or array, to ``out`` (U, …), of the same dtype.

    ``out`` is contiguous memory to be used again and again, pinned for CUDA. Runs without the GIL
    on as many threads as PyTorch uses. Warm rows move as fast as a plain copy of as many bytes;
    rows that are not in the page cache are read as they are touched (see ``prefetch_rows``).

    Raises ``InputError`` for a row that is not there, ``ValueError`` for an ``out`` that does not
    fit.
    """
    target = out.numpy() if isinstance(out, Tensor) else out
    _check_rows(source, rows)
    shape = (len(rows), *source.shape[1:])
    if target.shape != shape or target.dtype != source.dtype or not target.flags.c_contiguous:
        raise ValueError(
            f"out is {target.dtype} {target.shape}; expected contiguous {source.dtype} {shape}."
        )
    if not source.flags.c_contiguous:
        target[...] = source[rows]
        return
    if not target.size:
        return
    bytes_in, bytes_out = _row_bytes(source), _row_bytes(target)
    n_threads = torch.get_num_threads() if target.nbytes > _SERIAL_BYTES else 1

    def copy(first: int, last: int) -> None:
        # Rows are checked above; with mode="raise" NumPy would copy to a buffer of its own first.
        np.take(bytes_in, rows[first:last], 0, bytes_out[first:last], mode="clip")

    run_pieces(copy, even_pieces(len(rows), n_threads), n_threads)


def prefetch_rows(source: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Ask the system to read these rows of a memory map into the page cache, and return at once.

    Does nothing for an array that is no map, and where the system takes no such hint. Raises
    ``InputError`` for a row that is not there.
    """
    _check_rows(source, rows)
    file_map = _map_of(source)
    if file_map is None or not len(rows) or not source.size or not hasattr(mmap, "MADV_WILLNEED"):
        return
    before = source.ctypes.data - np.frombuffer(file_map, np.uint8).ctypes.data
    for start, length in page_runs(rows, source.strides[0], before):
        file_map.madvise(mmap.MADV_WILLNEED, start, length)


def release_rows(source: NDArray[Any]) -> None:
    """Give back the memory that the rows of a map take in this process; the page cache keeps them.

    Else a process that has read a file of 100 GB once has 100 GB to its name until the system is
    short of memory. Does nothing for an array that is no map.
    """
    file_map = _map_of(source)
    if file_map is not None and hasattr(mmap, "MADV_DONTNEED"):
        file_map.madvise(mmap.MADV_DONTNEED)


def page_runs(
    rows: NDArray[np.int64], row_bytes: int, before: int, page_bytes: int = mmap.PAGESIZE
) -> list[tuple[int, int]]:
    """Where rows lie in a map: (start, length) in bytes, from the start of a page, adjacent as one.

    ``before`` is the number of the map's bytes before row 0.
    """
    rows = np.unique(rows)
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    starts = [before + int(run[0]) * row_bytes for run in runs if len(run)]
    ends = [before + (int(run[-1]) + 1) * row_bytes for run in runs if len(run)]
    starts = [start - start % page_bytes for start in starts]
    return [(start, end - start) for start, end in zip(starts, ends, strict=True)]


def _check_rows(source: NDArray[Any], rows: NDArray[np.int64]) -> None:
    wrong = rows[(rows < 0) | (rows >= len(source))]
    if len(wrong):
        raise InputError(
            f"Row {wrong[0]} is not in features of {len(source)} rows; expected 0 to "
            f"{len(source) - 1}: does the feature file belong to this data?"
        )


def _row_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """A contiguous array (N, …) as bytes (N, bytes a row).

    Bytes are aligned wherever the array begins; of an unaligned one NumPy would copy all.
    """
    return np.asarray(array).reshape(len(array), -1).view(np.uint8)


def _map_of(array: NDArray[Any]) -> mmap.mmap | None:
    """The memory map that the array is a part of, if any."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
