"""Words of many texts as rows: what is done to each word alone never sees a pad.

On the CPU there is a row a word, and an image's words are brought together, so that its cells serve
all of its texts without a copy. On a GPU, where shapes that follow the lengths would make the host
wait, and wherever shapes are fixed, a row is a position of ``[B, T]``, pads included, and each text
gets a copy of its image's cells.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from .additive_attention import slots
from .padding import shapes_are_fixed
from .question import token_mask

# oneDNN takes a millisecond to compile a product of a size that it has not seen, so the number of
# rows is rounded up; what the rows beyond the words hold is never read.
_ROWS = 64


class Packing(NamedTuple):
    """Where P rows stand among ``n`` groups (texts or images) of ``width`` positions.

    ``position``: int64 ``[P]``, ``n * width`` for rows that stand nowhere; None if the rows are all
    positions, in order.
    """

    position: Tensor | None
    n: int
    width: int

    def pad(self, rows: Tensor) -> Tensor:
        """``[P, d]`` to ``[n, width, d]``, zero where no row stands."""
        if self.position is None:
            return rows.view(self.n, self.width, -1)
        total = self.n * self.width
        padded = rows.new_zeros(total + 1, rows.shape[1]).index_copy(0, self.position, rows)
        return padded[:total].view(self.n, self.width, -1)

    def pack(self, padded: Tensor) -> Tensor:
        """``[n, width, d]`` to ``[P, d]``."""
        flat = padded.reshape(self.n * self.width, -1)
        if self.position is None:
            return flat
        return flat.index_select(0, self.position.clamp_max(len(flat) - 1))


class Words(NamedTuple):
    """The words of B texts of at most T words, as rows, by text ``[B, T]`` and by image.

    ``mask``: bool ``[B, T]``, where words are; ``image``: int64, the image of each group of
    ``by_image``, or None if the groups are the images themselves.
    """

    by_text: Packing
    by_image: Packing
    mask: Tensor
    image: Tensor | None


def packs(device: torch.device) -> bool:
    """Whether rows are words alone, and grouped by image, on a device."""
    return device.type == "cpu" and not shapes_are_fixed()


def words_of(length: Tensor, n_tokens: int, image_index: Tensor, n_images: int) -> Words:
    """The words of texts of lengths ``[B]``, on any device, about the images ``image_index``."""
    device = image_index.device
    n = len(image_index)
    mask = token_mask(length.to(device, non_blocking=True), n_tokens)
    if not packs(device):
        every = Packing(None, n, n_tokens)
        return Words(every, every, mask, image_index)
    position = mask.flatten().nonzero().squeeze(1)
    by_image, _ = group_by_image(image_index[position // n_tokens], n_images)
    by_text = Packing(position, n, n_tokens)
    return Words(rounded(by_text), rounded(by_image), mask, None)


def group_by_image(image: Tensor, n_images: int) -> tuple[Packing, Tensor | None]:
    """Rows about the images ``[P]``, by image, and the image of each group, as in ``Words``."""
    if not packs(image.device):
        return Packing(None, len(image), 1), image
    slot = slots(image, n_images)
    width = int(slot.max()) + 1 if len(slot) else 1
    return Packing(image * width + slot, n_images, width), None


def rounded(packing: Packing) -> Packing:
    """The same with some rows more, which stand nowhere."""
    position, n, width = packing
    assert position is not None
    return Packing(pad(position, (0, -len(position) % _ROWS), value=n * width), n, width)
