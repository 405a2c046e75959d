"""The Triton kernels on CUDA tensors. No call waits for the device, and no sum is atomic."""

from functools import cached_property
from typing import Any

import torch
import triton
from torch import Tensor

from . import triton_kernels

CELLS_AT_A_TIME = 1

# The size of a tile of (cells, channels).
_CELLS, _CHANNELS = 16, 128


class ByImage:
    """Queries in image order: those of image ``u`` are ``order[start[u] : start[u + 1]]``.

    Only the gradient of the cells needs that order, so it is not sorted for anything else.
    """

    def __init__(self, image_index: Tensor, n_images: int) -> None:
        self.image_index = image_index.contiguous()  # (B,) int64
        self.n_images = n_images

    @cached_property
    def order(self) -> Tensor:
        """(B,) int64."""
        return torch.argsort(self.image_index, stable=True)

    @cached_property
    def start(self) -> Tensor:
        """(U + 1,) int64."""
        bounds = torch.arange(self.n_images + 1, device=self.image_index.device)
        return torch.searchsorted(self.image_index[self.order], bounds)


def group(image_index: Tensor, n_images: int) -> ByImage:
    """Queries by image; an image number out of range gives NaN, as raising would have to wait."""
    return ByImage(image_index, n_images)


def score(projected: Tensor, query: Tensor, weight: Tensor, by_image: ByImage, out: Tensor) -> None:
    """Write the scores to ``out`` (B, S)."""
    n_images, n_cells, width = projected.shape
    _launch(
        triton_kernels.score,
        (len(query), triton.cdiv(n_cells, _CELLS)),
        *(projected, query, weight, by_image.image_index, out),
        *(n_images, n_cells, width),
    )


def score_gradients(
    projected: Tensor,
    query: Tensor,
    weight: Tensor,
    by_image: ByImage,
    grad_scores: Tensor,
    grad_projected: Tensor | None,
    accumulate: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients of query and weight; that of the cells is written, or added, if wanted."""
    n_images, n_cells, width = projected.shape
    grad_query, shares = torch.empty_like(query), torch.empty_like(query)
    blocks = triton.cdiv(width, _CHANNELS)
    _launch(
        triton_kernels.query_gradients,
        (len(query), blocks),
        *(projected, query, weight, by_image.image_index, grad_scores, grad_query, shares),
        *(n_images, n_cells, width),
    )
    if grad_projected is not None:
        _launch(
            triton_kernels.projected_gradients,
            (n_images, triton.cdiv(n_cells, _CELLS), blocks),
            *(projected, query, weight, by_image.order, by_image.start),
            *(grad_scores, grad_projected, n_cells, width),
            ACCUMULATE=accumulate,
        )
    return grad_query, shares.sum(0)


def add_up(values: Tensor, alpha: Tensor, by_image: ByImage, out: Tensor) -> None:
    """Write the weighted sums to ``out`` (B, D)."""
    n_images, n_cells, n_channels = values.shape
    _launch(
        triton_kernels.add_up,
        (len(alpha), triton.cdiv(n_channels, _CHANNELS)),
        *(values, alpha, by_image.image_index, out, n_images, n_cells, n_channels),
    )


def sum_gradients(
    values: Tensor,
    alpha: Tensor,
    by_image: ByImage,
    grad_out: Tensor,
    grad_alpha: Tensor | None,
    grad_values: Tensor | None,
    accumulate: bool,
) -> None:
    """Write the gradients that are wanted; that of the cells is added where ``accumulate``."""
    n_images, n_cells, n_channels = values.shape
    cell_blocks = triton.cdiv(n_cells, _CELLS)
    if grad_alpha is not None:
        _launch(
            triton_kernels.alpha_gradients,
            (len(alpha), cell_blocks),
            *(values, by_image.image_index, grad_out, grad_alpha, n_images, n_cells, n_channels),
        )
    if grad_values is not None:
        _launch(
            triton_kernels.value_gradients,
            (n_images, cell_blocks, triton.cdiv(n_channels, _CHANNELS)),
            *(alpha, by_image.order, by_image.start, grad_out, grad_values, n_cells, n_channels),
            ACCUMULATE=accumulate,
        )


def _launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    if 0 in grid:
        return
    with torch.cuda.device_of(arguments[0]):  # type: ignore[no-untyped-call, unused-ignore]
        kernel[grid](
            *arguments, CELLS=_CELLS, CHANNELS=_CHANNELS, enable_fp_fusion=True, **constants
        )
