"""Batches of images decoded ahead of the network, by threads (Pillow lets go of the GIL)."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..datasets.image_list import ImageList
from .images import ImageError, Preprocessing, Source, load_image

BATCHES_AHEAD = 3


@dataclass
class Batch:
    """Some rows' images, decoded.

    Attributes:
        rows: [B] the rows of the feature file, neighbours, ascending.
        pixels: [B, H, W, 3] uint8; zeros where the image failed.
        source_bytes, source_crc32: [B] of the image files.
        errors: why, for each place in the batch whose image failed.
    """

    rows: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    source_bytes: NDArray[np.int64]
    source_crc32: NDArray[np.uint32]
    errors: dict[int, str] = field(default_factory=dict)


def empty_batch(rows: NDArray[np.int64], image_size: int) -> Batch:
    """A batch whose images are yet to come."""
    n = len(rows)
    pixels = np.zeros((n, image_size, image_size, 3), np.uint8)
    return Batch(rows, pixels, np.zeros(n, np.int64), np.zeros(n, np.uint32))


def decode_batches(
    images: ImageList,
    batches: Sequence[NDArray[np.int64]],
    preprocessing: Preprocessing,
    workers: int,
) -> Generator[Batch, None, None]:
    """Decode the batches in order, a few ahead, each image a job of its own.

    Never more than ``BATCHES_AHEAD`` + 1 batches are in memory.
    """
    # Pillow loads its rarer formats on first need, which two threads at once get wrong.
    Image.init()
    waiting: deque[tuple[Batch, list[Future[Source]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for rows in batches:
            jobs = [pool.submit(load_image, images.path(int(row)), preprocessing) for row in rows]
            waiting.append((empty_batch(rows, preprocessing.image_size), jobs))
            if len(waiting) > BATCHES_AHEAD:
                yield _collect(*waiting.popleft())
        while waiting:
            yield _collect(*waiting.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _collect(batch: Batch, jobs: list[Future[Source]]) -> Batch:
    for i, job in enumerate(jobs):
        try:
            source = job.result()
        except ImageError as error:
            batch.errors[i] = str(error)
            continue
        batch.pixels[i] = source.pixels
        batch.source_bytes[i] = source.source_bytes
        batch.source_crc32[i] = source.source_crc32
    return batch
