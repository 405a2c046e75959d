"""Batches of few shapes: padded behind with images and texts that count nowhere.

A GPU's captured step (``train/steps``) replays the same operations on the same shapes. So, inside
of :func:`padded`, no layer looks at numbers to decide on a shape, and what is taken over the images
of a batch, as by batch norm, leaves the padded ones out. What is taken over texts, the task masks.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..kernels.choice import sorted_queries

_is_image: Tensor | None = None


@contextmanager
def padded(is_image: Tensor) -> Iterator[None]:
    """Call a head on a padded batch: ``is_image``, bool ``[U]``, is False for padded images.

    Texts are then sorted by image; a padded text has length 1.
    """
    global _is_image
    before, _is_image = _is_image, is_image
    try:
        with sorted_queries():
            yield
    finally:
        _is_image = before


def real_images() -> Tensor | None:
    """Which of a padded batch's images count, bool ``[U]``; None for a batch as it is."""
    return _is_image


def shapes_are_fixed() -> bool:
    """Whether shapes may depend on nothing but shapes."""
    return _is_image is not None


def next_words(tokens: Tensor, length: Tensor) -> Tensor:
    """The word after each one, int64 ``[B, T - 1]``, and -1 where a text has ended.

    ``tokens``: int64 ``[B, T]``; ``length``: int64 ``[B]``.
    """
    position = torch.arange(tokens.shape[1] - 1, device=tokens.device)
    return torch.where(position < length[:, None] - 1, tokens[:, 1:], -1)
