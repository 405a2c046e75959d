"""Training samples in the device's own memory: a batch is then an index into them.

The batches are those of :class:`.batches.SamplesByImage`, padded to a few shapes. Those of an epoch
are planned at once and moved in one copy; after that nothing is read, sorted, pinned or moved.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..features.split import Cells
from .batches import Part, SamplesByImage

# Of a batch's samples and images, which are padded to multiples of such a share of their number.
_STEPS = 16
_TOKENS = 4  # and tokens to a multiple of so many

# A batch's targets, from its items, int64 ``[B]``, and which of them are no padding, bool ``[B]``.
Targets = Callable[[Tensor, Tensor], tuple[Tensor, ...]]


class Shape(NamedTuple):
    """A padded batch's numbers of samples, of images and of tokens a sample."""

    samples: int
    images: int
    tokens: int


@dataclass(frozen=True)
class PaddedBatch:
    """A batch as :class:`.batches.Batch`, all of it on the device, padded behind.

    ``is_image``, bool ``[U]``, and ``is_sample``, bool ``[B]``, say what counts. A padded image is
    a copy of the first; a padded sample is one of its item, on the last image, of length 1.
    """

    features: Cells | None
    image_index: Tensor
    tokens: Tensor
    length: Tensor
    target: tuple[Tensor, ...]
    is_sample: Tensor
    is_image: Tensor


@dataclass(frozen=True)
class Slot:
    """A planned batch: its shape, what it is of the whole, and where its samples are.

    ``packed``: int64, on the device; :meth:`ResidentSamples.read` takes it apart.
    """

    shape: Shape
    part: Part
    packed: Tensor

    def __len__(self) -> int:
        return self.part.n_samples


class ResidentSamples:
    """The samples of a split, with their resident features, on a device.

    ``targets`` makes a batch's targets there.
    """

    def __init__(
        self, samples: SamplesByImage, targets: Targets, device: torch.device, batch_size: int
    ) -> None:
        self.samples, self.targets, self.device = samples, targets, device
        self.batch_size = batch_size
        self.tokens = torch.from_numpy(samples.tokens).to(device)
        self.length = torch.from_numpy(samples.length).to(device)
        self.row = self._resident(samples.image_row)
        images = samples.n_groups * batch_size / max(1, samples.n_items)
        self.steps = Shape(_step(batch_size), _step(images), _TOKENS)

    def _resident(self, image_row: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where these rows of the features are on the device; 0 without features."""
        features = self.samples.features
        if features is None:
            return np.zeros(self.samples.n_groups, np.int64)
        assert features.resident_row is not None
        row: NDArray[np.int64] = features.resident_row[image_row]
        return row

    def plan(
        self,
        order: NDArray[np.int64],
        skip: int = 0,
        image_row: NDArray[np.int64] | None = None,
    ) -> list[Slot]:
        """An epoch's batches in this order of groups, without the first ones.

        ``image_row`` as in :meth:`.batches.SamplesByImage.batches`.
        """
        row = self.row if image_row is None else self._resident(image_row)
        cuts = self.samples.cuts(order, self.batch_size)[skip:]
        if not cuts:
            return []
        groups, n_images = np.concatenate(cuts), np.array([len(images) for images in cuts])
        first = self.samples.first
        start, counts = first[groups], np.diff(first)[groups]
        image_first = np.cumsum(n_images) - n_images
        n_samples = np.add.reduceat(counts, image_first)
        before = np.cumsum(counts) - counts
        group = np.repeat(np.arange(len(groups)), counts)  # of each sample, among all groups
        item = self.samples.items[np.arange(counts.sum()) + (start - before)[group]]
        sample_first = np.cumsum(n_samples) - n_samples
        n_tokens = np.maximum.reduceat(self.samples.length[item], sample_first)
        width = self.samples.tokens.shape[1]
        shapes = [
            Shape(*map(_up, sizes, self.steps))._replace(tokens=min(width, _up(sizes[2], _TOKENS)))
            for sizes in zip(n_samples.tolist(), n_images.tolist(), n_tokens.tolist(), strict=True)
        ]
        samples, images = np.array([shape[:2] for shape in shapes]).T
        # Side by side for each batch: its items, their images, the images' rows, both numbers.
        sizes = 2 * samples + images + 2
        ends = np.cumsum(sizes)
        starts = ends - sizes
        packed = np.empty(ends[-1], np.int64)
        index = group - np.repeat(image_first, n_samples)  # of each sample's image, in its batch
        _put(packed, starts, samples, n_samples, item, item[sample_first])
        _put(packed, starts + samples, samples, n_samples, index, images - 1)
        _put(
            packed,
            starts + 2 * samples,
            images,
            n_images,
            row[groups],
            row[groups[image_first]],
        )
        packed[ends - 2], packed[ends - 1] = n_samples, n_images
        moved = torch.from_numpy(packed).to(self.device)
        return [
            Slot(shape, Part(int(n_image), int(n_sample)), part)
            for shape, n_image, n_sample, part in zip(
                shapes, n_images, n_samples, torch.split(moved, sizes.tolist()), strict=True
            )
        ]

    def read(self, packed: Tensor, shape: Shape) -> PaddedBatch:
        """The batch of a slot; on a GPU, no operation in it waits."""
        n, u = shape.samples, shape.images
        item, image_index, row = packed[:n], packed[n : 2 * n], packed[2 * n : 2 * n + u]
        is_sample = torch.arange(n, device=packed.device) < packed[-2]
        features = self.samples.features
        return PaddedBatch(
            None if features is None else features.take(row),
            image_index,
            self.tokens[item, : shape.tokens].long(),
            torch.where(is_sample, self.length[item], 1).long(),
            self.targets(item, is_sample),
            is_sample,
            torch.arange(u, device=packed.device) < packed[-1],
        )


def _step(n: float) -> int:
    """What numbers of about ``n`` are rounded up to a multiple of."""
    return 8 * max(1, round(n / _STEPS / 8))


def _up(n: int, step: int) -> int:
    return -(-n // step) * step


def _put(
    out: NDArray[np.int64],
    start: NDArray[np.int64],
    room: NDArray[np.int64],
    n: NDArray[np.int64],
    values: NDArray[np.int64],
    padding: NDArray[np.int64],
) -> None:
    """Write runs of ``n`` values from each ``start`` on, and fill their ``room`` up."""
    inside = np.arange(room.sum()) - np.repeat(np.cumsum(room) - room, room)
    position = np.repeat(start, room) + inside
    out[position] = np.repeat(padding, room)
    out[position[inside < np.repeat(n, room)]] = values


def no_targets(item: Tensor, is_sample: Tensor) -> tuple[Tensor, ...]:
    """Of texts that are their own targets."""
    return ()


class ClassTargets:
    """A class for each sample, int64 ``[Q]``; -1 for none."""

    def __init__(self, classes: NDArray[np.int64], device: torch.device) -> None:
        self.classes = torch.from_numpy(classes).to(device)

    def __call__(self, item: Tensor, is_sample: Tensor) -> tuple[Tensor, ...]:
        """The classes ``[B]``; -1 for padding."""
        return (torch.where(is_sample, self.classes[item], -1),)


class SparseTargets:
    """Some classes for each sample with a weight, as rows of a sparse matrix (CSR).

    ``row``, sorted, ``target`` and ``weight``: ``[n]``, an entry each, of ``n_samples`` samples.
    """

    def __init__(
        self,
        row: NDArray[np.int64],
        target: NDArray[np.int64],
        weight: NDArray[np.float32],
        n_samples: int,
        device: torch.device,
    ) -> None:
        counts = np.bincount(row, minlength=n_samples)
        self.most = int(counts.max(initial=1))
        start = np.concatenate([[0], np.cumsum(counts)])
        self.start = torch.from_numpy(start).to(device)
        # One entry more, so that there is one to point at.
        self.target = torch.from_numpy(np.append(target, 0)).to(device)
        self.weight = torch.from_numpy(np.append(weight, np.float32(0))).to(device)

    def __call__(self, item: Tensor, is_sample: Tensor) -> tuple[Tensor, ...]:
        """Classes and weights ``[B, K]``, K as many as any sample has; of weight 0 to fill up."""
        entry = self.start[item][:, None] + torch.arange(self.most, device=item.device)
        inside = (entry < self.start[item + 1][:, None]) & is_sample[:, None]
        entry = torch.where(inside, entry, len(self.weight) - 1)
        return self.target[entry], self.weight[entry]
