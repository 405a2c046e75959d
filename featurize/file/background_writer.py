"""Computed batches go to the file in a thread of their own: the network never waits for a disk."""

import queue
import threading
import time
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..images import DecodedBatch
from .layout import DONE, ERROR_BYTES, FAILED
from .quantize import quantize
from .writer import RowWriter

# Two batches may wait; more would only pile up memory in front of a disk that cannot keep up.
BATCHES_WAITING = 2
# Rows are made safe this often: the most work that a power cut can cost, in seconds.
SYNC_SECONDS = 2.0

# A batch and its features: grid [B, S, D] and pooled [B, D], floating point.
Computed = tuple[DecodedBatch, NDArray[np.floating], NDArray[np.floating]]


class BackgroundWriter:
    """Writes batches in the order given, and marks them once their bytes are on the disk.

    Only rows in ``to_do`` [N] are touched: what is done already in a batch stays as it is.
    """

    def __init__(self, writer: RowWriter, to_do: NDArray[np.bool_]) -> None:
        self._writer = writer
        self._to_do = to_do
        self._queue: queue.Queue[Computed | None] = queue.Queue(BATCHES_WAITING)
        self._error: BaseException | None = None
        self._unmarked: list[tuple[NDArray[np.int64], int]] = []
        self._synced = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="write", daemon=True)
        self._thread.start()

    def put(self, computed: Computed) -> None:
        """Hand over a batch; raises what went wrong with an earlier one."""
        self._raise()
        self._queue.put(computed)

    def close(self) -> None:
        """Wait until every batch is on the disk and marked; raises what went wrong."""
        self._queue.put(None)
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            while (computed := self._queue.get()) is not None:
                self._store(computed)
                if time.monotonic() - self._synced >= SYNC_SECONDS:
                    self._mark()
            self._mark()
            self._writer.sync()
        except BaseException as error:  # raised again in the thread that computes
            self._error = error
            with suppress(Exception):  # what was whole before may still be kept
                self._mark()
            while self._queue.get() is not None:  # so that ``put`` never waits for ever
                pass

    def _store(self, computed: Computed) -> None:
        batch, grid, pooled = computed
        new = np.flatnonzero(self._to_do[batch.rows])
        bad = np.array([i for i in new if i in batch.errors], np.int64)
        good = np.setdiff1d(new, bad)
        if len(good):
            self._store_rows(batch, good, grid[good], pooled[good])
        if len(bad):
            self._store_errors(batch, bad)

    def _store_rows(
        self,
        batch: DecodedBatch,
        good: NDArray[np.int64],
        grid: NDArray[np.floating],
        pooled: NDArray[np.floating],
    ) -> None:
        rows, writer = batch.rows[good], self._writer
        columns: dict[str, NDArray[Any]]
        with np.errstate(over="ignore", invalid="ignore"):  # it is looked for right below
            if writer.is_quantized:
                cells, scale = quantize(grid)
                columns = {"grid": cells, "pooled": pooled.astype(np.float16), "scale": scale}
            else:
                dtype = writer.grid_dtype
                columns = {
                    "grid": grid.astype(dtype, copy=False),
                    "pooled": pooled.astype(dtype, copy=False),
                }
        if not all(np.isfinite(values).all() for values in columns.values()):
            raise InputError(
                f"{writer.path}: a feature in rows {rows[0]}–{rows[-1]} is no finite number, so "
                "nothing of them was kept; use --amp off, or --dtype float32."
            )
        columns |= checksums(columns)
        for name, values in columns.items():
            writer.write(name, rows, values)
        writer.write("source_bytes", rows, batch.source_bytes[good])
        writer.write("source_crc32", rows, batch.source_crc32[good])
        self._unmarked.append((rows, DONE))

    def _store_errors(self, batch: DecodedBatch, bad: NDArray[np.int64]) -> None:
        texts = [cut_utf8(batch.errors[i], ERROR_BYTES) for i in bad.tolist()]
        self._writer.write("error", batch.rows[bad], np.array(texts, f"S{ERROR_BYTES}"))
        self._unmarked.append((batch.rows[bad], FAILED))

    def _mark(self) -> None:
        if self._unmarked:
            self._writer.sync()
        for rows, status in self._unmarked:
            self._writer.write("status", rows, np.full(len(rows), status, np.uint8))
        self._unmarked.clear()
        self._synced = time.monotonic()


def checksums(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.uint32]]:
    """The checksum columns of some rows: ``crc32`` and ``pooled_crc32`` (see the layout)."""
    of_grid = [zlib.crc32(np.ascontiguousarray(row).data) for row in columns["grid"]]
    of_rest = [zlib.crc32(np.ascontiguousarray(row).data) for row in columns["pooled"]]
    if "scale" in columns:
        pairs = zip(columns["scale"], of_rest, strict=True)
        of_rest = [zlib.crc32(np.ascontiguousarray(row).data, before) for row, before in pairs]
    return {"crc32": np.array(of_grid, np.uint32), "pooled_crc32": np.array(of_rest, np.uint32)}


def cut_utf8(text: str, n_bytes: int) -> bytes:
    """The text's first ``n_bytes`` bytes at most, cut between characters."""
    return text.encode(errors="replace")[:n_bytes].decode(errors="ignore").encode()
