"""Additive attention over grid cells, by image: many queries look at the cells of few images."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

Kernels = Literal["auto", "plain"]

_mode: Kernels = "auto"


def set_kernels(mode: Kernels) -> None:
    """Choose the fused kernels wherever they apply and pay (``auto``) or never (``plain``)."""
    global _mode
    if mode not in ("auto", "plain"):
        raise ValueError(f"kernels {mode!r}: expected 'auto' or 'plain'.")
    _mode = mode


@contextmanager
def kernels(mode: Kernels) -> Iterator[None]:
    """``set_kernels`` for the length of a ``with`` block."""
    before = _mode
    set_kernels(mode)
    try:
        yield
    finally:
        set_kernels(before)


def additive_scores(
    projected: Tensor, query: Tensor, weight: Tensor, image_index: Tensor
) -> Tensor:
    """Score every cell of a query's image: ``Σ_k weight_k · tanh(projected_k + query_k)``.

    Eq. 15-16 of Yang et al. 2016 (SAN) without their bias, which a softmax over the cells cancels;
    ``f_att`` of Xu et al. 2015; Bahdanau et al. 2015.

    projected: (U, S, K) cells of each image; query: (B, K); weight: (K,); image_index: (B,) int64,
    the image of each query, in any order. Returns (B, S).
    """
    return torch.tanh(projected[image_index] + query[:, None]) @ weight


def attend(values: Tensor, alpha: Tensor, image_index: Tensor) -> Tensor:
    """Sum an image's cells by each query's weights: ``out_b = Σ_s alpha_bs · values[image_b, s]``.

    values: (U, S, D); alpha: (B, S); image_index: (B,) int64, in any order. Returns (B, D). Works
    image by image, so that no (B, S, D) stands in memory.
    """
    n_images, n_cells, _ = values.shape
    if not len(image_index):
        return alpha.to(values.dtype) @ values.new_zeros(values.shape[1:]) + values.sum() * 0
    slot = _slots(image_index, n_images)
    per_image = int(slot.max()) + 1
    place = image_index * per_image + slot
    padded = values.new_zeros(n_images * per_image, n_cells).index_copy(
        0, place, alpha.to(values.dtype)
    )
    summed = torch.bmm(padded.view(n_images, per_image, n_cells), values)
    return summed.flatten(0, 1).index_select(0, place)


def _slots(image_index: Tensor, n_images: int) -> Tensor:
    """The number of each query (B,) among those of its image."""
    order = torch.argsort(image_index, stable=True)
    counts = torch.bincount(image_index, minlength=n_images)
    first = torch.cumsum(counts, 0) - counts
    slot = torch.empty_like(image_index)
    slot[order] = torch.arange(len(order), device=order.device) - first[image_index[order]]
    return slot
