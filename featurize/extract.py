"""Images → backbone → feature file: decode ahead, one network, write behind."""

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ..datasets.image_list import ImageList
from ..distributed import WHOLE, Share
from ..errors import InputError
from .backbones import Backbone
from .decoding import Batch, decode_batches
from .file.background_writer import BackgroundWriter, Computed
from .file.layout import TO_DO
from .file.writer import RowWriter
from .images import Preprocessing
from .network import GridNetwork


@dataclass(frozen=True)
class Extractor:
    """What turns images into features, and how it goes through them.

    Attributes:
        backbone: where the numbers come from.
        network: the backbone as it runs.
        preprocessing: how an image becomes pixels.
        dtype: of the grid in the file: float16, float32 or uint8.
        batch_size: images a forward pass.
        workers: decoding threads.
        skip_errors: mark an image that cannot be decoded as failed and go on, instead of stopping.
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


@dataclass
class Outcome:
    """What one run did: images done, why others failed (by row), and whether it was stopped."""

    n_done: int = 0
    errors: dict[int, str] = field(default_factory=dict)
    stopped: bool = False


@dataclass(frozen=True)
class Watch:
    """How a run talks to whoever started it.

    Attributes:
        should_stop: asked before each batch.
        report: called with the number of images done or failed after each batch.
    """

    should_stop: Callable[[], bool]
    report: Callable[[int], object]


def batches_to_do(status: NDArray[np.uint8], batch_size: int) -> list[NDArray[np.int64]]:
    """The rows of each batch that still has something to do, in order.

    Batches start at multiples of the batch size, whatever is done already, so that an interrupted
    run computes exactly the batches that an uninterrupted one does, to the last bit.
    """
    starts = range(0, len(status), batch_size)
    whole = [np.arange(s, min(s + batch_size, len(status)), dtype=np.int64) for s in starts]
    return [rows for rows in whole if (status[rows] == TO_DO).any()]


def extract(
    extractor: Extractor,
    images: ImageList,
    status: NDArray[np.uint8],
    writer: RowWriter,
    watch: Watch,
    share: Share = WHOLE,
) -> Outcome:
    """Compute and write the rows whose ``status`` [N] is to do.

    Whatever ends the work, all batches computed before are on the disk when this returns or raises.
    Raises ``InputError`` naming the first image that cannot be decoded, unless errors are skipped.
    """
    outcome = Outcome()
    to_do = status == TO_DO
    batches = batches_to_do(status, extractor.batch_size)[share.rank :: share.of]
    decoded = decode_batches(images, batches, extractor.preprocessing, extractor.workers)
    with closing(BackgroundWriter(writer, to_do)) as background, closing(decoded):
        for computed in run_network(extractor.network, until(decoded, watch.should_stop, outcome)):
            batch = computed.batch
            failed = {int(batch.rows[i]): text for i, text in batch.errors.items()}
            errors = {row: text for row, text in failed.items() if to_do[row]}
            if errors and not extractor.skip_errors:
                row = min(errors)
                raise InputError(
                    f"{images.path(row)}: {errors[row]}; mend it and run the same command again, "
                    "or add --on-error skip to have it listed as failed."
                )
            background.put(computed)
            n_new = int(to_do[batch.rows].sum())
            outcome.n_done += n_new - len(errors)
            outcome.errors |= errors
            watch.report(n_new)
    return outcome


def until(
    decoded: Iterator[Batch], should_stop: Callable[[], bool], outcome: Outcome
) -> Iterator[Batch]:
    """The batches, until the user wants to stop; notes in ``outcome`` if that came first."""
    for batch in decoded:
        if should_stop():
            outcome.stopped = True
            return
        yield batch


def run_network(network: GridNetwork, batches: Iterator[Batch]) -> Iterator[Computed]:
    """Run the network over the batches, in order.

    A GPU is handed the next batch before the last one's copy is waited for, so that it never idles.
    """
    launched: Launched | None = None
    for batch in batches:
        current = Launched(network, batch)
        if network.mean.device.type == "cpu":
            yield current.wait()
            continue
        if launched is not None:
            yield launched.wait()
        launched = current
    if launched is not None:
        yield launched.wait()


class Launched:
    """A batch that the network works on."""

    def __init__(self, network: GridNetwork, batch: Batch) -> None:
        device = network.mean.device
        on_gpu = device.type == "cuda"
        pixels = torch.from_numpy(batch.pixels)
        with torch.inference_mode():
            if on_gpu:
                pixels = pixels.pin_memory().to(device, non_blocking=True)
            outputs = network(pixels)
            self._outputs = [start_copy(o) for o in outputs] if on_gpu else outputs
        self._event = torch.Event(device) if on_gpu else None
        if self._event is not None:
            self._event.record()
        self._batch = batch

    def wait(self) -> Computed:
        """The features, once they are on the CPU."""
        if self._event is not None:
            self._event.synchronize()
        grid, pooled = self._outputs
        return Computed(self._batch, grid.numpy(), pooled.numpy())


def start_copy(values: torch.Tensor) -> torch.Tensor:
    """Begin to copy from the GPU to page-locked memory, without waiting."""
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(
        values, non_blocking=True
    )
