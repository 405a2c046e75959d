"""Batches grouped by image: some images with all that is asked, or said, about them.

Every image of a batch is read, moved and projected once, however many questions it has.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...distributed import WHOLE, Share
from ..features.split import Cells, SplitFeatures
from .order import coin_flips
from .prefetch import read_ahead

PREFETCHED = 8  # batches before a batch is read, its rows are asked for


@dataclass(frozen=True)
class Part:
    """How much of the whole batch, over all processes, this one's part of it is.

    ``n_images``, ``n_samples``: of the whole batch; ``samples``, ``words``: this process's share of
    its samples, and of its words after each sample's first. The shares of all processes add up
    to 1, also where each has the whole.
    """

    n_images: int
    n_samples: int
    samples: float = 1.0
    words: float = 1.0


@dataclass(frozen=True)
class Batch:
    """B samples (questions or captions) on U images.

    ``item``: int64 ``[B]``, each sample's row in the data; ``features``: of the U images, or None;
    ``image_index``: int64 ``[B]``, non-decreasing; ``tokens``: int64 ``[B, T]`` cut to the longest;
    ``length``: int64 ``[B]``, on the CPU; ``target``: what the task's loss compares with, as the
    task made it; ``part``: what this is of the batch that all processes train on together.
    """

    item: NDArray[np.int64]
    features: Cells | None
    image_index: Tensor
    tokens: Tensor
    length: Tensor
    target: tuple[Tensor, ...]
    part: Part

    def __len__(self) -> int:
        return len(self.item)


class SamplesByImage:
    """Samples grouped by image: ``image_id`` int64 ``[Q]``, ``tokens`` ``[Q, T]``, ``length``.

    ``keep``, bool ``[Q]``, leaves samples out; images without a sample left are never read. Images
    are numbered in the order of their rows in the feature file. ``target_of`` makes a batch's
    targets from its items, in the reading thread.

    A group is what is drawn at once: all samples of an image, or some (see ``limit_samples``).
    """

    def __init__(
        self,
        image_id: NDArray[np.int64],
        tokens: NDArray[np.int32],
        length: NDArray[np.int32],
        features: SplitFeatures | None,
        keep: NDArray[np.bool_] | None = None,
        target_of: Callable[[NDArray[np.int64]], tuple[NDArray[Any], ...]] | None = None,
    ) -> None:
        self.tokens, self.length, self.features = tokens, length, features
        self.target_of = target_of or (lambda items: ())
        items = np.arange(len(image_id)) if keep is None else np.flatnonzero(keep)
        ids = image_id[items]
        group = features.rows(ids) if features is not None else ids
        self.image_row, first, image = np.unique(group, return_index=True, return_inverse=True)
        self.mirrored_row = self.image_row  # where that is another, the image may be mirrored
        self.image_id: NDArray[np.int64] = ids[first]
        self.n_images, self.n_items = len(self.image_row), len(items)
        self.items = items[np.argsort(image, kind="stable")]
        self.first = np.concatenate([[0], np.cumsum(np.bincount(image, minlength=self.n_images))])

    @property
    def n_groups(self) -> int:
        """How many groups an epoch's order is of."""
        return len(self.image_row)

    def limit_samples(self, n_together: int) -> None:
        """Make groups of at most so many samples of an image; 0: of all that it has.

        Smaller groups make batches of more images, whose gradients differ more: each sample counts
        for more, and each image is read and projected more often.
        """
        if not n_together:
            return
        groups = -(-np.diff(self.first) // n_together)
        index = np.arange(groups.sum()) - np.repeat(np.cumsum(groups) - groups, groups)
        start = np.repeat(self.first[:-1], groups) + n_together * index
        self.first = np.append(start, self.n_items)
        self.image_id = np.repeat(self.image_id, groups)
        self.image_row = np.repeat(self.image_row, groups)
        self.mirrored_row = np.repeat(self.mirrored_row, groups)

    def mirror(self, but: NDArray[np.int64]) -> None:
        """Let ``draw_rows`` show images mirrored too, but for those of these ids."""
        assert self.features is not None
        may = ~np.isin(self.image_id, but)
        self.mirrored_row = self.image_row.copy()
        self.mirrored_row[may] = self.features.mirrored_rows(self.image_id[may])

    @property
    def n_mirrored(self) -> int:
        """How many images may be shown mirrored."""
        return len(np.unique(self.mirrored_row[self.mirrored_row != self.image_row]))

    @property
    def all_rows(self) -> NDArray[np.int64]:
        """The rows of all images, in either view, ascending."""
        return np.union1d(self.image_row, self.mirrored_row)

    def draw_rows(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """The row of each group's image in an epoch: as it is or mirrored, as the coin falls."""
        flips = coin_flips(self.n_groups, seed, epoch)
        return np.where(flips, self.mirrored_row, self.image_row)

    def checksum(self) -> int:
        """Equal where the same samples stand in the same rows, of the same images."""
        value = 0
        is_mirrored = self.mirrored_row != self.image_row
        for array in (self.items, self.first, self.tokens, self.length, is_mirrored):
            value = zlib.crc32(array.tobytes(), value)
        return value

    def cuts(self, order: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
        """Cut an order of groups into batches of about ``batch_size`` samples, none left out.

        A group goes to the batch in which its first sample falls, so that the number of batches is
        always the number of samples over the batch size, rounded up, and all are alike in size.
        """
        counts = np.diff(self.first)[order]
        batch = (np.cumsum(counts) - counts) // batch_size
        return [part for part in np.split(order, np.flatnonzero(np.diff(batch)) + 1) if len(part)]

    def n_batches(self, batch_size: int) -> int:
        """How many batches a pass makes, about (an image with very many samples can skip one)."""
        return -(-self.n_items // batch_size)

    def batch(
        self,
        images: NDArray[np.int64],
        rows: NDArray[np.int64],
        device: torch.device,
        part: Part | None = None,
    ) -> Batch:
        """Build the batch of these images, with features from these rows of the file."""
        start, counts = self.first[images], np.diff(self.first)[images]
        image_index = np.repeat(np.arange(len(images)), counts)
        before = np.cumsum(counts) - counts
        item = self.items[np.arange(counts.sum()) + (start - before)[image_index]]
        length = self.length[item].astype(np.int64)
        tokens = self.tokens[item, : length.max()].astype(np.int64)

        def move(array: NDArray[Any]) -> Tensor:
            tensor = torch.from_numpy(array)
            if device.type == "cuda":
                return tensor.pin_memory().to(device, non_blocking=True)
            return tensor

        features = self.features.gather(rows, device) if self.features is not None else None
        target = tuple(move(array) for array in self.target_of(item))
        part = part or Part(len(images), len(item))
        return Batch(
            item, features, move(image_index), move(tokens), torch.from_numpy(length), target, part
        )

    def part(self, images: NDArray[np.int64], mine: NDArray[np.int64], n_processes: int) -> Part:
        """What the images ``mine`` are of the batch of ``images``."""
        counts = np.diff(self.first)
        n_samples = int(counts[images].sum())
        if len(mine) == len(images):
            return Part(len(images), n_samples, 1 / n_processes, 1 / n_processes)
        words = float(self.n_words[mine].sum() / max(1, self.n_words[images].sum()))
        return Part(len(images), n_samples, float(counts[mine].sum() / n_samples), words)

    @cached_property
    def n_words(self) -> NDArray[np.int64]:
        """Words of an image's samples, but for the first of each, int64 ``[N]``."""
        after_first = np.concatenate([[0], np.cumsum(self.length[self.items].astype(np.int64) - 1)])
        n_words: NDArray[np.int64] = np.diff(after_first[self.first])
        return n_words

    def batches(
        self,
        order: NDArray[np.int64],
        batch_size: int,
        device: torch.device,
        skip: int = 0,
        image_row: NDArray[np.int64] | None = None,
        share: Share = WHOLE,
    ) -> Iterator[Batch]:
        """Batches in this order of images, read ahead by a thread.

        ``skip`` leaves out the first batches (of a pass that was interrupted); ``image_row`` reads
        other rows for the images than their own (mirrored ones, or other images', to see whether a
        head looks at all). With a ``share``, the batches are this process's part of those.
        """
        rows = self.image_row if image_row is None else image_row
        cuts = self.cuts(order, batch_size)[skip:]
        mine = [pick_images(images, share) for images in cuts]

        def make(number: int) -> Batch:
            if self.features is not None and number + PREFETCHED < len(mine):
                self.features.prefetch(rows[mine[number + PREFETCHED]])
            images, part = mine[number], None
            if share.of > 1:
                part = self.part(cuts[number], images, share.of)
            return self.batch(images, rows[images], device, part)

        return read_ahead(partial(make, number) for number in range(len(cuts)))


def pick_images(images: NDArray[np.int64], share: Share) -> NDArray[np.int64]:
    """A process's images of a batch; all of them if they are too few to go round."""
    return images[share.rank :: share.of] if len(images) >= share.of else images
