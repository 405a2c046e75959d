"""Images → backbone → feature file: decode ahead, one network, write behind."""

import queue
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ..datasets.image_list import ImageList
from ..errors import InputError
from .decoding import Batch, decode_batches
from .images import Preprocessing
from .layout import DONE, ERROR_BYTES, FAILED, TO_DO
from .network import GridNetwork
from .writer import RowWriter


@dataclass(frozen=True)
class Extraction:
    """How to go through the images.

    Attributes:
        batch_size: images a forward pass.
        workers: decoding threads.
        skip_errors: mark an image that cannot be decoded as failed and go on, instead of stopping.
    """

    batch_size: int
    workers: int
    skip_errors: bool = False


@dataclass
class Outcome:
    """What one run did: images done, and why the others failed, by row."""

    n_done: int = 0
    errors: dict[int, str] = field(default_factory=dict)
    stopped: bool = False


@dataclass
class Computed:
    """One batch on its way to the file; see ``Batch`` for the other fields."""

    batch: Batch
    grid: NDArray[np.floating]
    pooled: NDArray[np.floating]


class BackgroundWriter:
    """Writes computed batches in a thread of its own, so that the network never waits for a disk."""

    def __init__(self, writer: RowWriter, grid_dtype: np.dtype[np.floating]) -> None:
        self._writer = writer
        self._dtype = grid_dtype
        # Two batches may wait: more would only pile up memory in front of a slow disk.
        self._queue: queue.Queue[Computed | None] = queue.Queue(2)
        self._error: BaseException | None = None
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
        while (computed := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._store(computed)
                except BaseException as error:  # handed to the thread that computes
                    self._error = error

    def _store(self, computed: Computed) -> None:
        batch = computed.batch
        good = np.array([i for i in range(len(batch.rows)) if i not in batch.errors], np.int64)
        grid = computed.grid[good].astype(self._dtype)
        rows = batch.rows[good]
        if not np.isfinite(grid).all():
            raise InputError(
                f"{self._writer.path}: a feature of an image in rows {rows[0]}–{rows[-1]} is not a "
                "finite number; use --amp off or --dtype float32."
            )
        crc32 = np.array([zlib.crc32(cells) for cells in grid], np.uint32)
        self._writer.write("grid", rows, grid)
        self._writer.write("pooled", rows, computed.pooled[good])
        self._writer.write("crc32", rows, crc32)
        self._writer.write("source_bytes", rows, batch.source_bytes[good])
        self._writer.write("source_crc32", rows, batch.source_crc32[good])
        if len(rows):
            self._writer.mark(rows, DONE)
        if batch.errors:
            self._store_errors(batch)

    def _store_errors(self, batch: Batch) -> None:
        rows = batch.rows[sorted(batch.errors)]
        texts = [cut_utf8(batch.errors[i], ERROR_BYTES) for i in sorted(batch.errors)]
        self._writer.write("error", rows, np.array(texts, f"S{ERROR_BYTES}"))
        self._writer.mark(rows, FAILED)


def cut_utf8(text: str, n_bytes: int) -> bytes:
    """The text's first bytes, cut between characters."""
    return text.encode(errors="replace")[:n_bytes].decode(errors="ignore").encode()


def batches_to_do(status: NDArray[np.uint8], batch_size: int) -> list[NDArray[np.int64]]:
    """The rows of each batch that still has something to do, in order.

    Batches start at multiples of the batch size, whatever is done already, so that an interrupted
    run computes exactly the batches that an uninterrupted one does, to the last bit.
    """
    starts = range(0, len(status), batch_size)
    whole = [np.arange(s, min(s + batch_size, len(status)), dtype=np.int64) for s in starts]
    return [rows for rows in whole if (status[rows] == TO_DO).any()]


def extract(
    images: ImageList,
    network: GridNetwork,
    preprocessing: Preprocessing,
    writer: RowWriter,
    status: NDArray[np.uint8],
    extraction: Extraction,
    should_stop: Callable[[], object],
    report: Callable[[int], object],
) -> Outcome:
    """Fill every row that is to do.

    ``report`` is called with the number of images after each batch; ``should_stop`` is asked before
    each. On the first image that cannot be decoded, unless errors are skipped, what was computed
    before is written and ``InputError`` names the image.
    """
    outcome = Outcome()
    batches = batches_to_do(status, extraction.batch_size)
    background = BackgroundWriter(writer, writer.grid_dtype)
    decoded = decode_batches(images, batches, preprocessing, extraction.workers)
    first_error: InputError | None = None
    try:
        for batch in decoded:
            if should_stop():
                outcome.stopped = True
                break
            if batch.errors and not extraction.skip_errors:
                place = min(batch.errors)
                first_error = InputError(
                    f"{images.path(int(batch.rows[place]))}: {batch.errors[place]}; mend or remove "
                    "it and run the same command again, or add --on-error skip."
                )
                break
            background.put(run_network(network, batch))
            outcome.n_done += len(batch.rows) - len(batch.errors)
            outcome.errors |= {int(batch.rows[i]): text for i, text in batch.errors.items()}
            report(len(batch.rows))
    finally:
        decoded.close()
        background.close()
    if first_error is not None:
        raise first_error
    return outcome


def run_network(network: GridNetwork, batch: Batch) -> Computed:
    """The features of a batch, as float32 on the CPU."""
    device = network.mean.device
    with torch.inference_mode():
        grid, pooled = network(torch.from_numpy(batch.pixels).to(device))
    return Computed(batch, grid.cpu().numpy(), pooled.cpu().numpy())
