"""Writes computed batches in a background thread: the network does not wait for the disk."""

import queue
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..decode.batches import DecodedBatch
from .checksums import checksums, row_crc32
from .layout import DONE, ERROR_BYTES, FAILED
from .writer import RowWriter

# More waiting batches would only use memory when the disk cannot keep up.
BATCHES_WAITING = 2
# How often rows are flushed to the disk: a power cut loses at most this much work.
SYNC_SECONDS = 2.0

# Of the time, that the network waits for the disk before it is called the limit.
WAITING_SHARE = 0.1
SMOOTHING = 0.9


@dataclass(frozen=True)
class Computed:
    """A batch and its features, as the file holds them.

    Attributes:
        batch: the images.
        columns: grid [B, S, D], pooled [B, D] and, for uint8, scale [B, S].
        finite: [B] whether all of an image's features are finite numbers.
    """

    batch: DecodedBatch
    columns: dict[str, NDArray[Any]]
    finite: NDArray[np.bool_]


class BackgroundWriter:
    """Writes batches in the order given, and sets their status once their bytes are on the disk.

    Writes only the rows where ``to_do`` [N] is set; rows of a batch done earlier stay unchanged.
    ``n_threads`` share the checksums and the writing of a batch's rows.
    """

    def __init__(self, writer: RowWriter, to_do: NDArray[np.bool_], n_threads: int = 1) -> None:
        self._writer = writer
        self._to_do = to_do
        self._queue: queue.Queue[Computed | None] = queue.Queue(BATCHES_WAITING)
        self._error: BaseException | None = None
        self._unmarked: list[tuple[NDArray[np.int64], int]] = []
        self._synced = self._put = time.monotonic()
        self._waiting = 0.0  # share of the time in ``put``, smoothed
        self._n_threads = n_threads
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="store")
        self._marker = ThreadPoolExecutor(1, thread_name_prefix="mark")
        self._marking: Future[None] | None = None
        self._thread = threading.Thread(target=self._work, name="write", daemon=True)
        self._thread.start()

    @property
    def waits_for_disk(self) -> bool:
        """Whether the network waits for rows to be written."""
        return self._waiting > WAITING_SHARE

    def put(self, computed: Computed) -> None:
        """Queue a batch; raises the error of an earlier one."""
        self._raise()
        begun = time.monotonic()
        self._queue.put(computed)
        ended = time.monotonic()
        share = (ended - begun) / max(ended - self._put, 1e-9)
        self._waiting = SMOOTHING * self._waiting + (1 - SMOOTHING) * share
        self._put = ended

    def close(self) -> None:
        """Wait until every batch is on the disk and marked; raises the writer's error, if any."""
        self._queue.put(None)
        self._thread.join()
        self._pool.shutdown()
        self._marker.shutdown()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            while (computed := self._queue.get()) is not None:
                self._store(computed)
                if time.monotonic() - self._synced >= SYNC_SECONDS:
                    self._mark_behind()
            self._mark_rest()
            self._writer.sync()
        except BaseException as error:  # raised again in the thread that computes
            self._error = error
            with suppress(Exception):  # rows written completely before are kept
                self._mark_rest()
            while self._queue.get() is not None:  # so that ``put`` never blocks forever
                pass

    def _mark_behind(self) -> None:
        """Begin to mark what is written, while more is written; not while this still goes on."""
        if self._marking is None or self._marking.done():
            self._finish_marking()
            self._marking = self._marker.submit(self._mark, self._unmarked)
            self._unmarked, self._synced = [], time.monotonic()

    def _finish_marking(self) -> None:
        marking, self._marking = self._marking, None
        if marking is not None:
            marking.result()

    def _mark_rest(self) -> None:
        unmarked, self._unmarked = self._unmarked, []
        try:
            self._finish_marking()
        finally:
            self._mark(unmarked)

    def _mark(self, written: list[tuple[NDArray[np.int64], int]]) -> None:
        """Set the status of rows, once all that was written before is on the disk."""
        if written:
            self._writer.sync()
        for rows, status in written:
            self._writer.write("status", rows, np.full(len(rows), status, np.uint8))

    def _store(self, computed: Computed) -> None:
        batch = computed.batch
        new = np.flatnonzero(self._to_do[batch.rows])
        bad = np.array([i for i in new if i in batch.errors], np.int64)
        good = np.setdiff1d(new, bad)
        if len(good):
            self._store_rows(computed, good)
        if len(bad):
            self._store_errors(batch, bad)

    def _store_rows(self, computed: Computed, good: NDArray[np.int64]) -> None:
        batch, columns = computed.batch, computed.columns
        if not computed.finite[good].all():
            rows = batch.rows[good]
            raise InputError(
                f"{self._writer.path}: a feature in rows {rows[0]}–{rows[-1]} is not a finite "
                "number, so none of them were kept; use --amp off, or --dtype float32."
            )
        pieces = np.array_split(good, min(self._n_threads, len(good)))
        results = self._pool.map(lambda piece: self._write_features(batch, columns, piece), pieces)
        sums = list(results)
        short: dict[str, NDArray[Any]] = {
            name: np.concatenate([found[name] for found in sums]) for name in sums[0]
        }
        short["source_bytes"] = batch.source_bytes[good]
        short["source_crc32"] = batch.source_crc32[good]
        self._write(batch.rows[good], short, DONE)

    def _write_features(
        self, batch: DecodedBatch, columns: dict[str, NDArray[Any]], piece: NDArray[np.int64]
    ) -> dict[str, NDArray[np.uint32]]:
        """Write the long columns of some images of a batch; their checksums."""
        first, last = int(piece[0]), int(piece[-1])
        # Rows that follow each other are not copied.
        chosen = slice(first, last + 1) if last - first + 1 == len(piece) else piece
        values = {name: column[chosen] for name, column in columns.items()}
        for name, rows in values.items():
            self._writer.write(name, batch.rows[piece], rows)
        return checksums(values)

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


def cut_utf8(text: str, n_bytes: int) -> bytes:
    """At most the first ``n_bytes`` bytes of the text in UTF-8, cut between characters."""
    return text.encode(errors="replace")[:n_bytes].decode(errors="ignore").encode()
