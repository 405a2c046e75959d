"""Images to feature rows: decode ahead in threads, compute, write in the background."""

import itertools
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..console import StopRequest
from ..datasets.images.image_list import ImageList
from ..distributed import WHOLE, Share
from ..errors import InputError
from .backbones import Backbone
from .decode.batches import DecodedBatch, decode_batches
from .file.background_writer import BackgroundWriter
from .file.layout import TO_DO
from .file.writer import RowWriter
from .images import Preprocessing
from .jobs import Job
from .network import GridNetwork, run_network

MOST_WRITERS = 4


@dataclass(frozen=True)
class Progress:
    """What one batch added.

    Attributes:
        n_images: new rows, done or failed.
        n_by_gpu: how many of them nvJPEG decoded.
        waits_for_disk: whether the disk is what limits the speed.
    """

    n_images: int
    n_by_gpu: int
    waits_for_disk: bool


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

    def showing(self, view: str) -> "Extractor":
        """The same with another view of the images."""
        return replace(self, preprocessing=replace(self.preprocessing, view=view))

    @property
    def n_writers(self) -> int:
        """Threads that check and write rows: one writes as fast as four decode, at most."""
        return min(max(1, self.workers // 4), MOST_WRITERS)

    def decode(
        self, images: ImageList, batches: Sequence[NDArray[np.int64]]
    ) -> Generator[DecodedBatch, None, None]:
        """``decode_batches`` with these settings."""
        device = self.network.mean.device
        return decode_batches(images, batches, self.preprocessing, self.workers, device)


def extract(
    extractor: Extractor,
    job: Job,
    status: NDArray[np.uint8],
    stop: StopRequest,
    report: Callable[[Progress], object] = lambda progress: None,
    share: Share = WHOLE,
) -> int:
    """Compute and write this process's share of the rows whose ``status`` [N] is to do.

    Returns the number of images done; ``report`` is called after each batch.
    However it ends, all batches computed before are on the disk when this returns or raises.
    Raises ``InputError`` naming the first image that cannot be decoded, unless errors are skipped,
    and when the user stopped it.
    """
    to_do = status == TO_DO
    batches = batches_to_do(status, extractor.batch_size)[share.rank :: share.of]
    n_done, n_left = 0, sum(int(to_do[rows].sum()) for rows in batches)
    decoded = extractor.decode(job.images, batches)
    with (
        RowWriter(job.out) as writer,
        closing(BackgroundWriter(writer, to_do, extractor.n_writers)) as background,
        closing(decoded),
    ):
        until_stopped = itertools.takewhile(lambda _: not stop, decoded)
        for computed in run_network(extractor.network, until_stopped, extractor.dtype):
            batch = computed.batch
            failed = {int(batch.rows[i]): text for i, text in batch.errors.items()}
            errors = {row: text for row, text in failed.items() if to_do[row]}
            if errors and not extractor.skip_errors:
                row = min(errors)
                raise InputError(
                    f"{job.images.path(row)}: {errors[row]}; replace or remove it and run the same "
                    "command again, or add --on-error skip to have it listed as failed."
                )
            background.put(computed)
            new = to_do[batch.rows]
            n_new, n_by_gpu = int(new.sum()), int((new & batch.by_gpu).sum())
            n_done += n_new - len(errors)
            n_left -= n_new
            report(Progress(n_new, n_by_gpu, background.waits_for_disk))
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
