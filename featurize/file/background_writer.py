"""Writes computed batches in a background thread: the network does not wait for the disk."""

import queue
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..images import DecodedBatch
from .checksums import checksums, row_crc32
from .layout import DONE, ERROR_BYTES, FAILED
from .quantize import quantize
from .writer import RowWriter

# More waiting batches would only use memory when the disk cannot keep up.
BATCHES_WAITING = 2
# How often rows are flushed to the disk: a power cut loses at most this much work.
SYNC_SECONDS = 2.0

# A batch and its features: grid [B, S, D] and pooled [B, D], floating point.
Computed = tuple[DecodedBatch, NDArray[np.floating], NDArray[np.floating]]


class BackgroundWriter:
    """Writes batches in the order given, and sets their status once their bytes are on the disk.

    Writes only the rows where ``to_do`` [N] is set; rows of a batch done earlier stay unchanged.
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
        """Queue a batch; raises the error of an earlier one."""
        self._raise()
        self._queue.put(computed)

    def close(self) -> None:
        """Wait until every batch is on the disk and marked; raises the writer's error, if any."""
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
            with suppress(Exception):  # rows written completely before are kept
                self._mark()
            while self._queue.get() is not None:  # so that ``put`` never blocks forever
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
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
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
                f"{writer.path}: a feature in rows {rows[0]}–{rows[-1]} is not a finite number, so "
                "none of them were kept; use --amp off, or --dtype float32."
            )
        columns |= checksums(columns)
        columns["source_bytes"] = batch.source_bytes[good]
        columns["source_crc32"] = batch.source_crc32[good]
        self._write(rows, columns, DONE)

    def _store_errors(self, batch: DecodedBatch, bad: NDArray[np.int64]) -> None:
        texts = [cut_utf8(batch.errors[i], ERROR_BYTES) for i in bad.tolist()]
        columns: dict[str, NDArray[Any]] = {"error": np.array(texts, f"S{ERROR_BYTES}")}
        for name in ("crc32", "pooled_crc32", "source_bytes", "source_crc32"):
            columns[name] = np.zeros(len(bad), np.int64)
        self._write(batch.rows[bad], columns, FAILED)

    def _write(
        self, rows: NDArray[np.int64], columns: dict[str, NDArray[Any]], status: int
    ) -> None:
        """Write the columns and their ``row_crc32``; ``_mark`` writes the status, last of all."""
        about = {"image_id": self._writer.image_id[rows], "status": np.full(len(rows), status)}
        columns["row_crc32"] = row_crc32(columns | about)
        for name, values in columns.items():
            self._writer.write(name, rows, values)
        self._unmarked.append((rows, status))

    def _mark(self) -> None:
        if self._unmarked:
            self._writer.sync()
        for rows, status in self._unmarked:
            self._writer.write("status", rows, np.full(len(rows), status, np.uint8))
        self._unmarked.clear()
        self._synced = time.monotonic()


def cut_utf8(text: str, n_bytes: int) -> bytes:
    """At most the first ``n_bytes`` bytes of the text in UTF-8, cut between characters."""
    return text.encode(errors="replace")[:n_bytes].decode(errors="ignore").encode()
