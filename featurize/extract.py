"""Images to feature rows: decode ahead in threads, compute, write in the background."""

import itertools
import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..console import StopRequest
from ..datasets.images.image_list import ImageList
from ..distributed import WHOLE, Share
from ..errors import InputError
from .backbones import Backbone
from .file.background_writer import BackgroundWriter
from .file.layout import TO_DO
from .file.writer import RowWriter
from .images import DecodedBatch, ImageError, Preprocessing, Source, load_image, pillow_formats
from .jobs import Job
from .network import GridNetwork, run_network

BATCHES_AHEAD = 3


@dataclass(frozen=True)
class Extractor:
    """What turns images into features, and its settings.

    Attributes:
        backbone: the network's name, weights and their hash.
        network: the backbone as it runs.
        preprocessing: how an image becomes pixels.
        dtype: of the grid in the file: float16, float32 or uint8.
        batch_size: images per forward pass.
        workers: decoding threads.
        skip_errors: mark an image that cannot be decoded as failed and continue, instead of
            stopping.
    """

    backbone: Backbone
    network: GridNetwork
    preprocessing: Preprocessing
    dtype: str
    batch_size: int
    workers: int
    skip_errors: bool = False

    @property
    def n_cells(self) -> int:
        """S, the cells of an image in the file."""
        return math.prod(self.network.shape)


def extract(
    extractor: Extractor,
    job: Job,
    status: NDArray[np.uint8],
    stop: StopRequest,
    report: Callable[[int], object] = lambda n: None,
    share: Share = WHOLE,
) -> int:
    """Compute and write this process's share of the rows whose ``status`` [N] is to do.

    Returns the number of images done; ``report`` gets the number done or failed after each batch.
    However it ends, all batches computed before are on the disk when this returns or raises.
    Raises ``InputError`` naming the first image that cannot be decoded, unless errors are skipped,
    and when the user stopped it.
    """
    to_do = status == TO_DO
    batches = batches_to_do(status, extractor.batch_size)[share.rank :: share.of]
    n_done, n_left = 0, sum(int(to_do[rows].sum()) for rows in batches)
    decoded = decode_batches(job.images, batches, extractor.preprocessing, extractor.workers)
    with (
        RowWriter(job.out) as writer,
        closing(BackgroundWriter(writer, to_do)) as background,
        closing(decoded),
    ):
        until_stopped = itertools.takewhile(lambda _: not stop, decoded)
        for computed in run_network(extractor.network, until_stopped):
            batch = computed[0]
            failed = {int(batch.rows[i]): text for i, text in batch.errors.items()}
            errors = {row: text for row, text in failed.items() if to_do[row]}
            if errors and not extractor.skip_errors:
                row = min(errors)
                raise InputError(
                    f"{job.images.path(row)}: {errors[row]}; replace or remove it and run the same "
                    "command again, or add --on-error skip to have it listed as failed."
                )
            background.put(computed)
            n_new = int(to_do[batch.rows].sum())
            n_done += n_new - len(errors)
            n_left -= n_new
            report(n_new)
    if n_left:
        raise InputError(
            f"{job.out}: stopped by {stop.signal_name} after {n_done} more images; all of them are "
            "kept. Run the same command again to continue."
        )
    return n_done


def count_to_do(status: NDArray[np.uint8]) -> int:
    """How many rows are to do."""
    return int((status == TO_DO).sum())


def batches_to_do(status: NDArray[np.uint8], batch_size: int) -> list[NDArray[np.int64]]:
    """The rows of each batch that has something to do, in order.

    Batches start at multiples of the batch size, whatever is done already, so that a resumed run
    computes exactly the batches of an uninterrupted one, to the last bit.
    """
    starts = range(0, len(status), batch_size)
    whole = [np.arange(s, min(s + batch_size, len(status)), dtype=np.int64) for s in starts]
    return [rows for rows in whole if (status[rows] == TO_DO).any()]


def decode_batches(
    images: ImageList,
    batches: Sequence[NDArray[np.int64]],
    preprocessing: Preprocessing,
    workers: int,
) -> Generator[DecodedBatch, None, None]:
    """Decode the batches in order and ahead of need, one image per thread (Pillow frees the GIL).

    At most ``BATCHES_AHEAD`` + 1 batches are in memory.
    """
    pillow_formats()  # loaded here, before the threads
    waiting: deque[tuple[NDArray[np.int64], list[Future[Source]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for rows in batches:
            paths = [images.path(int(row)) for row in rows]
            waiting.append((rows, [pool.submit(load_image, p, preprocessing) for p in paths]))
            if len(waiting) > BATCHES_AHEAD:
                yield _collect(*waiting.popleft(), preprocessing.image_size)
        while waiting:
            yield _collect(*waiting.popleft(), preprocessing.image_size)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _collect(
    rows: NDArray[np.int64], sources: list[Future[Source]], image_size: int
) -> DecodedBatch:
    n = len(rows)
    pixels = np.zeros((n, image_size, image_size, 3), np.uint8)
    batch = DecodedBatch(rows, pixels, np.zeros(n, np.int64), np.zeros(n, np.uint32))
    for i, future in enumerate(sources):
        try:
            source = future.result()
        except ImageError as error:
            batch.errors[i] = str(error)
            continue
        batch.pixels[i] = source.pixels
        batch.source_bytes[i] = source.source_bytes
        batch.source_crc32[i] = source.source_crc32
    return batch
